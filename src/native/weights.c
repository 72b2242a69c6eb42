/* madvise */
#define _GNU_SOURCE
/* O_PATH */
#define _GNU_SOURCE
#include "native/weights.h"

#include "base/mem.h"
#include "safetensors/safetensors.h"
#include "json/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WEIGHTS "model.safetensors"
#define INDEX "model.safetensors.index.json"

enum { NAME_MOST = 512, SHARDS_MOST = 1 << 12 };

typedef struct mapping {
    void *data;
    size_t size;
    struct stat info;
} mapping;

typedef struct shard {
    char *name;
    mapping file;
    ce_safetensors tensors;
} shard;

/* A tensor and where it lies, or where the index says that it does. */
typedef struct entry {
    const ce_tensor *tensor; /* NULL in the index */
    char *name;              /* of the index: owned */
    size_t shard;
} entry;

struct ce_weights {
    shard *shards;
    size_t shard_count;
    entry *tensors; /* by name */
    size_t tensor_count;
};

typedef struct index_reading {
    ce_json json;
    ce_weights *weights;
    entry *entries;
    size_t count;
} index_reading;

static int no_memory(ce_error *error)
{
    return ce_fail(error, CE_E_NO_MEMORY, "no memory for a model's weights");
}

/* Room for one more in an array that grows by doubling. */
static int make_room(void **array, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return 1;
    void *grown = ce_reallocarray(*array, count ? 2 * count : 1, size);
    if (!grown)
        return 0;
    *array = grown;
    return 1;
}

/* ---- Files -------------------------------------------------------------------------------- */

static int map_open(int fd, const char *name, mapping *out, ce_error *error)
{
    if (fstat(fd, &out->info) != 0)
        return ce_fail_errno(error, CE_E_IO, errno, "%s", name);
    if (!S_ISREG(out->info.st_mode) || out->info.st_size == 0)
        return ce_fail(error, CE_E_BAD_MODEL, "%s is %s", name,
                       S_ISREG(out->info.st_mode) ? "empty" : "not a regular file");
    size_t size = (size_t)out->info.st_size;
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return ce_fail_errno(error, errno == ENOMEM ? CE_E_NO_MEMORY : CE_E_IO, errno,
                             "cannot map %s", name);
    out->data = data;
    out->size = size;
    return CE_OK;
}

/* NOT_FOUND when it is not there. Not blocking: a pipe in the place of a file must not hold us up. */
static int map_file(int directory, const char *name, mapping *out, ce_error *error)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return ce_fail_errno(error, errno == ENOENT ? CE_E_NOT_FOUND : CE_E_IO, errno, "%s", name);
    int status = map_open(fd, name, out, error);
    close(fd);
    return status;
}

static void unmap(mapping *file)
{
    if (file->size > 0)
        munmap(file->data, file->size);
    *file = (mapping){0};
}

static int exists(int directory, const char *name)
{
    struct stat info;
    return fstatat(directory, name, &info, 0) == 0;
}

/* ---- Shards ------------------------------------------------------------------------------- */

static int add_shard(ce_weights *weights, const char *name, size_t size, ce_error *error)
{
    if (!make_room((void **)&weights->shards, weights->shard_count, sizeof *weights->shards))
        return no_memory(error);
    shard *added = &weights->shards[weights->shard_count];
    *added = (shard){.name = ce_strndup(name, size)};
    if (!added->name)
        return no_memory(error);
    weights->shard_count++;
    return CE_OK;
}

static int read_shard(int directory, shard *shard, ce_error *error)
{
    int status = map_file(directory, shard->name, &shard->file, error);
    if (status != CE_OK)
        return status;
    status = ce_safetensors_read(shard->file.data, shard->file.size, &shard->tensors, error);
    if (status != CE_OK)
        ce_error_prefix(error, "%s", shard->name);
    return status;
}

static int read_shards(ce_weights *weights, int directory, ce_error *error)
{
    for (size_t i = 0; i < weights->shard_count; i++) {
        int status = read_shard(directory, &weights->shards[i], error);
        if (status == CE_E_NOT_FOUND)
            status = ce_fail(error, CE_E_BAD_MODEL, "%s, which %s names, is missing",
                             weights->shards[i].name, INDEX);
        if (status != CE_OK)
            return status;
    }
    return CE_OK;
}

/* ---- Lookup ------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->tensor->name, ((const entry *)b)->tensor->name);
}

static int name_against(const void *name, const void *e)
{
    return strcmp(name, ((const entry *)e)->tensor->name);
}

static const entry *look_up(const ce_weights *weights, const char *name)
{
    if (weights->tensor_count == 0)
        return NULL;
    return bsearch(name, weights->tensors, weights->tensor_count, sizeof *weights->tensors,
                   name_against);
}

static int sort_tensors(ce_weights *weights, ce_error *error)
{
    size_t count = 0;
    for (size_t i = 0; i < weights->shard_count; i++)
        count += weights->shards[i].tensors.count;
    if (count == 0)
        return ce_fail(error, CE_E_BAD_MODEL, "%s has no tensors", weights->shards[0].name);
    weights->tensors = ce_reallocarray(NULL, count, sizeof *weights->tensors);
    if (!weights->tensors)
        return no_memory(error);
    for (size_t i = 0; i < weights->shard_count; i++)
        for (size_t t = 0; t < weights->shards[i].tensors.count; t++)
            weights->tensors[weights->tensor_count++] =
                (entry){.tensor = &weights->shards[i].tensors.tensors[t], .shard = i};
    qsort(weights->tensors, count, sizeof *weights->tensors, by_name);
    for (size_t i = 1; i < count; i++)
        if (by_name(&weights->tensors[i - 1], &weights->tensors[i]) == 0)
            return ce_fail(error, CE_E_BAD_MODEL, "tensor '%s' is in %s and in %s",
                           weights->tensors[i].tensor->name,
                           weights->shards[weights->tensors[i - 1].shard].name,
                           weights->shards[weights->tensors[i].shard].name);
    return CE_OK;
}

/* ---- Index -------------------------------------------------------------------------------- */

/* The shard of that name, which is added if it is new. Files lie in the directory itself. */
static size_t find_shard(index_reading *r, ce_json_text name)
{
    ce_weights *weights = r->weights;
    if (name.size == 0 || name.data[0] == '.' || memchr(name.data, '/', name.size) ||
        memchr(name.data, '\0', name.size)) {
        ce_json_fail(&r->json, "'%.*s' is not the name of a file in the folder", (int)name.size,
                     name.data);
        return 0;
    }
    /* Tensors of a shard mostly follow each other. */
    for (size_t i = weights->shard_count; i-- > 0;)
        if (ce_json_is(name, weights->shards[i].name))
            return i;
    if (weights->shard_count == SHARDS_MOST)
        ce_json_fail(&r->json, "more than %d files", SHARDS_MOST);
    else if (add_shard(weights, name.data, name.size, NULL) != CE_OK)
        ce_json_stop(&r->json, CE_E_NO_MEMORY, "no memory for an index");
    return weights->shard_count - 1;
}

static void read_entry(index_reading *r, ce_json_text name)
{
    if (memchr(name.data, '\0', name.size)) {
        ce_json_fail(&r->json, "a NUL character in the name of a tensor");
        return;
    }
    entry added = {0};
    if (make_room((void **)&r->entries, r->count, sizeof *r->entries))
        added.name = ce_strndup(name.data, name.size);
    if (!added.name) {
        ce_json_stop(&r->json, CE_E_NO_MEMORY, "no memory for an index");
        return;
    }
    ce_json_text file = ce_json_string(&r->json);
    if (r->json.status == CE_OK)
        added.shard = find_shard(r, file);
    r->entries[r->count++] = added;
}

static int parse_index(index_reading *r, const mapping *file, ce_error *error)
{
    int found = 0;
    ce_json_text key, name;
    ce_json_open(&r->json, file->data, file->size, error);
    ce_json_object(&r->json);
    while (ce_json_member(&r->json, &key)) {
        if (!ce_json_is(key, "weight_map")) {
            ce_json_skip(&r->json);
            continue;
        }
        found = 1;
        ce_json_object(&r->json);
        while (ce_json_member(&r->json, &name))
            read_entry(r, name);
    }
    int status = ce_json_close(&r->json);
    if (status == CE_OK && (!found || r->count == 0))
        status = ce_fail(error, CE_E_BAD_MODEL, "no tensors in 'weight_map'");
    if (status != CE_OK)
        ce_error_prefix(error, "%s", INDEX);
    return status;
}

static int check_entries(const index_reading *r, ce_error *error)
{
    for (size_t i = 0; i < r->count; i++) {
        const entry *found = look_up(r->weights, r->entries[i].name);
        if (!found || found->shard != r->entries[i].shard)
            return ce_fail(error, CE_E_BAD_MODEL, "tensor '%s' is not in %s, where %s says it is",
                           r->entries[i].name, r->weights->shards[r->entries[i].shard].name, INDEX);
    }
    return CE_OK;
}

static int read_index(ce_weights *weights, int directory, const mapping *file, ce_error *error)
{
    index_reading r = {.weights = weights};
    int status = parse_index(&r, file, error);
    if (status == CE_OK)
        status = read_shards(weights, directory, error);
    if (status == CE_OK)
        status = sort_tensors(weights, error);
    if (status == CE_OK)
        status = check_entries(&r, error);
    for (size_t i = 0; i < r.count; i++)
        ce_free(r.entries[i].name);
    ce_free(r.entries);
    return status;
}

/* ---- Opening ------------------------------------------------------------------------------ */

static int none_there(int directory, ce_error *error)
{
    if (exists(directory, "pytorch_model.bin") || exists(directory, "pytorch_model.bin.index.json"))
        return ce_fail(error, CE_E_UNSUPPORTED,
                       "weights in pytorch_model.bin are not read, only " WEIGHTS
                       ": export the model with `python -m citadel_embed.export` and load the "
                       "pack with the torch backend");
    return ce_fail(error, CE_E_BAD_MODEL, "neither " WEIGHTS " nor " INDEX " is there");
}

static int read_single(ce_weights *weights, int directory, ce_error *error)
{
    int status = add_shard(weights, WEIGHTS, strlen(WEIGHTS), error);
    if (status == CE_OK)
        status = read_shard(directory, &weights->shards[0], error);
    return status == CE_OK ? sort_tensors(weights, error) : status;
}

/* A single file goes before an index, as in transformers. */
static int open_in(ce_weights *weights, int directory, ce_error *error)
{
    if (exists(directory, WEIGHTS))
        return read_single(weights, directory, error);
    mapping index = {0};
    int status = map_file(directory, INDEX, &index, error);
    if (status == CE_E_NOT_FOUND)
        return none_there(directory, error);
    if (status == CE_OK)
        status = read_index(weights, directory, &index, error);
    unmap(&index);
    return status;
}

static int open_folder(ce_weights *weights, int directory, const char *folder, ce_error *error)
{
    int fd = openat(directory, *folder ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ce_fail_errno(error, errno == ENOENT ? CE_E_BAD_MODEL : CE_E_IO, errno,
                             "the directory");
    int status = open_in(weights, fd, error);
    close(fd);
    return status;
}

int ce_weights_open(int directory, const char *folder, ce_weights **out, ce_error *error)
{
    *out = NULL;
    ce_weights *weights = ce_calloc(1, sizeof *weights);
    if (!weights)
        return no_memory(error);
    int status = open_folder(weights, directory, folder, error);
    if (status != CE_OK) {
        if (*folder)
            ce_error_prefix(error, "%s", folder);
        ce_weights_close(weights);
        return status;
    }
    *out = weights;
    return CE_OK;
}

void ce_weights_close(ce_weights *weights)
{
    if (!weights)
        return;
    for (size_t i = 0; i < weights->shard_count; i++) {
        shard *shard = &weights->shards[i];
        ce_safetensors_free(&shard->tensors);
        unmap(&shard->file);
        ce_free(shard->name);
    }
    ce_free(weights->shards);
    ce_free(weights->tensors);
    ce_free(weights);
}

/* ---- Tensors ------------------------------------------------------------------------------ */

const char *ce_weights_prefix(const ce_weights *weights, const char *const *candidates,
                              const char *name)
{
    for (; *candidates; candidates++) {
        char whole[NAME_MOST];
        int length = snprintf(whole, sizeof whole, "%s%s", *candidates, name);
        if (length > 0 && length < NAME_MOST && look_up(weights, whole))
            return *candidates;
    }
    return NULL;
}

static int is_float(ce_dtype dtype)
{
    return dtype == CE_DTYPE_F32 || dtype == CE_DTYPE_F16 || dtype == CE_DTYPE_BF16;
}

static void describe_shape(const ce_tensor *tensor, char *out, size_t size)
{
    size_t used = 0;
    *out = '\0';
    for (uint32_t i = 0; i < tensor->dims && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "",
                                 (long long)tensor->shape[i]);
}

const ce_tensor *ce_weights_find(const ce_weights *weights, const char *name, uint32_t dims,
                                 int64_t rows, int64_t columns, ce_error *error)
{
    const entry *found = look_up(weights, name);
    if (!found) {
        ce_fail(error, CE_E_BAD_MODEL, "there is no tensor '%s'", name);
        return NULL;
    }
    const ce_tensor *tensor = found->tensor;
    if (!is_float(tensor->dtype)) {
        ce_fail(error, CE_E_BAD_MODEL, "tensor '%s' is not of fp32, fp16 or bf16", name);
        return NULL;
    }
    if (tensor->dims == dims && tensor->shape[0] == rows &&
        (dims == 1 || tensor->shape[1] == columns))
        return tensor;
    char shape[128], needed[64];
    const ce_tensor expected = {.dims = dims, .shape = {rows, columns}};
    describe_shape(tensor, shape, sizeof shape);
    describe_shape(&expected, needed, sizeof needed);
    ce_fail(error, CE_E_BAD_MODEL, "tensor '%s' has the shape [%s], config.json needs [%s]", name,
            shape, needed);
    return NULL;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    uint32_t fraction = half & 0x3FF;
    if (exponent == 31)
        return from_bits(sign | 0x7F800000 | fraction << 13);
    if (exponent > 0)
        return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}

void ce_weights_read(const ce_tensor *tensor, size_t first, size_t count, float *out)
{
    if (tensor->dtype == CE_DTYPE_F32) {
        memcpy(out, (const float *)tensor->data + first, count * sizeof *out);
        return;
    }
    const uint16_t *from = (const uint16_t *)tensor->data + first;
    if (tensor->dtype == CE_DTYPE_BF16)
        for (size_t i = 0; i < count; i++)
            out[i] = from_bits((uint32_t)from[i] << 16);
    else
        for (size_t i = 0; i < count; i++)
            out[i] = from_half(from[i]);
}

void ce_weights_add(const ce_tensor *tensor, size_t first, size_t count, float *out)
{
    const float *f32 = (const float *)tensor->data + first;
    const uint16_t *half = (const uint16_t *)tensor->data + first;
    if (tensor->dtype == CE_DTYPE_F32)
        for (size_t i = 0; i < count; i++)
            out[i] += f32[i];
    else if (tensor->dtype == CE_DTYPE_BF16)
        for (size_t i = 0; i < count; i++)
            out[i] += from_bits((uint32_t)half[i] << 16);
    else
        for (size_t i = 0; i < count; i++)
            out[i] += from_half(half[i]);
}

void ce_weights_release(const ce_weights *weights)
{
    for (size_t i = 0; i < weights->shard_count; i++) {
        const mapping *file = &weights->shards[i].file;
        if (file->size > 0)
            madvise((void *)file->data, file->size, MADV_DONTNEED);
    }
}

/* ---- Identity ----------------------------------------------------------------------------- */

void ce_weights_digest(const ce_weights *weights, ce_sha256 *sha)
{
    for (size_t i = 0; i < weights->shard_count; i++) {
        const shard *shard = &weights->shards[i];
        char size[32];
        snprintf(size, sizeof size, "%zu", shard->file.size);
        ce_sha256_update(sha, shard->name, strlen(shard->name) + 1);
        ce_sha256_update(sha, size, strlen(size) + 1);
        ce_sha256_update(sha, shard->file.data, shard->tensors.header_bytes);
    }
}

void ce_weights_key(const ce_weights *weights, char key[CE_SHA256_HEX])
{
    unsigned char digest[CE_SHA256_BYTES];
    ce_sha256 sha;
    ce_sha256_init(&sha);
    ce_weights_digest(weights, &sha);
    for (size_t i = 0; i < weights->shard_count; i++) {
        const struct stat *info = &weights->shards[i].file.info;
        char text[128];
        snprintf(text, sizeof text, "%lld.%09ld %llu", (long long)info->st_mtim.tv_sec,
                 info->st_mtim.tv_nsec, (unsigned long long)info->st_ino);
        ce_sha256_update(&sha, text, strlen(text) + 1);
    }
    ce_sha256_final(&sha, digest);
    ce_sha256_hex(digest, key);
}

uint64_t ce_weights_bytes(const ce_weights *weights)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < weights->shard_count; i++)
        bytes += weights->shards[i].file.size;
    return bytes;
}
