/* The members of a config.json that matter to what is computed, as they stand there: defaults are not filled in, and
 * what they mean for a family is told by architecture.c. */
#ifndef CE_NATIVE_CHECKPOINT_CONFIG_H
#define CE_NATIVE_CHECKPOINT_CONFIG_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef enum ce_setting_state {
    CE_SETTING_ABSENT,
    CE_SETTING_NULL,
    CE_SETTING_SET
} ce_setting_state;

typedef struct ce_setting {
    ce_setting_state state;
    int64_t integer; /* a switch is 0 or 1 */
    double real;
    char *text; /* owned */
} ce_setting;

typedef enum ce_setting_key {
    CE_SET_MODEL_TYPE,
    CE_SET_DTYPE,
    CE_SET_TORCH_DTYPE,
    CE_SET_VOCAB_SIZE,
    CE_SET_HIDDEN_SIZE,
    CE_SET_INTERMEDIATE_SIZE,
    CE_SET_LAYERS,
    CE_SET_HEADS,
    CE_SET_KV_HEADS,
    CE_SET_HEAD_DIM,
    CE_SET_POSITIONS,
    CE_SET_ORIGINAL_POSITIONS,
    CE_SET_TOKEN_TYPES,
    CE_SET_PAD_TOKEN,
    CE_SET_EMBEDDING_SIZE,
    CE_SET_HIDDEN_ACT,
    CE_SET_POSITION_TYPE,
    CE_SET_LAYER_NORM_EPS,
    CE_SET_RMS_NORM_EPS,
    CE_SET_ATTENTION_BIAS,
    CE_SET_MLP_BIAS,
    CE_SET_ROPE_THETA,
    CE_SET_PARTIAL_ROTARY,
    CE_SET_USE_WINDOW,
    CE_SET_WINDOW,
    CE_SET_MAX_WINDOW_LAYERS,
    CE_SET_IS_DECODER,
    CE_SET_CROSS_ATTENTION,
    CE_SET_BIDIRECTIONAL,
    CE_SET_IS_CAUSAL,
    /* DistilBERT's own names */
    CE_SET_DIM,
    CE_SET_HIDDEN_DIM,
    CE_SET_N_LAYERS,
    CE_SET_N_HEADS,
    CE_SET_ACTIVATION,
    CE_SETTINGS
} ce_setting_key;

typedef enum ce_rope_key {
    CE_SET_IN_ROPE_TYPE,
    CE_SET_IN_ROPE_OLD_TYPE,
    CE_SET_IN_ROPE_THETA,
    CE_SET_IN_ROPE_PARTIAL_ROTARY,
    CE_SET_IN_ROPE_FACTOR,
    CE_SET_IN_ROPE_LOW_FREQ,
    CE_SET_IN_ROPE_HIGH_FREQ,
    CE_SET_IN_ROPE_ORIGINAL_POSITIONS,
    CE_SET_IN_ROPE_ATTENTION_FACTOR,
    CE_SETTINGS_IN_ROPE
} ce_rope_key;

typedef struct ce_factors {
    float *values; /* owned */
    size_t count;
} ce_factors;

typedef struct ce_rope_settings {
    int filled; /* neither null nor an empty object */
    ce_setting settings[CE_SETTINGS_IN_ROPE];
    ce_factors short_factors, long_factors;
} ce_rope_settings;

typedef struct ce_checkpoint_config {
    ce_setting settings[CE_SETTINGS];
    char *class_name; /* the first of `architectures`, or NULL; owned */
    ce_rope_settings rope_scaling, rope_parameters;
    ce_setting_state layer_types;
    unsigned char
        *windowed; /* [layer_count]: which of layer_types are "sliding_attention"; owned */
    size_t layer_count;
} ce_checkpoint_config;

const char *ce_setting_name(ce_setting_key key);
const char *ce_rope_setting_name(ce_rope_key key);

/* UNSUPPORTED for what no family can do: quantised checkpoints, settings of single layers, code of the folder's own. */
int ce_checkpoint_config_read(const void *json, size_t size, ce_checkpoint_config *out,
                              ce_error *error);
void ce_checkpoint_config_free(ce_checkpoint_config *config);

/* "KEY is VALUE, which the native backend does not compute: ..." */
int ce_refuse_setting(ce_error *error, const char *key, const char *value);

#endif
