/* O_PATH */
#define _GNU_SOURCE
#include "pack.h"

#include "base/mem.h"
#include "base/rounding.h"
#include "digest/crc32c.h"
#include "folder.h"
#include "form.h"
#include "manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST "citadel.json"
#define MANIFEST_DIGEST "citadel.sha256"

/* ---- Files -------------------------------------------------------------------------------- */

static int map_open(int fd, const char *name, ce_bytes *out, ce_error *error)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return ce_fail_errno(error, CE_E_IO, errno, "%s", name);
    if (!S_ISREG(info.st_mode))
        return ce_fail(error, CE_E_BAD_MODEL, "%s is not a regular file", name);
    if (info.st_size == 0) {
        *out = (ce_bytes){"", 0};
        return CE_OK;
    }
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return ce_fail_errno(error, errno == ENOMEM ? CE_E_NO_MEMORY : CE_E_IO, errno,
                             "cannot map %s", name);
    *out = (ce_bytes){data, (size_t)info.st_size};
    return CE_OK;
}

int ce_pack_map_unlisted(const ce_pack *pack, const char *name, ce_bytes *out, ce_error *error)
{
    *out = (ce_bytes){0};
    /* Not blocking: a pipe in the place of a file must not hold us up. */
    int fd = openat(pack->directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return ce_fail_errno(error, errno == ENOENT ? CE_E_NOT_FOUND : CE_E_IO, errno, "%s", name);
    int status = map_open(fd, name, out, error);
    close(fd);
    return status;
}

void ce_pack_unmap(ce_bytes *bytes)
{
    if (bytes->size > 0)
        munmap((void *)bytes->data, bytes->size);
    *bytes = (ce_bytes){0};
}

const ce_pack_file *ce_pack_find_file(const ce_pack *pack, const char *name, ce_error *error)
{
    for (size_t i = 0; i < pack->file_count; i++)
        if (strcmp(pack->files[i].name, name) == 0)
            return &pack->files[i];
    ce_fail(error, CE_E_BAD_MODEL, "%s: the member 'files' has no '%s'", MANIFEST, name);
    return NULL;
}

/* Map a listed file whose size is right. */
static int map_listed(const ce_pack *pack, const ce_pack_file *file, ce_bytes *out, ce_error *error)
{
    int status = ce_pack_map_unlisted(pack, file->name, out, error);
    if (status == CE_E_NOT_FOUND)
        status = ce_fail(error, CE_E_BAD_MODEL, "%s is missing", file->name);
    if (status == CE_OK && out->size != file->bytes) {
        status =
            ce_fail(error, CE_E_BAD_MODEL, "%s has %zu bytes, expected %llu: it was cut or changed",
                    file->name, out->size, (unsigned long long)file->bytes);
        ce_pack_unmap(out);
    }
    return status;
}

static int damaged(const char *file, const char *part, ce_error *error)
{
    return ce_fail(error, CE_E_BAD_MODEL, "%s is damaged: wrong CRC-32C of %s", file, part);
}

int ce_pack_map(const ce_pack *pack, const char *name, ce_bytes *out, ce_error *error)
{
    *out = (ce_bytes){0};
    if (pack->native)
        return ce_pack_map_unlisted(pack, name, out, error);
    const ce_pack_file *file = ce_pack_find_file(pack, name, error);
    if (!file)
        return CE_E_BAD_MODEL;
    int status = map_listed(pack, file, out, error);
    if (status != CE_OK)
        return status;
    if (!file->has_crc32c || ce_crc32c(0, out->data, out->size) != file->crc32c) {
        ce_pack_unmap(out);
        return damaged(name, "the file", error);
    }
    return CE_OK;
}

/* ---- Identity ----------------------------------------------------------------------------- */

static void sha256_of(const ce_bytes *bytes, char hex[CE_SHA256_HEX])
{
    unsigned char digest[CE_SHA256_BYTES];
    ce_sha256 sha;
    ce_sha256_init(&sha);
    ce_sha256_update(&sha, bytes->data, bytes->size);
    ce_sha256_final(&sha, digest);
    ce_sha256_hex(digest, hex);
}

static int check_manifest_digest(const ce_pack *pack, ce_error *error)
{
    ce_bytes digest;
    int status = ce_pack_map_unlisted(pack, MANIFEST_DIGEST, &digest, error);
    if (status != CE_OK)
        return status == CE_E_NOT_FOUND
                   ? ce_fail(error, CE_E_BAD_MODEL, "%s is missing", MANIFEST_DIGEST)
                   : status;
    int same =
        digest.size >= CE_SHA256_HEX - 1 && memcmp(digest.data, pack->id, CE_SHA256_HEX - 1) == 0;
    ce_pack_unmap(&digest);
    if (!same)
        return ce_fail(error, CE_E_BAD_MODEL,
                       "%s is damaged or was changed: its SHA-256 is not in %s", MANIFEST,
                       MANIFEST_DIGEST);
    return CE_OK;
}

static int check_file_digest(const ce_pack *pack, const ce_pack_file *file, ce_error *error)
{
    ce_bytes bytes;
    char hex[CE_SHA256_HEX];
    int status = map_listed(pack, file, &bytes, error);
    if (status != CE_OK)
        return status;
    sha256_of(&bytes, hex);
    ce_pack_unmap(&bytes);
    if (memcmp(hex, file->sha256, sizeof hex) != 0)
        return ce_fail(error, CE_E_BAD_MODEL, "%s is damaged or was changed: wrong SHA-256",
                       file->name);
    return CE_OK;
}

static int check_identity(const ce_pack *pack, const char *require_id, ce_error *error)
{
    if (strcasecmp(pack->id, require_id) != 0)
        return ce_fail(error, CE_E_BAD_MODEL, "the model's identity is %s, required is %s",
                       pack->id, require_id);
    for (size_t i = 0; i < pack->file_count; i++) {
        int status = check_file_digest(pack, &pack->files[i], error);
        if (status != CE_OK)
            return status;
    }
    return CE_OK;
}

/* ---- Manifest ----------------------------------------------------------------------------- */

static int read_manifest(ce_pack *pack, const ce_bytes *manifest, ce_error *error)
{
    int status = ce_manifest_check_version(manifest->data, manifest->size, error);
    if (status == CE_OK) {
        sha256_of(manifest, pack->id);
        status = check_manifest_digest(pack, error);
        if (status != CE_OK)
            return status;
        status = ce_manifest_read(manifest->data, manifest->size, pack, error);
    }
    if (status != CE_OK)
        ce_error_prefix(error, "%s", MANIFEST);
    return status;
}

/* All files are opened from here: a pack that is renamed into this place meanwhile is not mixed with this one. */
static int open_directory(ce_pack *pack, ce_error *error)
{
    pack->directory = open(pack->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    pack->directory_open = pack->directory >= 0;
    if (!pack->directory_open)
        return ce_fail_errno(error, errno == ENOENT ? CE_E_NOT_FOUND : CE_E_IO, errno,
                             "the directory");
    return CE_OK;
}

void ce_pack_close_directory(ce_pack *pack)
{
    if (pack->directory_open)
        close(pack->directory);
    pack->directory_open = 0;
}

static int open_folder(ce_pack *pack, const char *require_id, ce_error *error)
{
    if (!ce_folder_is_model(pack))
        return ce_fail(error, CE_E_NOT_FOUND,
                       "no %s there, and no config.json of Hugging Face: make a model pack with "
                       "`python -m citadel_embed.export`",
                       MANIFEST);
    if (require_id)
        return ce_fail(error, CE_E_UNSUPPORTED,
                       "an identity is required, but a folder without %s records no digests of "
                       "its files: make a model pack with `python -m citadel_embed.export`",
                       MANIFEST);
    return ce_folder_open(pack, error);
}

static int open_in(ce_pack *pack, const char *path, const char *require_id, ce_error *error)
{
    pack->path = ce_strndup(path, strlen(path));
    if (!pack->path)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a path");
    int status = open_directory(pack, error);
    if (status != CE_OK)
        return status;
    ce_bytes manifest;
    status = ce_pack_map_unlisted(pack, MANIFEST, &manifest, error);
    if (status == CE_E_NOT_FOUND)
        return open_folder(pack, require_id, error);
    if (status != CE_OK)
        return status;
    status = read_manifest(pack, &manifest, error);
    ce_pack_unmap(&manifest);
    if (status == CE_OK && require_id)
        status = check_identity(pack, require_id, error);
    return status;
}

int ce_pack_open(const char *path, const char *require_id, ce_pack **out, ce_error *error)
{
    *out = NULL;
    ce_pack *pack = ce_calloc(1, sizeof *pack);
    if (!pack)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a manifest");
    fenv_t hosts;
    ce_rounding_begin(&hosts);
    int status = open_in(pack, path, require_id, error);
    ce_rounding_end(&hosts);
    if (status != CE_OK) {
        ce_error_prefix(error, "model '%s'", path);
        ce_pack_close(pack);
        return status;
    }
    *out = pack;
    return CE_OK;
}

static void drop_weights(ce_pack *pack)
{
    ce_safetensors_free(&pack->weights);
    ce_pack_unmap(&pack->weights_file);
    pack->weights_name = NULL;
}

static void drop_native(ce_pack *pack)
{
    ce_weights_close(pack->native_weights);
    if (pack->native)
        ce_architecture_free(pack->native);
    ce_free(pack->native);
}

static void free_artifact(ce_artifact *artifact)
{
    for (size_t i = 0; i < artifact->isa_count; i++)
        ce_free(artifact->isa[i]);
    void *members[] = {artifact->form,     artifact->device,  artifact->graph, artifact->weights,
                       artifact->recovery, artifact->externs, artifact->torch, artifact->isa};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        ce_free(members[i]);
}

void ce_pack_close(ce_pack *pack)
{
    if (!pack)
        return;
    ce_pack_close_directory(pack);
    ce_pack_drop_golden(pack);
    drop_weights(pack);
    drop_native(pack);
    for (size_t i = 0; i < pack->prompt_count; i++) {
        ce_free(pack->prompts[i].name);
        ce_free(pack->prompts[i].text);
    }
    for (size_t i = 0; i < pack->artifact_count; i++)
        free_artifact(&pack->artifacts[i]);
    for (size_t i = 0; i < pack->file_count; i++) {
        ce_pack_file *file = &pack->files[i];
        for (size_t t = 0; t < file->tensor_count; t++)
            ce_free(file->tensors[t].name);
        ce_free(file->tensors);
        ce_free(file->name);
    }
    void *rest[] = {pack->prompts,
                    pack->artifacts,
                    pack->forms,
                    pack->files,
                    pack->path,
                    pack->name,
                    pack->architecture,
                    pack->pooling,
                    pack->default_prompt,
                    pack->tokenizer,
                    pack->golden_texts,
                    pack->golden_vectors,
                    pack};
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
        ce_free(rest[i]);
}

/* ---- Weights ------------------------------------------------------------------------------ */

static int check_tensor(const ce_pack_file *file, const ce_tensor *tensor, ce_error *error)
{
    for (size_t i = 0; i < file->tensor_count; i++) {
        if (strcmp(file->tensors[i].name, tensor->name) != 0)
            continue;
        if (ce_crc32c(0, tensor->data, tensor->bytes) != file->tensors[i].crc32c)
            return damaged(file->name, tensor->name, error);
        return CE_OK;
    }
    return ce_fail(error, CE_E_BAD_MODEL, "%s: the manifest has no checksum for tensor '%s'",
                   file->name, tensor->name);
}

static int read_weights(ce_pack *pack, const ce_pack_file *file, ce_error *error)
{
    const ce_bytes *bytes = &pack->weights_file;
    int status = ce_safetensors_read(bytes->data, bytes->size, &pack->weights, error);
    if (status != CE_OK) {
        ce_error_prefix(error, "%s", file->name);
        return status;
    }
    if (ce_crc32c(0, bytes->data, pack->weights.header_bytes) != file->header_crc32c)
        return damaged(file->name, "the header", error);
    for (size_t i = 0; i < pack->weights.count && status == CE_OK; i++)
        status = check_tensor(file, &pack->weights.tensors[i], error);
    return status;
}

int ce_pack_load_weights(ce_pack *pack, ce_error *error)
{
    const char *name = pack->chosen->weights;
    if (pack->weights_name && name && strcmp(pack->weights_name, name) == 0)
        return CE_OK;
    drop_weights(pack);
    if (!ce_form_needs_weights(pack->chosen))
        return CE_OK;
    const ce_pack_file *file = ce_pack_find_file(pack, name, error);
    if (!file)
        return CE_E_BAD_MODEL;
    int status = map_listed(pack, file, &pack->weights_file, error);
    if (status != CE_OK)
        return status;
    status = read_weights(pack, file, error);
    if (status == CE_OK)
        pack->weights_name = name;
    else
        drop_weights(pack);
    return status;
}

uint64_t ce_pack_weight_bytes(const ce_pack *pack)
{
    if (ce_form_is_native(pack->chosen))
        return ce_weights_bytes(pack->native_weights);
    if (!pack->chosen->tensors_inside)
        return pack->weights_file.size;
    const ce_pack_file *graph = ce_pack_find_file(pack, pack->chosen->graph, NULL);
    return graph ? graph->bytes : 0;
}

/* ---- Golden texts ------------------------------------------------------------------------- */

static int find_vectors(const ce_pack *pack, ce_golden *golden, ce_error *error)
{
    int status = ce_pack_map(pack, pack->golden_vectors, &golden->file, error);
    if (status != CE_OK)
        return status;
    status = ce_safetensors_read(golden->file.data, golden->file.size, &golden->tensors, error);
    if (status != CE_OK) {
        ce_error_prefix(error, "%s", pack->golden_vectors);
        return status;
    }
    const ce_tensor *vectors = ce_safetensors_find(&golden->tensors, "vectors");
    if (!vectors || vectors->dtype != CE_DTYPE_F32 || vectors->dims != 2 ||
        (size_t)vectors->shape[0] != golden->count || vectors->shape[1] != pack->dim)
        return ce_fail(error, CE_E_BAD_MODEL, "%s has no tensor 'vectors' of F32 [%zu, %u]",
                       pack->golden_vectors, golden->count, pack->dim);
    golden->vectors = vectors->data;
    return CE_OK;
}

int ce_pack_load_golden(ce_pack *pack, ce_error *error)
{
    if (pack->native)
        return CE_OK; /* a folder has none */
    ce_bytes texts;
    int status = ce_pack_map(pack, pack->golden_texts, &texts, error);
    if (status != CE_OK)
        return status;
    status = ce_manifest_read_golden(texts.data, texts.size, &pack->golden, error);
    ce_pack_unmap(&texts);
    if (status != CE_OK) {
        ce_error_prefix(error, "%s", pack->golden_texts);
        return status;
    }
    return find_vectors(pack, &pack->golden, error);
}

void ce_pack_drop_golden(ce_pack *pack)
{
    ce_golden *golden = &pack->golden;
    for (size_t i = 0; i < golden->count; i++)
        ce_free(golden->texts[i]);
    ce_free(golden->texts);
    ce_free(golden->lengths);
    ce_safetensors_free(&golden->tensors);
    ce_pack_unmap(&golden->file);
    *golden = (ce_golden){0};
}

/* ---- Configuration ------------------------------------------------------------------------ */

static int copy_text(char **out, const char *text, ce_error *error)
{
    char *copy = ce_strndup(text, strlen(text));
    if (!copy)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a prompt");
    ce_free(*out);
    *out = copy;
    return CE_OK;
}

static ce_prompt *find_prompt(ce_pack *pack, const char *name)
{
    for (size_t i = 0; i < pack->prompt_count; i++)
        if (strcmp(pack->prompts[i].name, name) == 0)
            return &pack->prompts[i];
    return NULL;
}

static int add_prompt(ce_pack *pack, const char *name, ce_prompt **out, ce_error *error)
{
    ce_prompt *grown =
        ce_reallocarray(pack->prompts, pack->prompt_count + 1, sizeof *pack->prompts);
    if (!grown)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a prompt");
    pack->prompts = grown;
    *out = &grown[pack->prompt_count++];
    **out = (ce_prompt){0};
    return copy_text(&(*out)->name, name, error);
}

static int set_prompt(ce_pack *pack, const char *name, const char *text, ce_error *error)
{
    ce_prompt *prompt = find_prompt(pack, name);
    int status = prompt ? CE_OK : add_prompt(pack, name, &prompt, error);
    return status == CE_OK ? copy_text(&prompt->text, text, error) : status;
}

static int set_default_prompt(ce_pack *pack, const char *name, ce_error *error)
{
    if (*name && !find_prompt(pack, name))
        return ce_fail(
            error, CE_E_NOT_FOUND,
            "default_prompt is '%s', but neither the configuration nor the pack '%s' has "
            "a prompt of that name",
            name, pack->path);
    if (*name)
        return copy_text(&pack->default_prompt, name, error);
    ce_free(pack->default_prompt);
    pack->default_prompt = NULL;
    return CE_OK;
}

int ce_pack_configure(ce_pack *pack, const ce_config_model *model, ce_error *error)
{
    int status = CE_OK;
    pack->configured = model;
    for (const ce_yaml *p = model->prompts ? model->prompts->first : NULL; p && status == CE_OK;
         p = p->next)
        status = set_prompt(pack, p->key, p->text, error);
    return status == CE_OK && model->default_prompt
               ? set_default_prompt(pack, model->default_prompt, error)
               : status;
}
