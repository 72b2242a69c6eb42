#include "safetensors/safetensors.h"

#include "base/mem.h"
#include "json/json.h"

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
    for (size_t i = 0; ce_json_element(json); i++) {
        if (i == 2) {
            ce_json_fail(json, "more than two data_offsets");
            return;
        }
        *fields[i] = (uint64_t)ce_json_integer(json, 0, INT64_C(1) << 48);
    }
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
    if (!tensor->dtype)
        ce_json_fail(json, "tensor '%s' has no dtype", tensor->name);
    else if (range.begin > range.end || range.end > data_size)
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
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "dtype"))
            read_dtype(json, tensor);
        else if (ce_json_is(key, "shape"))
            read_shape(json, tensor);
        else if (ce_json_is(key, "data_offsets"))
            read_offsets(json, &range);
        else
            ce_json_skip(json);
    }
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
