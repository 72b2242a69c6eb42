/* The members of a config.json that matter to what is computed, as they stand there: defaults are not filled in, and
 * what they mean for a family is told by architecture.c. */
#ifndef CE_NATIVE_CHECKPOINT_CONFIG_H
#define CE_NATIVE_CHECKPOINT_CONFIG_H

#include "base/error.h"
#include "json/json.h"

#include <stddef.h>
#include <stdint.h>

typedef enum ce_hub_setting_state {
    CE_HUB_SETTING_ABSENT,
    CE_HUB_SETTING_NULL,
    CE_HUB_SETTING_SET
} ce_hub_setting_state;

typedef struct ce_hub_setting {
    ce_hub_setting_state state;
    int64_t integer; /* a switch is 0 or 1 */
    double real;
    char *text; /* owned */
} ce_hub_setting;

typedef enum ce_hub_setting_key {
    CE_HUB_MODEL_TYPE,
    CE_HUB_DTYPE,
    CE_HUB_TORCH_DTYPE,
    CE_HUB_VOCAB_SIZE,
    CE_HUB_HIDDEN_SIZE,
    CE_HUB_INTERMEDIATE_SIZE,
    CE_HUB_LAYERS,
    CE_HUB_HEADS,
    CE_HUB_KV_HEADS,
    CE_HUB_HEAD_DIM,
    CE_HUB_POSITIONS,
    CE_HUB_ORIGINAL_POSITIONS,
    CE_HUB_TOKEN_TYPES,
    CE_HUB_PAD_TOKEN,
    CE_HUB_EMBEDDING_SIZE,
    CE_HUB_HIDDEN_ACT,
    CE_HUB_POSITION_TYPE,
    CE_HUB_LAYER_NORM_EPS,
    CE_HUB_RMS_NORM_EPS,
    CE_HUB_ATTENTION_BIAS,
    CE_HUB_MLP_BIAS,
    CE_HUB_ROPE_THETA,
    CE_HUB_PARTIAL_ROTARY,
    CE_HUB_USE_WINDOW,
    CE_HUB_WINDOW,
    CE_HUB_MAX_WINDOW_LAYERS,
    CE_HUB_IS_DECODER,
    CE_HUB_CROSS_ATTENTION,
    CE_HUB_BIDIRECTIONAL,
    CE_HUB_IS_CAUSAL,
    /* DistilBERT's own names */
    CE_HUB_DIM,
    CE_HUB_HIDDEN_DIM,
    CE_HUB_N_LAYERS,
    CE_HUB_N_HEADS,
    CE_HUB_ACTIVATION,
    CE_HUB_SETTINGS
} ce_hub_setting_key;

typedef enum ce_rope_key {
    CE_HUB_IN_ROPE_TYPE,
    CE_HUB_IN_ROPE_OLD_TYPE,
    CE_HUB_IN_ROPE_THETA,
    CE_HUB_IN_ROPE_PARTIAL_ROTARY,
    CE_HUB_IN_ROPE_FACTOR,
    CE_HUB_IN_ROPE_LOW_FREQ,
    CE_HUB_IN_ROPE_HIGH_FREQ,
    CE_HUB_IN_ROPE_ORIGINAL_POSITIONS,
    CE_HUB_IN_ROPE_ATTENTION_FACTOR,
    CE_HUB_SETTINGS_IN_ROPE
} ce_rope_key;

typedef struct ce_factors {
    float *values; /* owned */
    size_t count;
} ce_factors;

typedef struct ce_rope_settings {
    int filled; /* neither null nor an empty object */
    ce_hub_setting settings[CE_HUB_SETTINGS_IN_ROPE];
    ce_factors short_factors, long_factors;
} ce_rope_settings;

typedef struct ce_checkpoint_config {
    ce_hub_setting settings[CE_HUB_SETTINGS];
    char *class_name; /* the first of `architectures`, or NULL; owned */
    ce_rope_settings rope_scaling, rope_parameters;
    ce_hub_setting_state layer_types;
    unsigned char
        *windowed; /* [layer_count]: which of layer_types are "sliding_attention"; owned */
    size_t layer_count;
} ce_checkpoint_config;

const char *ce_hub_setting_name(ce_hub_setting_key key);
const char *ce_rope_setting_name(ce_rope_key key);

/* Its `model_type` alone, or NULL; to be freed with ce_free. What the other members mean depends on it. */
int ce_checkpoint_config_read_type(const void *json, size_t size, char **out, ce_error *error);

/* UNSUPPORTED for what no family can do: quantised checkpoints, settings of single layers, code of the folder's own. */
int ce_checkpoint_config_read(const void *json, size_t size, ce_checkpoint_config *out,
                              ce_error *error);
void ce_checkpoint_config_free(ce_checkpoint_config *config);

/* "KEY is VALUE, which the native backend does not compute: ..." */
int ce_refuse_setting(ce_error *error, const char *key, const char *value);

/* The same of a member that is being read: reading stops. */
void ce_refuse_member(ce_json *json, const char *key, const char *value);

#endif
