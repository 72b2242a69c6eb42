#include "safetensors/safetensors.h"

#include "base/mem.h"
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE_FIELD = 8 };

/* A header describes thousands of tensors at most: more is a damaged size field. */
#define HEADER_LIMIT ((uint64_t)100 << 20)

typedef struct extent {
    uint64_t begin, end;
} extent;

static const struct {
    const char *name;
    ce_dtype dtype;
    size_t size;
} dtypes[] = {
    {"F32", CE_DTYPE_F32, 4}, {"F16", CE_DTYPE_F16, 2},   {"BF16", CE_DTYPE_BF16, 2},
    {"I64", CE_DTYPE_I64, 8}, {"I32", CE_DTYPE_I32, 4},   {"I8", CE_DTYPE_I8, 1},
    {"U8", CE_DTYPE_U8, 1},   {"BOOL", CE_DTYPE_BOOL, 1}, {"F64", CE_DTYPE_F64, 8},
};

static size_t element_size(ce_dtype dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].size;
    return 0;
}

static void read_dtype(ce_json *json, ce_tensor *tensor)
{
    ce_json_text text = ce_json_string(json);
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (ce_json_is(text, dtypes[i].name))
            tensor->dtype = dtypes[i].dtype;
    if (!tensor->dtype)
        ce_json_fail(json, "data type '%.*s' is not supported", (int)text.size, text.data);
}

static void read_shape(ce_json *json, ce_tensor *tensor)
{
    tensor->dims = 0;
    ce_json_array(json);
    while (ce_json_element(json)) {
        if (tensor->dims == CE_TENSOR_MAX_DIMS) {
            ce_json_fail(json, "more than %d dimensions", CE_TENSOR_MAX_DIMS);
            return;
        }
        tensor->shape[tensor->dims++] = ce_json_integer(json, 0, INT64_C(1) << 40);
    }
}

static void read_offsets(ce_json *json, extent *range)
{
    ce_json_array(json);
    uint64_t *fields[] = {&range->begin, &range->end};
    for (size_t i = 0; i < 2; i++) {
        if (!ce_json_element(json))
            ce_json_fail(json, "data_offsets are two numbers");
        *fields[i] = (uint64_t)ce_json_integer(json, 0, INT64_C(1) << 48);
    }
    if (ce_json_element(json))
        ce_json_fail(json, "data_offsets are two numbers");
}

/* Bytes that the shape needs, or UINT64_MAX when that is beyond any file. */
static uint64_t bytes_needed(const ce_tensor *tensor)
{
    uint64_t bytes = element_size(tensor->dtype);
    for (uint32_t i = 0; i < tensor->dims; i++) {
        if (__builtin_mul_overflow(bytes, (uint64_t)tensor->shape[i], &bytes))
            return UINT64_MAX;
    }
    return bytes;
}

static void place(ce_json *json, ce_tensor *tensor, extent range, const char *data,
                  uint64_t data_size)
{
    if (json->status != CE_OK)
        return;
    if (range.begin > range.end || range.end > data_size)
        ce_json_fail(json, "tensor '%s' lies at %llu to %llu, but the file has %llu bytes of data",
                     tensor->name, (unsigned long long)range.begin, (unsigned long long)range.end,
                     (unsigned long long)data_size);
    else if (range.end - range.begin != bytes_needed(tensor))
        ce_json_fail(json, "tensor '%s' has %llu bytes, which does not fit its shape", tensor->name,
                     (unsigned long long)(range.end - range.begin));
    else if ((uintptr_t)(data + range.begin) % element_size(tensor->dtype) != 0)
        ce_json_fail(json, "tensor '%s' is not aligned to its elements", tensor->name);
    tensor->data = data + range.begin;
    tensor->bytes = (size_t)(range.end - range.begin);
}

static void read_tensor(ce_json *json, ce_tensor *tensor, const char *data, uint64_t data_size)
{
    extent range = {0, 0};
    int has_shape = 0, has_range = 0;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "dtype")) {
            read_dtype(json, tensor);
        } else if (ce_json_is(key, "shape")) {
            read_shape(json, tensor);
            has_shape = 1;
        } else if (ce_json_is(key, "data_offsets")) {
            read_offsets(json, &range);
            has_range = 1;
        } else {
            ce_json_skip(json);
        }
    }
    if (!tensor->dtype || !has_shape || !has_range)
        ce_json_fail(json, "tensor '%s' needs dtype, shape and data_offsets", tensor->name);
    place(json, tensor, range, data, data_size);
}

static ce_tensor *add_tensor(ce_safetensors *safetensors, ce_json_text name)
{
    size_t count = safetensors->count;
    if ((count & (count - 1)) == 0) { /* room for the next power of two */
        ce_tensor *grown =
            ce_reallocarray(safetensors->tensors, count ? 2 * count : 1, sizeof *grown);
        if (!grown)
            return NULL;
        safetensors->tensors = grown;
    }
    ce_tensor *tensor = &safetensors->tensors[count];
    *tensor = (ce_tensor){.name = ce_strndup(name.data, name.size)};
    if (!tensor->name)
        return NULL;
    safetensors->count++;
    return tensor;
}

static int read_header(const char *file, uint64_t header_size, uint64_t file_size,
                       ce_safetensors *out, ce_error *error)
{
    const char *data = file + SIZE_FIELD + header_size;
    uint64_t data_size = file_size - SIZE_FIELD - header_size;
    int out_of_memory = 0;
    ce_json json;
    ce_json_text key;
    ce_json_open(&json, file + SIZE_FIELD, (size_t)header_size, error);
    ce_json_object(&json);
    while (!out_of_memory && ce_json_member(&json, &key)) {
        if (ce_json_is(key, "__metadata__")) {
            ce_json_skip(&json);
        } else {
            if (memchr(key.data, '\0', key.size))
                ce_json_fail(&json, "a NUL character in the name of a tensor");
            ce_tensor *tensor = add_tensor(out, key);
            out_of_memory = !tensor;
            if (tensor)
                read_tensor(&json, tensor, data, data_size);
        }
    }
    int status = ce_json_close(&json);
    if (out_of_memory)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the list of tensors");
    if (status != CE_OK)
        ce_error_prefix(error, "safetensors header");
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ce_tensor *)a)->name, ((const ce_tensor *)b)->name);
}

static int check_names(ce_safetensors *safetensors, ce_error *error)
{
    ce_tensor *tensors = safetensors->tensors;
    if (safetensors->count > 0)
        qsort(tensors, safetensors->count, sizeof *tensors, by_name);
    for (size_t i = 1; i < safetensors->count; i++)
        if (by_name(&tensors[i - 1], &tensors[i]) == 0)
            return ce_fail(error, CE_E_BAD_MODEL, "safetensors header: two tensors are named '%s'",
                           tensors[i].name);
    return CE_OK;
}

static int by_place(const void *a, const void *b)
{
    const ce_tensor *x = a, *y = b;
    int order =
        ((uintptr_t)x->data > (uintptr_t)y->data) - ((uintptr_t)x->data < (uintptr_t)y->data);
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Every byte of the data belongs to one tensor: the format knows neither gaps nor overlaps. */
static int check_cover(ce_safetensors *safetensors, const char *data, size_t size, ce_error *error)
{
    ce_tensor *tensors = safetensors->tensors;
    const char *at = data;
    if (safetensors->count > 0)
        qsort(tensors, safetensors->count, sizeof *tensors, by_place);
    for (size_t i = 0; i < safetensors->count; i++) {
        if (tensors[i].data != at)
            return ce_fail(
                error, CE_E_BAD_MODEL,
                "safetensors header: tensor '%s' does not begin at %zu, where the data before it ends",
                tensors[i].name, (size_t)(at - data));
        at += tensors[i].bytes;
    }
    if (at != data + size)
        return ce_fail(error, CE_E_BAD_MODEL,
                       "safetensors header: the tensors have %zu bytes, the file has %zu",
                       (size_t)(at - data), size);
    return CE_OK;
}

int ce_safetensors_read(const void *file, size_t size, ce_safetensors *out, ce_error *error)
{
    *out = (ce_safetensors){0};
    const unsigned char *bytes = file;
    uint64_t header_size = 0;
    if (size < SIZE_FIELD)
        return ce_fail(error, CE_E_BAD_MODEL, "%zu bytes are too few for a safetensors file", size);
    for (int i = SIZE_FIELD - 1; i >= 0; i--)
        header_size = header_size << 8 | bytes[i];
    if (header_size > HEADER_LIMIT || header_size > size - SIZE_FIELD)
        return ce_fail(error, CE_E_BAD_MODEL, "a safetensors header of %llu bytes in a file of %zu",
                       (unsigned long long)header_size, size);
    out->header_bytes = SIZE_FIELD + (size_t)header_size;
    int status = read_header(file, header_size, size, out, error);
    if (status == CE_OK)
        status = check_names(out, error);
    if (status == CE_OK)
        status = check_cover(out, (const char *)file + out->header_bytes, size - out->header_bytes,
                             error);
    if (status != CE_OK)
        ce_safetensors_free(out);
    return status;
}

void ce_safetensors_free(ce_safetensors *safetensors)
{
    for (size_t i = 0; i < safetensors->count; i++)
        ce_free((char *)safetensors->tensors[i].name);
    ce_free(safetensors->tensors);
    *safetensors = (ce_safetensors){0};
}

const ce_tensor *ce_safetensors_find(const ce_safetensors *safetensors, const char *name)
{
    for (size_t i = 0; i < safetensors->count; i++)
        if (strcmp(safetensors->tensors[i].name, name) == 0)
            return &safetensors->tensors[i];
    return NULL;
}
