#include "native/checkpoint_config.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FACTORS_MOST = 1 << 12, LAYERS_MOST = 1 << 12 };

typedef enum kind { INTEGER, REAL, SWITCH, TEXT } kind;

typedef struct member {
    const char *name;
    kind kind;
    int64_t min, max; /* of an integer */
} member;

/* The limits are far beyond any model; products of the sizes stay far below 64 bits. */
static const member members[CE_HUB_SETTINGS] = {
    [CE_HUB_MODEL_TYPE] = {"model_type", TEXT, 0, 0},
    [CE_HUB_DTYPE] = {"dtype", TEXT, 0, 0},
    [CE_HUB_TORCH_DTYPE] = {"torch_dtype", TEXT, 0, 0},
    [CE_HUB_VOCAB_SIZE] = {"vocab_size", INTEGER, 1, 1 << 24},
    [CE_HUB_HIDDEN_SIZE] = {"hidden_size", INTEGER, 1, 1 << 16},
    [CE_HUB_INTERMEDIATE_SIZE] = {"intermediate_size", INTEGER, 1, 1 << 20},
    [CE_HUB_LAYERS] = {"num_hidden_layers", INTEGER, 1, LAYERS_MOST},
    [CE_HUB_HEADS] = {"num_attention_heads", INTEGER, 1, 1 << 12},
    [CE_HUB_KV_HEADS] = {"num_key_value_heads", INTEGER, 1, 1 << 12},
    [CE_HUB_HEAD_DIM] = {"head_dim", INTEGER, 1, 1 << 12},
    [CE_HUB_POSITIONS] = {"max_position_embeddings", INTEGER, 1, 1 << 26},
    [CE_HUB_ORIGINAL_POSITIONS] = {"original_max_position_embeddings", INTEGER, 1, 1 << 26},
    [CE_HUB_TOKEN_TYPES] = {"type_vocab_size", INTEGER, 1, 1 << 16},
    [CE_HUB_PAD_TOKEN] = {"pad_token_id", INTEGER, -1, 1 << 24},
    [CE_HUB_EMBEDDING_SIZE] = {"embedding_size", INTEGER, 1, 1 << 16},
    [CE_HUB_HIDDEN_ACT] = {"hidden_act", TEXT, 0, 0},
    [CE_HUB_POSITION_TYPE] = {"position_embedding_type", TEXT, 0, 0},
    [CE_HUB_LAYER_NORM_EPS] = {"layer_norm_eps", REAL, 0, 0},
    [CE_HUB_RMS_NORM_EPS] = {"rms_norm_eps", REAL, 0, 0},
    [CE_HUB_ATTENTION_BIAS] = {"attention_bias", SWITCH, 0, 0},
    [CE_HUB_MLP_BIAS] = {"mlp_bias", SWITCH, 0, 0},
    [CE_HUB_ROPE_THETA] = {"rope_theta", REAL, 0, 0},
    [CE_HUB_PARTIAL_ROTARY] = {"partial_rotary_factor", REAL, 0, 0},
    [CE_HUB_USE_WINDOW] = {"use_sliding_window", SWITCH, 0, 0},
    [CE_HUB_WINDOW] = {"sliding_window", INTEGER, 1, INT64_C(1) << 40},
    [CE_HUB_MAX_WINDOW_LAYERS] = {"max_window_layers", INTEGER, 0, 1 << 16},
    [CE_HUB_IS_DECODER] = {"is_decoder", SWITCH, 0, 0},
    [CE_HUB_CROSS_ATTENTION] = {"add_cross_attention", SWITCH, 0, 0},
    [CE_HUB_BIDIRECTIONAL] = {"use_bidirectional_attention", SWITCH, 0, 0},
    [CE_HUB_IS_CAUSAL] = {"is_causal", SWITCH, 0, 0},
    [CE_HUB_DIM] = {"dim", INTEGER, 1, 1 << 16},
    [CE_HUB_HIDDEN_DIM] = {"hidden_dim", INTEGER, 1, 1 << 20},
    [CE_HUB_N_LAYERS] = {"n_layers", INTEGER, 1, LAYERS_MOST},
    [CE_HUB_N_HEADS] = {"n_heads", INTEGER, 1, 1 << 12},
    [CE_HUB_ACTIVATION] = {"activation", TEXT, 0, 0},
};

static const member rope_members[CE_HUB_SETTINGS_IN_ROPE] = {
    [CE_HUB_IN_ROPE_TYPE] = {"rope_type", TEXT, 0, 0},
    [CE_HUB_IN_ROPE_OLD_TYPE] = {"type", TEXT, 0, 0},
    [CE_HUB_IN_ROPE_THETA] = {"rope_theta", REAL, 0, 0},
    [CE_HUB_IN_ROPE_PARTIAL_ROTARY] = {"partial_rotary_factor", REAL, 0, 0},
    [CE_HUB_IN_ROPE_FACTOR] = {"factor", REAL, 0, 0},
    [CE_HUB_IN_ROPE_LOW_FREQ] = {"low_freq_factor", REAL, 0, 0},
    [CE_HUB_IN_ROPE_HIGH_FREQ] = {"high_freq_factor", REAL, 0, 0},
    [CE_HUB_IN_ROPE_ORIGINAL_POSITIONS] = {"original_max_position_embeddings", INTEGER, 1, 1 << 26},
    [CE_HUB_IN_ROPE_ATTENTION_FACTOR] = {"attention_factor", REAL, 0, 0},
};

const char *ce_hub_setting_name(ce_hub_setting_key key)
{
    return members[key].name;
}

const char *ce_rope_setting_name(ce_rope_key key)
{
    return rope_members[key].name;
}

int ce_refuse_setting(ce_error *error, const char *key, const char *value)
{
    return ce_fail(error, CE_E_UNSUPPORTED,
                   "%s is %s, which the native backend does not compute: export the model with "
                   "`python -m citadel_embed.export` and load the pack with the torch backend",
                   key, value);
}

void ce_refuse_member(ce_json *json, const char *key, const char *value)
{
    ce_error reason = {0};
    if (json->status != CE_OK)
        return;
    ce_refuse_setting(&reason, key, value);
    ce_json_stop(json, CE_E_UNSUPPORTED, reason.message);
}

/* ---- Pieces ------------------------------------------------------------------------------- */

static void read_text(ce_json *json, char **out)
{
    ce_json_copy(json, ce_json_string(json), "no memory for a model's configuration", out);
}

static void read_value(ce_json *json, const member *member, ce_hub_setting *out)
{
    switch (member->kind) {
    case INTEGER:
        out->integer = ce_json_integer(json, member->min, member->max);
        break;
    case REAL:
        out->real = ce_json_number(json);
        break;
    case SWITCH:
        out->integer = ce_json_boolean(json);
        break;
    case TEXT:
        read_text(json, &out->text);
        break;
    }
}

/* 1: `key` is one of the members, and has been read. Of a key that is there twice the last one counts. */
static int read_setting(ce_json *json, ce_json_text key, const member *known, size_t count,
                        ce_hub_setting *settings)
{
    for (size_t i = 0; i < count; i++) {
        if (!ce_json_is(key, known[i].name))
            continue;
        if (ce_json_peek(json) == CE_JSON_NULL) {
            ce_json_null(json);
            settings[i].state = CE_HUB_SETTING_NULL;
            return 1;
        }
        read_value(json, &known[i], &settings[i]);
        settings[i].state = CE_HUB_SETTING_SET;
        if (json->status == CE_E_BAD_MODEL)
            ce_error_prefix(json->error, "%s", known[i].name);
        return 1;
    }
    return 0;
}

static void free_settings(ce_hub_setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ce_free(settings[i].text);
}

/* ---- Rotary positions --------------------------------------------------------------------- */

static void read_factors(ce_json *json, ce_factors *factors)
{
    factors->count = 0;
    if (ce_json_peek(json) == CE_JSON_NULL) {
        ce_json_null(json);
        return;
    }
    if (!factors->values)
        factors->values = ce_malloc(FACTORS_MOST * sizeof *factors->values);
    if (!factors->values) {
        ce_json_stop(json, CE_E_NO_MEMORY, "no memory for a model's configuration");
        return;
    }
    ce_json_array(json);
    while (ce_json_element(json)) {
        float value = (float)ce_json_number(json);
        if (factors->count == FACTORS_MOST || !(value > 0) || !isfinite(value)) {
            ce_json_fail(json, "frequencies have up to %d factors, which are positive numbers",
                         FACTORS_MOST);
            return;
        }
        factors->values[factors->count++] = value;
    }
}

static void read_rope_member(ce_json *json, ce_json_text key, ce_rope_settings *rope)
{
    if (ce_json_is(key, "short_factor"))
        read_factors(json, &rope->short_factors);
    else if (ce_json_is(key, "long_factor"))
        read_factors(json, &rope->long_factors);
    else if (ce_json_peek(json) == CE_JSON_OBJECT)
        ce_refuse_member(json, "rope_parameters", "an object for each type of layer");
    else if (!read_setting(json, key, rope_members, CE_HUB_SETTINGS_IN_ROPE, rope->settings))
        ce_json_skip(json);
}

static void free_rope(ce_rope_settings *rope)
{
    free_settings(rope->settings, CE_HUB_SETTINGS_IN_ROPE);
    ce_free(rope->short_factors.values);
    ce_free(rope->long_factors.values);
    *rope = (ce_rope_settings){0};
}

static void read_rope(ce_json *json, ce_rope_settings *rope)
{
    free_rope(rope);
    if (ce_json_peek(json) == CE_JSON_NULL) {
        ce_json_null(json);
        return;
    }
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        rope->filled = 1;
        read_rope_member(json, key, rope);
    }
}

/* ---- Lists -------------------------------------------------------------------------------- */

static void read_class_names(ce_json *json, char **first)
{
    if (ce_json_peek(json) == CE_JSON_NULL) {
        ce_json_null(json);
        return;
    }
    ce_json_array(json);
    for (int i = 0; ce_json_element(json); i++) {
        if (i == 0)
            read_text(json, first);
        else
            ce_json_skip(json);
    }
}

static void read_layer_type(ce_json *json, ce_checkpoint_config *config)
{
    ce_json_text text = ce_json_string(json);
    int windowed = ce_json_is(text, "sliding_attention");
    if (config->layer_count == LAYERS_MOST) {
        ce_json_fail(json, "more than %d layer_types", LAYERS_MOST);
    } else if (!windowed && !ce_json_is(text, "full_attention")) {
        char value[64];
        snprintf(value, sizeof value, "'%.*s'", (int)(text.size < 48 ? text.size : 48), text.data);
        ce_refuse_member(json, "one of layer_types", value);
    } else {
        config->windowed[config->layer_count++] = (unsigned char)windowed;
    }
}

static void read_layer_types(ce_json *json, ce_checkpoint_config *config)
{
    config->layer_count = 0;
    config->layer_types = CE_HUB_SETTING_NULL;
    if (ce_json_peek(json) == CE_JSON_NULL) {
        ce_json_null(json);
        return;
    }
    config->layer_types = CE_HUB_SETTING_SET;
    if (!config->windowed)
        config->windowed = ce_malloc(LAYERS_MOST);
    if (!config->windowed) {
        ce_json_stop(json, CE_E_NO_MEMORY, "no memory for a model's configuration");
        return;
    }
    ce_json_array(json);
    while (ce_json_element(json))
        read_layer_type(json, config);
}

/* ---- What no family can do ---------------------------------------------------------------- */

/* Code of the folder's own for the encoder; for other classes it is nobody's concern here. */
static void check_code(ce_json *json)
{
    ce_json_text key;
    if (ce_json_peek(json) != CE_JSON_OBJECT) {
        ce_json_skip(json);
        return;
    }
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "AutoModel"))
            ce_refuse_member(json, "auto_map", "code of the folder's own for AutoModel");
        else
            ce_json_skip(json);
    }
}

static void check_empty(ce_json *json, const char *name)
{
    ce_json_text key;
    if (ce_json_peek(json) == CE_JSON_OBJECT) {
        ce_json_object(json);
        if (ce_json_member(json, &key))
            ce_refuse_member(json, name, "not empty");
    } else if (ce_json_peek(json) == CE_JSON_NULL) {
        ce_json_null(json);
    } else {
        ce_refuse_member(json, name, "set");
    }
}

static int check_unknown(ce_json *json, ce_json_text key)
{
    static const char *const refused[] = {"quantization_config", "per_layer_config",
                                          "pruned_heads"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (ce_json_is(key, refused[i])) {
            check_empty(json, refused[i]);
            return 1;
        }
    }
    return 0;
}

/* ---- Whole -------------------------------------------------------------------------------- */

static void read_member(ce_json *json, ce_json_text key, ce_checkpoint_config *config)
{
    if (ce_json_is(key, "architectures"))
        read_class_names(json, &config->class_name);
    else if (ce_json_is(key, "rope_scaling"))
        read_rope(json, &config->rope_scaling);
    else if (ce_json_is(key, "rope_parameters"))
        read_rope(json, &config->rope_parameters);
    else if (ce_json_is(key, "layer_types"))
        read_layer_types(json, config);
    else if (ce_json_is(key, "auto_map"))
        check_code(json);
    else if (!check_unknown(json, key) &&
             !read_setting(json, key, members, CE_HUB_SETTINGS, config->settings))
        ce_json_skip(json);
}

int ce_checkpoint_config_read_type(const void *text, size_t size, char **out, ce_error *error)
{
    *out = NULL;
    ce_json json;
    ce_json_text key;
    ce_json_open(&json, text, size, error);
    ce_json_object(&json);
    while (ce_json_member(&json, &key)) {
        if (ce_json_is(key, ce_hub_setting_name(CE_HUB_MODEL_TYPE)) &&
            ce_json_peek(&json) == CE_JSON_STRING)
            read_text(&json, out);
        else
            ce_json_skip(&json);
    }
    int status = ce_json_close(&json);
    if (status != CE_OK) {
        ce_free(*out);
        *out = NULL;
    }
    return status;
}

int ce_checkpoint_config_read(const void *text, size_t size, ce_checkpoint_config *out,
                              ce_error *error)
{
    *out = (ce_checkpoint_config){0};
    ce_json json;
    ce_json_text key;
    ce_json_open(&json, text, size, error);
    ce_json_object(&json);
    while (ce_json_member(&json, &key))
        read_member(&json, key, out);
    int status = ce_json_close(&json);
    if (status != CE_OK)
        ce_checkpoint_config_free(out);
    return status;
}

void ce_checkpoint_config_free(ce_checkpoint_config *config)
{
    free_settings(config->settings, CE_HUB_SETTINGS);
    free_rope(&config->rope_scaling);
    free_rope(&config->rope_parameters);
    ce_free(config->class_name);
    ce_free(config->windowed);
    *config = (ce_checkpoint_config){0};
}
