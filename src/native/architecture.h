/* What a model computes, told from the files that describe it: config.json, and what sentence-transformers puts beside it.
 * Everything that a forward pass needs to know is here; what it cannot do never gets here, but is refused by name. */
#ifndef CE_NATIVE_ARCHITECTURE_H
#define CE_NATIVE_ARCHITECTURE_H

#include "base/error.h"
#include "base/tensor.h"
#include "kernels/linear.h"
#include "kernels/pool.h"

#include <stddef.h>
#include <stdint.h>

/* How a checkpoint calls its tensors, and with that the order of what is computed. */
typedef enum ce_family {
    CE_FAMILY_BERT,       /* and RoBERTa: "encoder.layer.0.attention.self.query" */
    CE_FAMILY_DISTILBERT, /* "transformer.layer.0.attention.q_lin" */
    CE_FAMILY_LLAMA,      /* and Mistral, Qwen2, Qwen3: "layers.0.self_attn.q_proj" */
    CE_FAMILY_PHI3        /* the same with "qkv_proj" and "gate_up_proj" in one */
} ce_family;

/* Scaled frequencies: the model was trained on `original_positions`. */
typedef enum ce_rope_kind {
    CE_ROPE_DEFAULT,
    CE_ROPE_LINEAR, /* frequencies divided by `factor` */
    CE_ROPE_LLAMA3,
    CE_ROPE_LONGROPE /* each frequency divided by its own factor, one set for texts up to original_positions and one for
                        longer ones; cos and sin are multiplied by attention_factor */
} ce_rope_kind;

typedef struct ce_rope_scaling {
    ce_rope_kind kind;
    double theta;
    uint32_t rotary_dim;
    double factor, low_freq_factor, high_freq_factor;
    uint32_t original_positions;
    double attention_factor;
    float *short_factor, *long_factor; /* longrope: [rotary_dim / 2], owned */
} ce_rope_scaling;

/* A module behind the pooling: y = activation(x W^T + b). */
typedef struct ce_dense {
    char *folder; /* "2_Dense": its weights are there */
    uint32_t in, out;
    int bias;
    enum {
        CE_DENSE_IDENTITY,
        CE_DENSE_TANH,
        CE_DENSE_RELU,
        CE_DENSE_GELU,
        CE_DENSE_SIGMOID
    } activation;
} ce_dense;

enum { CE_POOLINGS_MAX = 6 };

typedef struct ce_architecture {
    ce_family family;
    const char *model_type; /* "bert", as config.json calls it */
    char *name;             /* "BertModel", owned */
    ce_dtype dtype;         /* as config.json says it: F32, F16 or BF16; 0: it does not */
    uint32_t vocab_size, hidden, intermediate, layers;
    uint32_t heads, kv_heads, head_dim;
    uint32_t positions;       /* of the longest text, special tokens included */
    uint32_t position_offset; /* of a table of positions: the row of the first token (RoBERTa: 2) */
    uint32_t token_types;     /* rows of a table, of which the first is added; 0: there is none */
    ce_activation activation; /* of the feed-forward network */
    float norm_eps;
    int causal;
    int64_t window; /* how many tokens a token sees, itself the last of them; 0: all */
    uint32_t first_windowed_layer, windowed_layers; /* the layers that the window is for */
    int qkv_bias, out_bias, mlp_bias;
    int qk_norm; /* an RMSNorm over each head of q and k (Qwen3) */
    ce_rope_scaling rope;

    ce_pooling poolings[CE_POOLINGS_MAX]; /* their vectors stand side by side, in this order */
    uint32_t pooling_count;
    ce_dense *dense; /* owned */
    uint32_t dense_count;
    int normalize; /* done by the caller, not by the backend */
} ce_architecture;

void ce_architecture_free(ce_architecture *architecture);

/* Read a config.json; nothing of the sentence-transformers modules. UNSUPPORTED, with the name of what is not known, for
 * another model_type or for a setting that changes what is computed. */
int ce_architecture_read(const void *json, size_t size, ce_architecture *out, ce_error *error);

#endif
