#include "native/architecture.h"

#include "base/mem.h"
#include "native/checkpoint_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The defaults of transformers, which leaves a setting out of config.json where it has its default. 0: as many as
 * `heads` (key and value heads), or hidden / heads (the width of a head). */
typedef struct defaults {
    const char *model_type, *class_name;
    ce_family family;
    int64_t vocab_size, hidden, intermediate, layers, heads, kv_heads, head_dim, positions, pad;
    double norm_eps;
    int64_t window;
} defaults;

static const defaults families[] = {
    {"bert", "BertModel", CE_FAMILY_BERT, 30522, 768, 3072, 12, 12, 0, 0, 512, 0, 1e-12, 0},
    {"roberta", "RobertaModel", CE_FAMILY_BERT, 50265, 768, 3072, 12, 12, 0, 0, 512, 1, 1e-12, 0},
    {"xlm-roberta", "XLMRobertaModel", CE_FAMILY_BERT, 30522, 768, 3072, 12, 12, 0, 0, 512, 1,
     1e-12, 0},
    {"camembert", "CamembertModel", CE_FAMILY_BERT, 30522, 768, 3072, 12, 12, 0, 0, 512, 1, 1e-12,
     0},
    {"distilbert", "DistilBertModel", CE_FAMILY_DISTILBERT, 30522, 768, 3072, 6, 12, 0, 0, 512, 0,
     1e-12, 0},
    {"llama", "LlamaModel", CE_FAMILY_LLAMA, 32000, 4096, 11008, 32, 32, 0, 0, 2048, 0, 1e-6, 0},
    {"mistral", "MistralModel", CE_FAMILY_LLAMA, 32000, 4096, 14336, 32, 32, 8, 0, 131072, 0, 1e-6,
     4096},
    {"qwen2", "Qwen2Model", CE_FAMILY_LLAMA, 151936, 4096, 22016, 32, 32, 32, 0, 32768, 0, 1e-6,
     4096},
    {"qwen3", "Qwen3Model", CE_FAMILY_LLAMA, 151936, 4096, 22016, 32, 32, 32, 128, 32768, 0, 1e-6,
     4096},
    {"phi3", "Phi3Model", CE_FAMILY_PHI3, 32064, 3072, 8192, 32, 32, 0, 0, 4096, 0, 1e-5, 0},
};

enum { QWEN_MAX_WINDOW_LAYERS = 28, PHI3_ORIGINAL_POSITIONS = 4096, FIRST_THETA = 10000 };

typedef struct reading {
    const ce_checkpoint_config *config;
    const defaults *family;
    ce_architecture *out;
    ce_error *error;
} reading;

static int is_type(const reading *r, const char *model_type)
{
    return strcmp(r->family->model_type, model_type) == 0;
}

static int is_qwen(const reading *r)
{
    return is_type(r, "qwen2") || is_type(r, "qwen3");
}

static int is_decoder(const reading *r)
{
    return r->family->family == CE_FAMILY_LLAMA || r->family->family == CE_FAMILY_PHI3;
}

/* ---- Values ------------------------------------------------------------------------------- */

static const ce_hub_setting *get(const reading *r, ce_hub_setting_key key)
{
    return &r->config->settings[key];
}

static int64_t integer(const reading *r, ce_hub_setting_key key, int64_t otherwise)
{
    return get(r, key)->state == CE_HUB_SETTING_SET ? get(r, key)->integer : otherwise;
}

static const char *text(const reading *r, ce_hub_setting_key key, const char *otherwise)
{
    return get(r, key)->state == CE_HUB_SETTING_SET ? get(r, key)->text : otherwise;
}

static int refuse_text(const reading *r, const char *key, const char *value)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "'%.48s'", value);
    return ce_refuse_setting(r->error, key, quoted);
}

static int bad(const reading *r, const char *name, double value, const char *needed)
{
    return ce_fail(r->error, CE_E_BAD_MODEL, "%s is %g, needed is %s", name, value, needed);
}

static int no_memory(const reading *r)
{
    return ce_fail(r->error, CE_E_NO_MEMORY, "no memory for a model's architecture");
}

/* ---- Family ------------------------------------------------------------------------------- */

static int find_family(reading *r, const char *model_type)
{
    if (!model_type)
        return ce_fail(r->error, CE_E_BAD_MODEL, "no member 'model_type'");
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (strcmp(families[i].model_type, model_type) == 0) {
            r->family = &families[i];
            r->out->family = families[i].family;
            r->out->model_type = families[i].model_type;
            return CE_OK;
        }
    }
    return refuse_text(r, "model_type", model_type);
}

static int read_name(reading *r)
{
    const char *name = r->config->class_name ? r->config->class_name : r->family->class_name;
    r->out->name = ce_strndup(name, strlen(name));
    return r->out->name ? CE_OK : no_memory(r);
}

static int read_dtype(reading *r)
{
    static const struct {
        const char *name;
        ce_dtype dtype;
    } known[] = {{"float32", CE_DTYPE_F32}, {"float16", CE_DTYPE_F16}, {"bfloat16", CE_DTYPE_BF16}};
    const char *name = text(r, CE_HUB_DTYPE, text(r, CE_HUB_TORCH_DTYPE, NULL));
    if (!name)
        return CE_OK;
    const char *plain = strncmp(name, "torch.", 6) == 0 ? name + 6 : name;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, plain) == 0)
            r->out->dtype = known[i].dtype;
    return r->out->dtype ? CE_OK : refuse_text(r, "dtype", name);
}

/* Switches that no family here has an answer to, where they do not say what is done anyway. */
static int check_switches(const reading *r)
{
    const ce_hub_setting_key off[] = {CE_HUB_IS_DECODER, CE_HUB_CROSS_ATTENTION,
                                      CE_HUB_BIDIRECTIONAL};
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++)
        if (integer(r, off[i], 0) && !(is_decoder(r) && off[i] == CE_HUB_IS_DECODER))
            return ce_refuse_setting(r->error, ce_hub_setting_name(off[i]), "true");
    int causal = is_decoder(r);
    if (integer(r, CE_HUB_IS_CAUSAL, causal) != causal)
        return ce_refuse_setting(r->error, ce_hub_setting_name(CE_HUB_IS_CAUSAL),
                                 causal ? "false" : "true");
    const char *positions = text(r, CE_HUB_POSITION_TYPE, "absolute");
    if (!is_decoder(r) && strcmp(positions, "absolute") != 0)
        return refuse_text(r, ce_hub_setting_name(CE_HUB_POSITION_TYPE), positions);
    return CE_OK;
}

/* ---- Sizes -------------------------------------------------------------------------------- */

/* DistilBERT's own name of a size, for which transformers also takes the common one, and that first. */
static uint32_t size_named(const reading *r, ce_hub_setting_key common, ce_hub_setting_key own,
                           int64_t otherwise)
{
    if (r->family->family == CE_FAMILY_DISTILBERT)
        otherwise = integer(r, own, otherwise);
    return (uint32_t)integer(r, common, otherwise);
}

static void read_kv_heads(reading *r)
{
    int64_t count = r->family->kv_heads;
    if (count == 0 || get(r, CE_HUB_KV_HEADS)->state == CE_HUB_SETTING_NULL)
        count = r->out->heads;
    r->out->kv_heads = (uint32_t)(is_decoder(r) ? integer(r, CE_HUB_KV_HEADS, count) : count);
}

static void read_head_dim(reading *r)
{
    int64_t width = r->family->head_dim;
    if (width == 0)
        width = r->out->hidden / r->out->heads;
    r->out->head_dim = (uint32_t)(is_decoder(r) ? integer(r, CE_HUB_HEAD_DIM, width) : width);
}

static int check_sizes(const reading *r)
{
    const ce_architecture *a = r->out;
    int divides =
        is_decoder(r) && !is_type(r, "llama") ? a->head_dim > 0 : a->hidden % a->heads == 0;
    if (!divides)
        return ce_fail(r->error, CE_E_BAD_MODEL,
                       "hidden_size %u cannot be shared by %u attention heads", a->hidden,
                       a->heads);
    if (a->heads % a->kv_heads != 0)
        return ce_fail(r->error, CE_E_BAD_MODEL,
                       "%u attention heads cannot share %u key and value heads", a->heads,
                       a->kv_heads);
    if (integer(r, CE_HUB_EMBEDDING_SIZE, a->hidden) != a->hidden)
        return ce_refuse_setting(r->error, ce_hub_setting_name(CE_HUB_EMBEDDING_SIZE),
                                 "not hidden_size");
    return CE_OK;
}

static int read_sizes(reading *r)
{
    ce_architecture *a = r->out;
    const defaults *d = r->family;
    a->vocab_size = (uint32_t)integer(r, CE_HUB_VOCAB_SIZE, d->vocab_size);
    a->hidden = size_named(r, CE_HUB_HIDDEN_SIZE, CE_HUB_DIM, d->hidden);
    a->layers = size_named(r, CE_HUB_LAYERS, CE_HUB_N_LAYERS, d->layers);
    a->heads = size_named(r, CE_HUB_HEADS, CE_HUB_N_HEADS, d->heads);
    a->intermediate = d->family == CE_FAMILY_DISTILBERT
                          ? (uint32_t)integer(r, CE_HUB_HIDDEN_DIM, d->intermediate)
                          : (uint32_t)integer(r, CE_HUB_INTERMEDIATE_SIZE, d->intermediate);
    a->positions = (uint32_t)integer(r, CE_HUB_POSITIONS, d->positions);
    if (d->family == CE_FAMILY_BERT)
        a->token_types = (uint32_t)integer(r, CE_HUB_TOKEN_TYPES, 2);
    read_kv_heads(r);
    read_head_dim(r);
    return check_sizes(r);
}

/* RoBERTa counts its positions from behind the row of the padding token. */
static int read_position_offset(reading *r)
{
    if (r->family->family != CE_FAMILY_BERT || is_type(r, "bert"))
        return CE_OK;
    int64_t pad = integer(r, CE_HUB_PAD_TOKEN, r->family->pad);
    if (pad < 0 || get(r, CE_HUB_PAD_TOKEN)->state == CE_HUB_SETTING_NULL ||
        pad + 1 >= r->out->positions)
        return ce_fail(r->error, CE_E_BAD_MODEL,
                       "pad_token_id is the row before the first position: it must be from 0 to "
                       "%lld",
                       (long long)r->out->positions - 2);
    r->out->position_offset = (uint32_t)pad + 1;
    r->out->positions -= (uint32_t)pad + 1;
    return CE_OK;
}

/* ---- Layers ------------------------------------------------------------------------------- */

static int read_activation(reading *r)
{
    static const struct {
        const char *name;
        int decoder;
        ce_activation activation;
    } known[] = {
        {"gelu", 0, CE_ACTIVATION_GELU},
        {"gelu_python", 0, CE_ACTIVATION_GELU},
        {"gelu_new", 0, CE_ACTIVATION_GELU_TANH},
        {"gelu_fast", 0, CE_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", 0, CE_ACTIVATION_GELU_TANH},
        {"gelu_python_tanh", 0, CE_ACTIVATION_GELU_TANH},
        {"silu", 1, CE_ACTIVATION_SILU_GATE},
        {"swish", 1, CE_ACTIVATION_SILU_GATE},
    };
    ce_hub_setting_key key =
        r->family->family == CE_FAMILY_DISTILBERT ? CE_HUB_ACTIVATION : CE_HUB_HIDDEN_ACT;
    const char *name = text(r, key, is_decoder(r) ? "silu" : "gelu");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].decoder == is_decoder(r) && strcmp(known[i].name, name) == 0) {
            r->out->activation = known[i].activation;
            return CE_OK;
        }
    }
    return refuse_text(r, ce_hub_setting_name(key), name);
}

static int read_norm(reading *r)
{
    ce_hub_setting_key key = is_decoder(r) ? CE_HUB_RMS_NORM_EPS : CE_HUB_LAYER_NORM_EPS;
    double eps = r->family->norm_eps;
    if (r->family->family != CE_FAMILY_DISTILBERT && get(r, key)->state == CE_HUB_SETTING_SET)
        eps = get(r, key)->real;
    if (!(eps >= 0 && eps < 1))
        return bad(r, ce_hub_setting_name(key), eps, "a number from 0 to below 1");
    r->out->norm_eps = (float)eps;
    return CE_OK;
}

static void read_biases(reading *r)
{
    ce_architecture *a = r->out;
    if (!is_decoder(r)) {
        a->qkv_bias = a->out_bias = a->mlp_bias = 1;
    } else if (is_type(r, "llama") || is_type(r, "qwen3")) {
        a->qkv_bias = a->out_bias = (int)integer(r, CE_HUB_ATTENTION_BIAS, 0);
        a->mlp_bias = is_type(r, "llama") && integer(r, CE_HUB_MLP_BIAS, 0);
    } else {
        a->qkv_bias = is_type(r, "qwen2");
    }
    a->qk_norm = is_type(r, "qwen3");
}

/* ---- Window ------------------------------------------------------------------------------- */

/* The windowed layers as layer_types lists them: one run of layers. */
static int read_layer_types(reading *r)
{
    const ce_checkpoint_config *config = r->config;
    ce_architecture *a = r->out;
    if (config->layer_count != a->layers)
        return ce_fail(r->error, CE_E_BAD_MODEL, "%zu layer_types for %u layers",
                       config->layer_count, a->layers);
    uint32_t first = 0, end;
    while (first < a->layers && !config->windowed[first])
        first++;
    for (end = first; end < a->layers && config->windowed[end];)
        end++;
    for (uint32_t i = end; i < a->layers; i++)
        if (config->windowed[i])
            return ce_refuse_setting(r->error, "layer_types", "a mixture of types");
    if (end > first && a->window == 0)
        return ce_fail(r->error, CE_E_BAD_MODEL,
                       "layer_types has sliding_attention, but there is no sliding_window");
    a->first_windowed_layer = end > first ? first : 0;
    a->windowed_layers = end - first;
    return CE_OK;
}

static void read_windowed_layers(reading *r)
{
    ce_architecture *a = r->out;
    int64_t first = is_qwen(r) ? integer(r, CE_HUB_MAX_WINDOW_LAYERS, QWEN_MAX_WINDOW_LAYERS) : 0;
    if (a->window == 0 || first >= a->layers)
        return;
    a->first_windowed_layer = (uint32_t)first;
    a->windowed_layers = a->layers - (uint32_t)first;
}

static int read_window(reading *r)
{
    ce_architecture *a = r->out;
    int listed = r->config->layer_types == CE_HUB_SETTING_SET;
    if (!is_decoder(r) || is_type(r, "llama")) {
        /* sliding_window says nothing to these. */
    } else if (get(r, CE_HUB_WINDOW)->state != CE_HUB_SETTING_NULL &&
               (!is_qwen(r) || integer(r, CE_HUB_USE_WINDOW, 0))) {
        a->window = integer(r, CE_HUB_WINDOW, r->family->window);
    }
    int status = CE_OK;
    if (listed && is_qwen(r))
        status = read_layer_types(r);
    else
        read_windowed_layers(r);
    if (a->windowed_layers == 0)
        a->window = 0;
    return status;
}

/* ---- Rotary positions --------------------------------------------------------------------- */

typedef struct rope_reading {
    reading *whole;
    const ce_rope_settings *settings;
    ce_rope_scaling *out;
} rope_reading;

static int has(const rope_reading *r, ce_rope_key key)
{
    return r->settings->settings[key].state == CE_HUB_SETTING_SET;
}

static const char *rope_type(const rope_reading *r)
{
    const ce_rope_key keys[] = {CE_HUB_IN_ROPE_TYPE, CE_HUB_IN_ROPE_OLD_TYPE};
    for (size_t i = 0; i < 2; i++)
        if (has(r, keys[i]))
            return r->settings->settings[keys[i]].text;
    return "default";
}

static int read_rope_kind(rope_reading *r)
{
    static const struct {
        const char *name;
        ce_rope_kind kind;
    } known[] = {{"default", CE_ROPE_DEFAULT},
                 {"linear", CE_ROPE_LINEAR},
                 {"llama3", CE_ROPE_LLAMA3},
                 {"longrope", CE_ROPE_LONGROPE}};
    const char *name = rope_type(r);
    int phi = r->whole->family->family == CE_FAMILY_PHI3;
    /* What earlier versions of Phi-3 called it. */
    const char *type =
        phi && (strcmp(name, "su") == 0 || strcmp(name, "yarn") == 0) ? "longrope" : name;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, type) != 0)
            continue;
        r->out->kind = known[i].kind;
        if (!phi || r->out->kind == CE_ROPE_DEFAULT || r->out->kind == CE_ROPE_LONGROPE)
            return CE_OK;
    }
    return refuse_text(r->whole, "rope_type", name);
}

static double in_rope_or_beside(const rope_reading *r, ce_rope_key key, ce_hub_setting_key beside,
                                double otherwise)
{
    if (has(r, key))
        return r->settings->settings[key].real;
    const ce_hub_setting *setting = get(r->whole, beside);
    return setting->state == CE_HUB_SETTING_SET ? setting->real : otherwise;
}

static int read_rotary_dim(rope_reading *r)
{
    const reading *whole = r->whole;
    double part = in_rope_or_beside(r, CE_HUB_IN_ROPE_PARTIAL_ROTARY, CE_HUB_PARTIAL_ROTARY, 1);
    if (!(part > 0 && part <= 1))
        return bad(whole, ce_hub_setting_name(CE_HUB_PARTIAL_ROTARY), part,
                   "a number above 0, at most 1");
    if (part != 1 && whole->family->family != CE_FAMILY_PHI3)
        return ce_refuse_setting(whole->error, ce_hub_setting_name(CE_HUB_PARTIAL_ROTARY),
                                 "below 1");
    r->out->rotary_dim = (uint32_t)(whole->out->head_dim * part);
    if (r->out->rotary_dim == 0 || r->out->rotary_dim % 2 != 0)
        return ce_fail(whole->error, CE_E_BAD_MODEL,
                       "%u elements of a head would be turned in pairs", r->out->rotary_dim);
    return CE_OK;
}

/* A number of the scaling that must be there. */
static int read_factor(const rope_reading *r, ce_rope_key key, double least, double *out)
{
    if (!has(r, key))
        return ce_fail(r->whole->error, CE_E_BAD_MODEL, "rope_parameters has no '%s'",
                       ce_rope_setting_name(key));
    *out = r->settings->settings[key].real;
    if (!(*out >= least && *out < 1e9))
        return bad(r->whole, ce_rope_setting_name(key), *out, "a number from 0 (factor: 1) to 1e9");
    return CE_OK;
}

/* What stands beside the scaling goes before what stands in it. */
static void read_original_positions(rope_reading *r)
{
    const reading *whole = r->whole;
    int64_t inner = has(r, CE_HUB_IN_ROPE_ORIGINAL_POSITIONS)
                        ? r->settings->settings[CE_HUB_IN_ROPE_ORIGINAL_POSITIONS].integer
                        : whole->out->positions;
    if (whole->family->family == CE_FAMILY_PHI3)
        inner = PHI3_ORIGINAL_POSITIONS;
    r->out->original_positions = (uint32_t)integer(whole, CE_HUB_ORIGINAL_POSITIONS, inner);
}

static int read_llama3(rope_reading *r)
{
    ce_rope_scaling *out = r->out;
    int status = read_factor(r, CE_HUB_IN_ROPE_FACTOR, 1, &out->factor);
    if (status == CE_OK)
        status = read_factor(r, CE_HUB_IN_ROPE_LOW_FREQ, 1e-9, &out->low_freq_factor);
    if (status == CE_OK)
        status = read_factor(r, CE_HUB_IN_ROPE_HIGH_FREQ, 1e-9, &out->high_freq_factor);
    if (status == CE_OK && !(out->high_freq_factor > out->low_freq_factor))
        status =
            bad(r->whole, "high_freq_factor", out->high_freq_factor, "more than low_freq_factor");
    read_original_positions(r);
    return status;
}

static int copy_factors(const rope_reading *r, const char *name, const ce_factors *from, float **to)
{
    size_t count = r->out->rotary_dim / 2;
    if (from->count != count)
        return ce_fail(r->whole->error, CE_E_BAD_MODEL, "%s has %zu numbers, needed are %zu", name,
                       from->count, count);
    *to = ce_malloc(count * sizeof **to);
    if (!*to)
        return no_memory(r->whole);
    memcpy(*to, from->values, count * sizeof **to);
    return CE_OK;
}

static int read_attention_factor(rope_reading *r)
{
    ce_rope_scaling *out = r->out;
    out->factor = (double)r->whole->out->positions / out->original_positions;
    if (has(r, CE_HUB_IN_ROPE_FACTOR)) {
        int status = read_factor(r, CE_HUB_IN_ROPE_FACTOR, 0, &out->factor);
        if (status != CE_OK)
            return status;
    }
    if (has(r, CE_HUB_IN_ROPE_ATTENTION_FACTOR))
        return read_factor(r, CE_HUB_IN_ROPE_ATTENTION_FACTOR, 0, &out->attention_factor);
    if (out->factor > 1 && out->original_positions < 2)
        return bad(r->whole, "original_max_position_embeddings", out->original_positions,
                   "at least 2");
    if (out->factor > 1)
        out->attention_factor = sqrt(1 + log(out->factor) / log(out->original_positions));
    return CE_OK;
}

static int read_longrope(rope_reading *r)
{
    read_original_positions(r);
    int status =
        copy_factors(r, "short_factor", &r->settings->short_factors, &r->out->short_factor);
    if (status == CE_OK)
        status = copy_factors(r, "long_factor", &r->settings->long_factors, &r->out->long_factor);
    return status == CE_OK ? read_attention_factor(r) : status;
}

static int read_rope(reading *whole)
{
    const ce_checkpoint_config *config = whole->config;
    rope_reading r = {.whole = whole, .out = &whole->out->rope};
    r.settings = config->rope_scaling.filled ? &config->rope_scaling : &config->rope_parameters;
    r.out->theta = in_rope_or_beside(&r, CE_HUB_IN_ROPE_THETA, CE_HUB_ROPE_THETA, FIRST_THETA);
    r.out->attention_factor = 1;
    if (!(r.out->theta > 0 && r.out->theta < 1e18))
        return bad(whole, "rope_theta", r.out->theta, "a number from 0 to 1e18");
    int status = read_rope_kind(&r);
    if (status == CE_OK)
        status = read_rotary_dim(&r);
    if (status != CE_OK)
        return status;
    switch (r.out->kind) {
    case CE_ROPE_DEFAULT:
        break;
    case CE_ROPE_LINEAR:
        return read_factor(&r, CE_HUB_IN_ROPE_FACTOR, 1, &r.out->factor);
    case CE_ROPE_LLAMA3:
        return read_llama3(&r);
    case CE_ROPE_LONGROPE:
        return read_longrope(&r);
    }
    return CE_OK;
}

/* ---- Whole -------------------------------------------------------------------------------- */

static int read_encoder(reading *r)
{
    int (*const steps[])(reading *) = {read_name, read_dtype,  read_sizes, read_activation,
                                       read_norm, read_window, NULL};
    for (size_t i = 0; steps[i]; i++) {
        int status = steps[i](r);
        if (status != CE_OK)
            return status;
    }
    read_biases(r);
    r->out->causal = is_decoder(r);
    int status = check_switches(r);
    if (status == CE_OK)
        status = is_decoder(r) ? read_rope(r) : read_position_offset(r);
    return status;
}

static int read_family(reading *r, const void *json, size_t size)
{
    char *model_type;
    int status = ce_checkpoint_config_read_type(json, size, &model_type, r->error);
    if (status == CE_OK)
        status = find_family(r, model_type);
    ce_free(model_type);
    return status;
}

int ce_architecture_read(const void *json, size_t size, ce_architecture *out, ce_error *error)
{
    *out = (ce_architecture){0};
    ce_checkpoint_config config = {0};
    reading r = {.config = &config, .out = out, .error = error};
    int status = read_family(&r, json, size);
    if (status == CE_OK)
        status = ce_checkpoint_config_read(json, size, &config, error);
    if (status == CE_OK)
        status = read_encoder(&r);
    ce_checkpoint_config_free(&config);
    if (status != CE_OK)
        ce_architecture_free(out);
    return status;
}

void ce_architecture_free(ce_architecture *architecture)
{
    for (uint32_t i = 0; i < architecture->dense_count; i++)
        ce_free(architecture->dense[i].folder);
    ce_free(architecture->dense);
    ce_free(architecture->rope.short_factor);
    ce_free(architecture->rope.long_factor);
    ce_free(architecture->name);
    *architecture = (ce_architecture){0};
}
