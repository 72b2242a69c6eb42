#include "folder.h"

#include "base/mem.h"
#include "citadel_embed.h"
#include "folder_files.h"
#include "native/checkpoint_config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG "config.json"
#define MODULES "modules.json"
#define SETTINGS "config_sentence_transformers.json"

enum { TOKENS_MOST = 1 << 24 };

static int exists(const ce_pack *pack, const char *name)
{
    struct stat info;
    return fstatat(pack->directory, name, &info, 0) == 0;
}

int ce_folder_is_model(const ce_pack *pack)
{
    return exists(pack, CONFIG) || exists(pack, MODULES);
}

int ce_folder_has(const ce_folder *folder, const char *name)
{
    return exists(folder->pack, name);
}

static int no_memory(ce_folder *folder)
{
    return ce_fail(folder->error, CE_E_NO_MEMORY, "no memory for a model folder");
}

static int copy(ce_folder *folder, const char *text, size_t size, char **out)
{
    ce_free(*out);
    *out = ce_strndup(text, size);
    return *out ? CE_OK : no_memory(folder);
}

/* ---- Files -------------------------------------------------------------------------------- */

static void add_to_identity(ce_folder *folder, const char *name, const ce_bytes *bytes)
{
    char size[32];
    snprintf(size, sizeof size, "%zu", bytes->size);
    ce_sha256_update(&folder->sha, name, strlen(name) + 1);
    ce_sha256_update(&folder->sha, size, strlen(size) + 1);
    ce_sha256_update(&folder->sha, bytes->data, bytes->size);
}

int ce_folder_map(ce_folder *folder, const char *name, ce_bytes *out)
{
    int status = ce_pack_map_unlisted(folder->pack, name, out, folder->error);
    if (status == CE_OK)
        add_to_identity(folder, name, out);
    return status;
}

int ce_folder_parse(ce_folder *folder, const char *name, const ce_bytes *bytes,
                    ce_folder_reader read, void *target)
{
    ce_json json;
    ce_json_open(&json, bytes->data, bytes->size, folder->error);
    read(&json, target);
    int status = ce_json_close(&json);
    if (status != CE_OK)
        ce_error_prefix(folder->error, "%s", name);
    return status;
}

int ce_folder_read(ce_folder *folder, const char *name, ce_folder_reader read, void *target)
{
    ce_bytes bytes;
    int status = ce_folder_map(folder, name, &bytes);
    if (status != CE_OK)
        return status;
    status = ce_folder_parse(folder, name, &bytes, read, target);
    ce_pack_unmap(&bytes);
    return status;
}

/* ---- Configuration of the encoder --------------------------------------------------------- */

static void read_class(ce_json *json, void *target)
{
    ce_folder *folder = target;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        int is_class = ce_json_is(key, "tokenizer_class");
        if (!is_class || ce_json_peek(json) != CE_JSON_STRING) {
            ce_json_skip(json);
            continue;
        }
        ce_json_text name = ce_json_string(json);
        if (json->status == CE_OK &&
            copy(folder, name.data, name.size, &folder->class_in_config) != CE_OK)
            ce_json_stop(json, CE_E_NO_MEMORY, "no memory for a model folder");
    }
}

static int parse_config(ce_folder *folder, const ce_bytes *bytes)
{
    ce_pack *pack = folder->pack;
    ce_architecture *native = ce_calloc(1, sizeof *native);
    if (!native)
        return no_memory(folder);
    int status = ce_architecture_read(bytes->data, bytes->size, native, folder->error);
    if (status != CE_OK) {
        ce_free(native);
        ce_error_prefix(folder->error, CONFIG);
        return status;
    }
    pack->native = native;
    return CE_OK;
}

static int read_config(ce_folder *folder)
{
    ce_bytes bytes;
    int status = ce_folder_map(folder, CONFIG, &bytes);
    if (status == CE_E_NOT_FOUND)
        return ce_fail(folder->error, CE_E_BAD_MODEL, CONFIG " is missing");
    if (status != CE_OK)
        return status;
    status = parse_config(folder, &bytes);
    if (status == CE_OK)
        status = ce_folder_parse(folder, CONFIG, &bytes, read_class, folder);
    ce_pack_unmap(&bytes);
    return status;
}

/* ---- Prompts ------------------------------------------------------------------------------ */

static ce_prompt *find_prompt(ce_pack *pack, ce_json_text name)
{
    for (size_t i = 0; i < pack->prompt_count; i++)
        if (ce_json_is(name, pack->prompts[i].name))
            return &pack->prompts[i];
    return NULL;
}

static ce_prompt *add_prompt(ce_pack *pack, const char *name, size_t size)
{
    ce_prompt *grown =
        ce_reallocarray(pack->prompts, pack->prompt_count + 1, sizeof *pack->prompts);
    if (!grown)
        return NULL;
    pack->prompts = grown;
    ce_prompt *prompt = &grown[pack->prompt_count++];
    prompt->name = ce_strndup(name, size);
    prompt->text = ce_strndup("", 0);
    return prompt->name && prompt->text ? prompt : NULL;
}

/* Every model of sentence-transformers has these; what the folder says of them comes later. */
static int add_default_prompts(ce_folder *folder)
{
    static const char *const names[] = {"query", "document"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!add_prompt(folder->pack, names[i], strlen(names[i])))
            return no_memory(folder);
    return CE_OK;
}

static void read_text(ce_json *json, char **out)
{
    ce_json_copy(json, ce_json_string(json), "no memory for a model folder", out);
}

static void read_prompt(ce_json *json, ce_json_text name, ce_pack *pack)
{
    if (memchr(name.data, '\0', name.size)) {
        ce_json_fail(json, "a NUL character in the name of a prompt");
        return;
    }
    ce_prompt *prompt = find_prompt(pack, name);
    if (!prompt)
        prompt = add_prompt(pack, name.data, name.size);
    if (!prompt)
        ce_json_stop(json, CE_E_NO_MEMORY, "no memory for a prompt");
    else if (ce_json_peek(json) == CE_JSON_NULL)
        ce_json_null(json);
    else
        read_text(json, &prompt->text);
}

static void read_prompts(ce_json *json, ce_pack *pack)
{
    ce_json_text name;
    ce_json_object(json);
    while (ce_json_member(json, &name))
        read_prompt(json, name, pack);
}

static void read_model_type(ce_json *json)
{
    ce_json_text type = ce_json_string(json);
    char value[64];
    if (ce_json_is(type, "SentenceTransformer"))
        return;
    snprintf(value, sizeof value, "'%.*s'", (int)(type.size < 48 ? type.size : 48), type.data);
    ce_refuse_member(json, "model_type", value);
}

static void read_settings(ce_json *json, void *target)
{
    ce_pack *pack = target;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_peek(json) == CE_JSON_NULL)
            ce_json_null(json);
        else if (ce_json_is(key, "prompts"))
            read_prompts(json, pack);
        else if (ce_json_is(key, "default_prompt_name"))
            read_text(json, &pack->default_prompt);
        else if (ce_json_is(key, "model_type"))
            read_model_type(json);
        else if (ce_json_is(key, "truncate_dim"))
            ce_refuse_member(json, "truncate_dim", "set");
        else
            ce_json_skip(json);
    }
}

static int read_prompt_settings(ce_folder *folder)
{
    ce_pack *pack = folder->pack;
    int status = add_default_prompts(folder);
    if (status != CE_OK || !folder->has_modules)
        return status;
    status = ce_folder_read(folder, SETTINGS, read_settings, pack);
    if (status == CE_E_NOT_FOUND)
        return CE_OK;
    if (status != CE_OK || !pack->default_prompt)
        return status;
    ce_json_text name = {pack->default_prompt, strlen(pack->default_prompt)};
    if (find_prompt(pack, name))
        return CE_OK;
    return ce_fail(folder->error, CE_E_BAD_MODEL,
                   SETTINGS ": default_prompt_name '%s' is none of the prompts",
                   pack->default_prompt);
}

/* ---- Weights ------------------------------------------------------------------------------ */

/* The table of the tokens must be there, and where config.json does not name the numbers' type, they do. */
static int check_table(ce_folder *folder)
{
    static const char *const prefixes[] = {"", "bert.", "roberta.", "distilbert.", "model.", NULL};
    ce_architecture *native = folder->pack->native;
    const ce_weights *weights = folder->pack->native_weights;
    int decoder = native->family == CE_FAMILY_LLAMA || native->family == CE_FAMILY_PHI3;
    const char *table = decoder ? "embed_tokens.weight" : "embeddings.word_embeddings.weight";
    const char *prefix = ce_weights_prefix(weights, prefixes, table);
    char name[64];
    snprintf(name, sizeof name, "%s%s", prefix ? prefix : "", table);
    const ce_tensor *tensor =
        ce_weights_find(weights, name, 2, native->vocab_size, native->hidden, folder->error);
    if (!tensor)
        return CE_E_BAD_MODEL;
    if (!native->dtype)
        native->dtype = tensor->dtype;
    return CE_OK;
}

static int check_dense_weights(ce_folder *folder, const ce_dense *dense, const ce_weights *weights)
{
    if (!ce_weights_find(weights, "linear.weight", 2, dense->out, dense->in, folder->error) ||
        (dense->bias &&
         !ce_weights_find(weights, "linear.bias", 1, dense->out, 0, folder->error))) {
        ce_error_prefix(folder->error, "%s", dense->folder);
        return CE_E_BAD_MODEL;
    }
    ce_weights_digest(weights, &folder->sha);
    return CE_OK;
}

static int check_dense(ce_folder *folder, const ce_dense *dense)
{
    ce_weights *weights;
    int status = ce_weights_open(folder->pack->directory, dense->folder, &weights, folder->error);
    if (status != CE_OK)
        return status;
    status = check_dense_weights(folder, dense, weights);
    ce_weights_close(weights);
    return status;
}

static int read_weights(ce_folder *folder)
{
    ce_pack *pack = folder->pack;
    if (exists(pack, "adapter_config.json"))
        return ce_refuse_setting(folder->error, "adapter_config.json", "there");
    int status = ce_weights_open(pack->directory, "", &pack->native_weights, folder->error);
    if (status == CE_OK)
        status = check_table(folder);
    if (status != CE_OK)
        return status;
    ce_weights_digest(pack->native_weights, &folder->sha);
    for (uint32_t i = 0; i < pack->native->dense_count && status == CE_OK; i++)
        status = check_dense(folder, &pack->native->dense[i]);
    return status;
}

/* ---- The manifest's members --------------------------------------------------------------- */

static int set_name(ce_folder *folder)
{
    const char *path = folder->pack->path;
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t first = end;
    while (first > 0 && path[first - 1] != '/')
        first--;
    return copy(folder, path + first, end - first, &folder->pack->name);
}

static int set_pooling(ce_folder *folder)
{
    static const char *const names[] = {
        [CE_POOL_CLS] = "cls",
        [CE_POOL_MAX] = "max",
        [CE_POOL_MEAN] = "mean",
        [CE_POOL_MEAN_SQRT_LEN] = "mean_sqrt_len_tokens",
        [CE_POOL_WEIGHTED_MEAN] = "weightedmean",
        [CE_POOL_LAST] = "lasttoken",
    };
    const ce_architecture *native = folder->pack->native;
    char text[32 * CE_POOLINGS_MAX];
    size_t used = 0;
    for (uint32_t i = 0; i < native->pooling_count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? "+" : "",
                                 names[native->poolings[i]]);
    return copy(folder, text, used, &folder->pack->pooling);
}

/* As Transformer of sentence-transformers does: its own limit, or the tokenizer's up to the known positions. */
static int set_limit(ce_folder *folder)
{
    ce_pack *pack = folder->pack;
    ce_architecture *native = pack->native;
    int learned = native->family == CE_FAMILY_BERT || native->family == CE_FAMILY_DISTILBERT;
    double limit = folder->max_seq_length;
    if (limit == 0) {
        limit = (double)native->positions + native->position_offset;
        if (folder->model_max_length > 0 && folder->model_max_length < limit)
            limit = folder->model_max_length;
    }
    if (limit > TOKENS_MOST)
        return ce_fail(folder->error, CE_E_UNSUPPORTED,
                       "max_seq_length is %.0f, this library takes at most %d", limit, TOKENS_MOST);
    if (learned && limit > native->positions)
        return ce_fail(folder->error, CE_E_UNSUPPORTED,
                       "max_seq_length is %.0f, but the model has %u positions: lower it in "
                       "sentence_bert_config.json",
                       limit, native->positions);
    pack->max_tokens = (uint32_t)limit;
    if (!learned && pack->max_tokens > native->positions)
        native->positions = pack->max_tokens;
    return CE_OK;
}

static int add_form(ce_folder *folder, int32_t precision)
{
    ce_artifact *artifact = &folder->pack->artifacts[folder->pack->artifact_count++];
    *artifact = (ce_artifact){.precision = precision, .tensors_inside = 1};
    int status = copy(folder, "native", strlen("native"), &artifact->form);
    if (status == CE_OK)
        status = copy(folder, "cpu", strlen("cpu"), &artifact->device);
    return status == CE_OK ? copy(folder, CONFIG, strlen(CONFIG), &artifact->graph) : status;
}

/* The backend converts the weights as it is asked. */
static int add_forms(ce_folder *folder)
{
    static const int32_t precisions[] = {CITADEL_PRECISION_FP32, CITADEL_PRECISION_BF16,
                                         CITADEL_PRECISION_INT8, CITADEL_PRECISION_INT8_ACCURATE};
    size_t count = sizeof precisions / sizeof precisions[0];
    folder->pack->artifacts = ce_calloc(count, sizeof *folder->pack->artifacts);
    int status = folder->pack->artifacts ? CE_OK : no_memory(folder);
    for (size_t i = 0; i < count && status == CE_OK; i++)
        status = add_form(folder, precisions[i]);
    return status;
}

static int set_sizes(ce_folder *folder)
{
    ce_pack *pack = folder->pack;
    const ce_architecture *native = pack->native;
    pack->dim = native->dense_count ? native->dense[native->dense_count - 1].out
                                    : native->hidden * native->pooling_count;
    pack->vocab_size = native->vocab_size;
    pack->layout = CE_LAYOUT_PACKED;
    pack->normalize = native->normalize;
    pack->precision =
        native->dtype == CE_DTYPE_BF16 ? CITADEL_PRECISION_BF16 : CITADEL_PRECISION_FP32;
    return set_limit(folder);
}

static int set_texts(ce_folder *folder)
{
    ce_pack *pack = folder->pack;
    int status = set_name(folder);
    if (status == CE_OK)
        status = set_pooling(folder);
    if (status == CE_OK)
        status = copy(folder, pack->native->name, strlen(pack->native->name), &pack->architecture);
    if (status == CE_OK)
        status = copy(folder, "tokenizer.json", strlen("tokenizer.json"), &pack->tokenizer);
    return status;
}

/* ---- Whole -------------------------------------------------------------------------------- */

static int read_files(ce_folder *folder)
{
    int (*const steps[])(ce_folder *) = {read_config,
                                         ce_folder_read_modules,
                                         ce_folder_read_tokenizer,
                                         read_prompt_settings,
                                         read_weights,
                                         set_sizes,
                                         set_texts,
                                         add_forms};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int status = steps[i](folder);
        if (status != CE_OK)
            return status;
    }
    return CE_OK;
}

int ce_folder_open(ce_pack *pack, ce_error *error)
{
    unsigned char digest[CE_SHA256_BYTES];
    ce_folder folder = {.pack = pack, .error = error, .has_modules = exists(pack, MODULES)};
    ce_sha256_init(&folder.sha);
    int status = read_files(&folder);
    ce_free(folder.class_in_config);
    ce_sha256_final(&folder.sha, digest);
    ce_sha256_hex(digest, pack->id);
    if (status == CE_OK && error)
        *error = (ce_error){0}; /* files that may be missing were */
    return status;
}
