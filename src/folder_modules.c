/* memrchr */
#define _GNU_SOURCE
#include "base/mem.h"
#include "folder_files.h"
#include "native/checkpoint_config.h"

#include <stdio.h>
#include <string.h>

enum { MODULES_MOST = 16, PATH_MOST = 128, DIM_MOST = 1 << 20 };

#define MODULES "modules.json"

typedef struct module {
    char kind[PATH_MOST]; /* "Pooling": the class */
    char path[PATH_MOST]; /* "1_Pooling", below the folder */
} module;

typedef struct module_list {
    module modules[MODULES_MOST];
    size_t count;
} module_list;

static void refuse_text(ce_json *json, const char *key, ce_json_text text)
{
    char value[96];
    snprintf(value, sizeof value, "'%.*s'", (int)(text.size < 80 ? text.size : 80), text.data);
    ce_refuse_member(json, key, value);
}

/* ---- The list ----------------------------------------------------------------------------- */

static void read_kind(ce_json *json, module *out)
{
    static const char package[] = "sentence_transformers.";
    ce_json_text type = ce_json_string(json);
    const char *dot = memrchr(type.data, '.', type.size);
    size_t size = dot ? type.size - (size_t)(dot + 1 - type.data) : 0;
    if (json->status != CE_OK)
        return;
    if (!dot || size >= sizeof out->kind || memchr(type.data, '\0', type.size) ||
        strncmp(type.data, package, sizeof package - 1) != 0) {
        refuse_text(json, "the type of a module", type);
        return;
    }
    memcpy(out->kind, dot + 1, size);
    out->kind[size] = '\0';
}

/* The Transformer is in the folder itself, other modules each in a folder of its own. */
static void read_path(ce_json *json, module *out)
{
    ce_json_text path = ce_json_string(json);
    if (json->status != CE_OK)
        return;
    if (path.size >= sizeof out->path || memchr(path.data, '/', path.size) ||
        memchr(path.data, '\0', path.size) || (path.size > 0 && path.data[0] == '.')) {
        ce_json_fail(json, "'%.*s' is not the name of a folder in the model's folder",
                     (int)path.size, path.data);
        return;
    }
    memcpy(out->path, path.data, path.size);
    out->path[path.size] = '\0';
}

static void read_module(ce_json *json, module *out)
{
    ce_json_text key;
    int has_path = 0;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "type")) {
            read_kind(json, out);
        } else if (ce_json_is(key, "path")) {
            read_path(json, out);
            has_path = 1;
        } else {
            ce_json_skip(json);
        }
    }
    if (!*out->kind || !has_path)
        ce_json_fail(json, "a module needs type and path");
}

static void read_list(ce_json *json, void *target)
{
    module_list *list = target;
    ce_json_array(json);
    while (ce_json_element(json)) {
        if (list->count == MODULES_MOST) {
            ce_json_fail(json, "more than %d modules", MODULES_MOST);
            return;
        }
        read_module(json, &list->modules[list->count++]);
    }
}

/* ---- Transformer -------------------------------------------------------------------------- */

static int is_true(ce_json *json)
{
    if (ce_json_peek(json) == CE_JSON_BOOLEAN)
        return ce_json_boolean(json);
    ce_json_skip(json);
    return 0;
}

static void refuse_true(ce_json *json, const char *key)
{
    if (is_true(json))
        ce_refuse_member(json, key, "true");
}

static int is_null(ce_json *json)
{
    int null = ce_json_peek(json) == CE_JSON_NULL;
    ce_json_skip(json);
    return null;
}

static void expect_text(ce_json *json, const char *key, const char *expected)
{
    if (ce_json_peek(json) == CE_JSON_NULL) {
        ce_json_null(json);
        return;
    }
    ce_json_text text = ce_json_string(json);
    if (json->status == CE_OK && !ce_json_is(text, expected))
        refuse_text(json, key, text);
}

static void read_text_modality(ce_json *json)
{
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "method"))
            expect_text(json, "method of the modality text", "forward");
        else if (ce_json_is(key, "method_output_name"))
            expect_text(json, "method_output_name of the modality text", "last_hidden_state");
        else
            ce_json_skip(json);
    }
}

/* Where texts can be messages, sentence-transformers puts all of them into a chat template. */
static void read_modalities(ce_json *json)
{
    int has_text = 0;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "text")) {
            read_text_modality(json);
            has_text = 1;
        } else if (ce_json_is(key, "message")) {
            ce_refuse_member(json, "modality_config", "a chat template (message)");
        } else {
            ce_json_skip(json);
        }
    }
    if (!has_text && json->status == CE_OK)
        ce_refuse_member(json, "modality_config", "without text");
}

/* Arguments for transformers: only none at all, or what sentence-transformers itself takes out. */
static void check_arguments(ce_json *json, const char *name)
{
    ce_json_text key;
    if (ce_json_peek(json) == CE_JSON_NULL) {
        ce_json_null(json);
        return;
    }
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (!ce_json_is(key, "trust_remote_code"))
            refuse_text(json, name, key);
        ce_json_skip(json);
    }
}

/* 1: `key` names what may be null alone, or an object without members, and has been checked. */
static int check_unset(ce_json *json, ce_json_text key)
{
    static const char *const objects[] = {"model_args",       "model_kwargs", "tokenizer_args",
                                          "processor_kwargs", "config_args",  "config_kwargs",
                                          "processing_kwargs"};
    static const char *const nulls[] = {"query_length", "document_length", "query_expansion",
                                        "tokenizer_name_or_path"};
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        if (ce_json_is(key, objects[i])) {
            check_arguments(json, objects[i]);
            return 1;
        }
    }
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++) {
        if (ce_json_is(key, nulls[i])) {
            if (!is_null(json))
                ce_refuse_member(json, nulls[i], "set");
            return 1;
        }
    }
    return 0;
}

static void read_limit(ce_json *json, double *limit)
{
    if (ce_json_peek(json) == CE_JSON_NULL) {
        ce_json_null(json);
        return;
    }
    *limit = ce_json_number(json);
    if (!(*limit >= 1) || *limit != (double)(uint64_t)(*limit < 1e18 ? *limit : 0))
        ce_json_fail(json, "max_seq_length is a whole number of tokens");
}

typedef struct transformer_reading {
    ce_folder *folder;
    int members;
} transformer_reading;

static void read_transformer(ce_json *json, void *target)
{
    transformer_reading *r = target;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        r->members = 1;
        if (ce_json_is(key, "max_seq_length"))
            read_limit(json, &r->folder->max_seq_length);
        else if (ce_json_is(key, "do_lower_case"))
            refuse_true(json, "do_lower_case");
        else if (ce_json_is(key, "transformer_task"))
            expect_text(json, "transformer_task", "feature-extraction");
        else if (ce_json_is(key, "module_output_name"))
            expect_text(json, "module_output_name", "token_embeddings");
        else if (ce_json_is(key, "modality_config"))
            read_modalities(json);
        else if (!check_unset(json, key))
            ce_json_skip(json);
    }
}

/* The first of these that says anything. */
static int read_transformer_config(ce_folder *folder)
{
    static const char *const names[] = {
        "sentence_bert_config.json",       "sentence_roberta_config.json",
        "sentence_distilbert_config.json", "sentence_camembert_config.json",
        "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
        "sentence_xlnet_config.json"};
    transformer_reading r = {.folder = folder};
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !r.members; i++) {
        int status = ce_folder_read(folder, names[i], read_transformer, &r);
        if (status != CE_OK && status != CE_E_NOT_FOUND)
            return status;
    }
    return CE_OK;
}

/* ---- Pooling ------------------------------------------------------------------------------ */

typedef struct pooling_reading {
    ce_architecture *native;
    int chosen;   /* "pooling_mode" goes before the switches of older versions */
    int switches; /* bit per pooling: an older version's switch is on */
    int64_t width;
} pooling_reading;

static const struct {
    const char *name, *old;
    ce_pooling pooling;
} poolings[] = {
    {"cls", "pooling_mode_cls_token", CE_POOL_CLS},
    {"max", "pooling_mode_max_tokens", CE_POOL_MAX},
    {"mean", "pooling_mode_mean_tokens", CE_POOL_MEAN},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", CE_POOL_MEAN_SQRT_LEN},
    {"weightedmean", "pooling_mode_weightedmean_tokens", CE_POOL_WEIGHTED_MEAN},
    {"lasttoken", "pooling_mode_lasttoken", CE_POOL_LAST},
};

enum { POOLINGS = sizeof poolings / sizeof poolings[0] };

static void read_mode(ce_json *json, ce_architecture *native)
{
    ce_json_text mode = ce_json_string(json);
    if (json->status != CE_OK)
        return;
    if (native->pooling_count == CE_POOLINGS_MAX) {
        ce_json_fail(json, "more than %d pooling modes", CE_POOLINGS_MAX);
        return;
    }
    for (size_t i = 0; i < POOLINGS; i++) {
        if (ce_json_is(mode, poolings[i].name)) {
            native->poolings[native->pooling_count++] = poolings[i].pooling;
            return;
        }
    }
    refuse_text(json, "pooling_mode", mode);
}

static void read_modes(ce_json *json, pooling_reading *r)
{
    r->chosen = 1;
    r->native->pooling_count = 0;
    if (ce_json_peek(json) == CE_JSON_STRING) {
        read_mode(json, r->native);
        return;
    }
    ce_json_array(json);
    while (ce_json_element(json))
        read_mode(json, r->native);
    if (r->native->pooling_count == 0)
        ce_json_fail(json, "no pooling_mode");
}

static void read_switch(ce_json *json, ce_json_text key, pooling_reading *r)
{
    for (size_t i = 0; i < POOLINGS; i++) {
        if (!ce_json_is(key, poolings[i].old))
            continue;
        r->switches = is_true(json) ? r->switches | 1 << i : r->switches & ~(1 << i);
        return;
    }
    ce_json_skip(json);
}

static void read_pooling(ce_json *json, void *target)
{
    pooling_reading *r = target;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "embedding_dimension") || ce_json_is(key, "word_embedding_dimension"))
            r->width = ce_json_integer(json, 1, DIM_MOST);
        else if (ce_json_is(key, "pooling_mode"))
            read_modes(json, r);
        else if (ce_json_is(key, "include_prompt")) {
            if (!ce_json_boolean(json))
                ce_refuse_member(json, "include_prompt", "false");
        } else {
            read_switch(json, key, r);
        }
    }
    if (json->status == CE_OK && r->width != r->native->hidden)
        ce_json_fail(json, "embedding_dimension is %lld, the encoder's vectors have %u elements",
                     (long long)r->width, r->native->hidden);
}

static void take_switches(const pooling_reading *r)
{
    ce_architecture *native = r->native;
    for (size_t i = 0; i < POOLINGS; i++)
        if (r->switches & 1 << i)
            native->poolings[native->pooling_count++] = poolings[i].pooling;
    if (native->pooling_count == 0)
        native->poolings[native->pooling_count++] = CE_POOL_MEAN;
}

/* The config.json of a module. */
static int read_module_config(ce_folder *folder, const module *module, ce_folder_reader read,
                              void *target)
{
    char name[PATH_MOST + sizeof "/config.json"];
    snprintf(name, sizeof name, "%s/config.json", module->path);
    return ce_folder_read(folder, name, read, target);
}

static int missing(ce_folder *folder, const module *module)
{
    return ce_fail(folder->error, CE_E_BAD_MODEL, "%s/config.json is missing", module->path);
}

static int add_pooling(ce_folder *folder, const module *module)
{
    pooling_reading r = {.native = folder->pack->native};
    int status = read_module_config(folder, module, read_pooling, &r);
    if (status == CE_E_NOT_FOUND)
        return missing(folder, module);
    if (status == CE_OK && !r.chosen)
        take_switches(&r);
    return status;
}

/* ---- Dense -------------------------------------------------------------------------------- */

static void read_activation(ce_json *json, ce_dense *dense)
{
    static const struct {
        const char *name;
        int activation;
    } known[] = {{"Identity", CE_DENSE_IDENTITY},
                 {"Tanh", CE_DENSE_TANH},
                 {"ReLU", CE_DENSE_RELU},
                 {"GELU", CE_DENSE_GELU},
                 {"Sigmoid", CE_DENSE_SIGMOID}};
    ce_json_text text = ce_json_string(json);
    if (json->status != CE_OK)
        return;
    const char *dot = memrchr(text.data, '.', text.size);
    ce_json_text last = text;
    if (dot) {
        last.data = dot + 1;
        last.size = text.size - (size_t)(dot + 1 - text.data);
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (ce_json_is(last, known[i].name) && text.size > 6 &&
            memcmp(text.data, "torch.", 6) == 0) {
            memcpy(&dense->activation, &known[i].activation, sizeof dense->activation);
            return;
        }
    }
    refuse_text(json, "activation_function", text);
}

/* A module that takes the vector of a text and puts another in its place. */
static int read_name_of_vector(ce_json *json, ce_json_text key)
{
    static const char *const names[] = {"module_input_name", "module_output_name"};
    for (size_t i = 0; i < 2; i++) {
        if (ce_json_is(key, names[i])) {
            expect_text(json, names[i], "sentence_embedding");
            return 1;
        }
    }
    return 0;
}

static void read_dense(ce_json *json, void *target)
{
    ce_dense *dense = target;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "in_features"))
            dense->in = (uint32_t)ce_json_integer(json, 1, DIM_MOST);
        else if (ce_json_is(key, "out_features"))
            dense->out = (uint32_t)ce_json_integer(json, 1, DIM_MOST);
        else if (ce_json_is(key, "bias"))
            dense->bias = ce_json_boolean(json);
        else if (ce_json_is(key, "activation_function"))
            read_activation(json, dense);
        else if (ce_json_is(key, "use_residual"))
            refuse_true(json, "use_residual");
        else if (!read_name_of_vector(json, key))
            ce_json_skip(json);
    }
}

static uint32_t width(const ce_architecture *native)
{
    return native->dense_count ? native->dense[native->dense_count - 1].out
                               : native->hidden * native->pooling_count;
}

static int check_dense(ce_folder *folder, const ce_dense *dense, uint32_t before)
{
    if (!dense->in || !dense->out)
        return ce_fail(folder->error, CE_E_BAD_MODEL,
                       "%s/config.json needs in_features and out_features", dense->folder);
    if (dense->in != before)
        return ce_fail(folder->error, CE_E_BAD_MODEL,
                       "%s/config.json: in_features is %u, the vector before it has %u elements",
                       dense->folder, dense->in, before);
    return CE_OK;
}

static int add_dense(ce_folder *folder, const module *module)
{
    ce_architecture *native = folder->pack->native;
    uint32_t before = width(native);
    ce_dense *grown =
        ce_reallocarray(native->dense, native->dense_count + 1, sizeof *native->dense);
    if (grown)
        native->dense = grown;
    char *name = grown ? ce_strndup(module->path, strlen(module->path)) : NULL;
    if (!name)
        return ce_fail(folder->error, CE_E_NO_MEMORY, "no memory for a model folder");
    ce_dense *dense = &native->dense[native->dense_count++];
    *dense = (ce_dense){.folder = name, .bias = 1, .activation = CE_DENSE_TANH};
    int status = read_module_config(folder, module, read_dense, dense);
    if (status == CE_E_NOT_FOUND)
        return missing(folder, module);
    return status == CE_OK ? check_dense(folder, dense, before) : status;
}

/* ---- Normalize ---------------------------------------------------------------------------- */

static void read_normalize(ce_json *json, void *target)
{
    (void)target;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key))
        if (!read_name_of_vector(json, key))
            ce_json_skip(json);
}

static int add_normalize(ce_folder *folder, const module *module)
{
    folder->pack->native->normalize = 1;
    int status = *module->path ? read_module_config(folder, module, read_normalize, NULL) : CE_OK;
    return status == CE_E_NOT_FOUND ? CE_OK : status;
}

/* ---- All ---------------------------------------------------------------------------------- */

static int refuse_module(ce_folder *folder, const char *kind, const char *cause)
{
    char value[2 * PATH_MOST];
    snprintf(value, sizeof value, "%s%s", kind, cause);
    ce_refuse_setting(folder->error, "one of the modules", value);
    ce_error_prefix(folder->error, MODULES);
    return CE_E_UNSUPPORTED;
}

/* What stands at `place` (from 2 on) of the list. */
static int add_later(ce_folder *folder, const module_list *list, size_t place)
{
    const module *module = &list->modules[place];
    if (strcmp(module->kind, "Dropout") == 0)
        return CE_OK; /* nothing, but in training */
    if (strcmp(module->kind, "Normalize") == 0)
        return place + 1 == list->count ? add_normalize(folder, module)
                                        : refuse_module(folder, module->kind, " before others");
    if (strcmp(module->kind, "Dense") != 0)
        return refuse_module(folder, module->kind, "");
    if (!*module->path)
        return ce_fail(folder->error, CE_E_BAD_MODEL, MODULES ": Dense has no path");
    return add_dense(folder, module);
}

static int add_modules(ce_folder *folder, const module_list *list)
{
    static const char *const first[] = {"Transformer", "Pooling"};
    for (size_t i = 0; i < 2; i++) {
        const char *found = i < list->count ? list->modules[i].kind : "nothing";
        if (strcmp(found, first[i]) != 0)
            return refuse_module(folder, found,
                                 i ? " in the place of Pooling" : " in the place of Transformer");
    }
    if (*list->modules[0].path)
        return refuse_module(folder, "Transformer", " in a folder of its own");
    if (!*list->modules[1].path)
        return ce_fail(folder->error, CE_E_BAD_MODEL, MODULES ": Pooling has no path");
    int status = read_transformer_config(folder);
    if (status == CE_OK)
        status = add_pooling(folder, &list->modules[1]);
    for (size_t i = 2; i < list->count && status == CE_OK; i++)
        status = add_later(folder, list, i);
    return status;
}

/* A model of transformers alone: the last token's vector where the class predicts the next one, else their mean. */
static int add_default_modules(ce_folder *folder)
{
    static const char causal[] = "ForCausalLM";
    ce_architecture *native = folder->pack->native;
    size_t length = strlen(native->name), end = sizeof causal - 1;
    if (strstr(native->name, "Classification"))
        return ce_fail(folder->error, CE_E_UNSUPPORTED,
                       "it is a %s, which gives scores and no vectors", native->name);
    int last = length >= end && strcmp(native->name + length - end, causal) == 0;
    native->poolings[0] = last ? CE_POOL_LAST : CE_POOL_MEAN;
    native->pooling_count = 1;
    return CE_OK;
}

int ce_folder_read_modules(ce_folder *folder)
{
    if (!folder->has_modules)
        return add_default_modules(folder);
    module_list list = {.count = 0};
    int status = ce_folder_read(folder, MODULES, read_list, &list);
    return status == CE_OK ? add_modules(folder, &list) : status;
}
