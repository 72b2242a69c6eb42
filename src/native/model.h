/* A model of the native backend: its weights in the order in which the kernels read them, and what surrounds them. */
#ifndef CE_NATIVE_MODEL_H
#define CE_NATIVE_MODEL_H

#include "backend.h"
#include "kernels/linear.h"
#include "kernels/norm.h"
#include "native/architecture.h"
#include "native/store.h"
#include "native/weights.h"

#include <pthread.h>

/* Smoothing moves the range of activations into the weights, where int8 has room for it: what a layer reads is multiplied
 * by one vector and its weights are divided by it. */
typedef struct ce_native_layer {
    ce_linear qkv; /* q, k and v side by side */
    ce_linear out;
    ce_linear up; /* of a gated network: gates and what they gate, in halves of each panel */
    ce_linear down;
    ce_norm attention_norm, mlp_norm; /* BERT: behind attention and network; Llama: before them */
    ce_norm q_norm, k_norm;           /* over a head, where the model has them */
    const float *qkv_smooth, *up_smooth; /* [hidden], or NULL */
} ce_native_layer;

/* Everything that is copied from the checkpoint, in one piece of memory. */
typedef struct ce_native_weights {
    ce_native_layer *layers;
    ce_norm embedding_norm; /* BERT */
    ce_norm final_norm;     /* Llama */
    ce_linear *dense;
} ce_native_weights;

/* Working memory of a pass, kept for the next one. */
typedef struct ce_scratch {
    struct ce_scratch *next;
    void *data;
    size_t size;
} ce_scratch;

typedef struct ce_native_model {
    const ce_architecture *architecture; /* the caller's */
    int32_t precision;                   /* CITADEL_PRECISION_* */
    ce_isa isa;
    ce_number number;         /* of the linear layers */
    size_t group, down_group; /* int8: of their inputs, and of each second one's of a network */
    ce_native_weights weights;
    ce_store store; /* their memory */
    /* Tables that stay where they are in the checkpoint, as only the rows of a text's tokens are read. */
    const ce_tensor *words, *places, *types; /* the last two may be NULL */
    pthread_mutex_t lock;
    ce_scratch *scratch; /* that nobody uses */
    size_t scratch_bytes;
} ce_native_model;

static inline size_t ce_native_q_width(const ce_architecture *a)
{
    return (size_t)a->heads * a->head_dim;
}

static inline size_t ce_native_kv_width(const ce_architecture *a)
{
    return (size_t)a->kv_heads * a->head_dim;
}

/* Of a vector. */
static inline size_t ce_native_dim(const ce_architecture *a)
{
    return a->dense_count ? a->dense[a->dense_count - 1].out : (size_t)a->hidden * a->pooling_count;
}

static inline int ce_native_is_bert(const ce_architecture *a)
{
    return a->family == CE_FAMILY_BERT || a->family == CE_FAMILY_DISTILBERT;
}

/* Only one token of a text counts in the end: the last layer computes no other. */
static inline int ce_native_is_single(const ce_architecture *a)
{
    return a->pooling_count == 1 &&
           (a->poolings[0] == CE_POOL_CLS || a->poolings[0] == CE_POOL_LAST);
}

#endif
