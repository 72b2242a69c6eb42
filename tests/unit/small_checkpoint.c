/* mkdtemp */
#define _GNU_SOURCE
#include "small_checkpoint.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TENSORS_MAX = 64 };

static const int lengths[TEXTS] = {1, 26, 7, 130, 64, 3, 50};

typedef struct tensor {
    char name[128];
    size_t rows, columns; /* columns 0: a vector */
} tensor;

static tensor tensors[TENSORS_MAX];
static size_t tensor_count;
char checkpoint_directory[] = "/tmp/citadel-native-XXXXXX";
char checkpoint_weights[128], checkpoint_prepared[128];
static uint64_t seed;

static float next_random(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)((double)(seed >> 40) / (1 << 24) - 0.5);
}

static void add(const char *at, const char *name, size_t rows, size_t columns, int bias)
{
    assert_true(tensor_count + 2 <= TENSORS_MAX);
    tensor *t = &tensors[tensor_count++];
    snprintf(t->name, sizeof t->name, "%s%s.weight", at, name);
    t->rows = rows;
    t->columns = columns;
    if (bias) {
        t = &tensors[tensor_count++];
        snprintf(t->name, sizeof t->name, "%s%s.bias", at, name);
        t->rows = rows;
        t->columns = 0;
    }
}

static size_t count_of(const tensor *t)
{
    return t->rows * (t->columns ? t->columns : 1);
}

static void write_checkpoint(void)
{
    static char header[1 << 16];
    size_t used = (size_t)snprintf(header, sizeof header, "{"), at = 0;
    for (size_t i = 0; i < tensor_count; i++) {
        const tensor *t = &tensors[i];
        char shape[96];
        snprintf(shape, sizeof shape, t->columns ? "%zu,%zu" : "%zu", t->rows, t->columns);
        size_t bytes = count_of(t) * sizeof(float);
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,"
                                 "%zu]}",
                                 i ? "," : "", t->name, shape, at, at + bytes);
        at += bytes;
    }
    used += (size_t)snprintf(header + used, sizeof header - used, "}");
    while (used % 8)
        header[used++] = ' ';
    FILE *file = fopen(checkpoint_weights, "wb");
    assert_non_null(file);
    uint64_t size = used;
    fwrite(&size, sizeof size, 1, file);
    fwrite(header, 1, used, file);
    for (size_t i = 0; i < tensor_count; i++) {
        int norm = tensors[i].columns == 0 && strstr(tensors[i].name, "orm") &&
                   strstr(tensors[i].name, "weight");
        for (size_t k = 0; k < count_of(&tensors[i]); k++) {
            float value = norm ? 1 + next_random() * 0.2f : next_random() * 0.4f;
            fwrite(&value, sizeof value, 1, file);
        }
    }
    assert_int_equal(fclose(file), 0);
    tensor_count = 0;
}

void write_bert(const ce_architecture *a)
{
    char at[64];
    add("", "embeddings.word_embeddings", a->vocab_size, a->hidden, 0);
    add("", "embeddings.position_embeddings", a->positions + a->position_offset, a->hidden, 0);
    add("", "embeddings.token_type_embeddings", a->token_types, a->hidden, 0);
    add("", "embeddings.LayerNorm", a->hidden, 0, 1);
    for (uint32_t i = 0; i < a->layers; i++) {
        snprintf(at, sizeof at, "encoder.layer.%u.", i);
        add(at, "attention.self.query", a->hidden, a->hidden, 1);
        add(at, "attention.self.key", a->hidden, a->hidden, 1);
        add(at, "attention.self.value", a->hidden, a->hidden, 1);
        add(at, "attention.output.dense", a->hidden, a->hidden, 1);
        add(at, "attention.output.LayerNorm", a->hidden, 0, 1);
        add(at, "intermediate.dense", a->intermediate, a->hidden, 1);
        add(at, "output.dense", a->hidden, a->intermediate, 1);
        add(at, "output.LayerNorm", a->hidden, 0, 1);
    }
    write_checkpoint();
}

void write_llama(const ce_architecture *a)
{
    char at[64];
    size_t q = (size_t)a->heads * a->head_dim, kv = (size_t)a->kv_heads * a->head_dim;
    add("model.", "embed_tokens", a->vocab_size, a->hidden, 0);
    add("model.", "norm", a->hidden, 0, 0);
    for (uint32_t i = 0; i < a->layers; i++) {
        snprintf(at, sizeof at, "model.layers.%u.", i);
        if (a->family == CE_FAMILY_PHI3) {
            add(at, "self_attn.qkv_proj", q + 2 * kv, a->hidden, 0);
            add(at, "mlp.gate_up_proj", 2 * (size_t)a->intermediate, a->hidden, 0);
        } else {
            add(at, "self_attn.q_proj", q, a->hidden, a->qkv_bias);
            add(at, "self_attn.k_proj", kv, a->hidden, a->qkv_bias);
            add(at, "self_attn.v_proj", kv, a->hidden, a->qkv_bias);
            add(at, "mlp.gate_proj", a->intermediate, a->hidden, 0);
            add(at, "mlp.up_proj", a->intermediate, a->hidden, 0);
        }
        if (a->qk_norm) {
            add(at, "self_attn.q_norm", a->head_dim, 0, 0);
            add(at, "self_attn.k_norm", a->head_dim, 0, 0);
        }
        add(at, "self_attn.o_proj", a->hidden, q, 0);
        add(at, "mlp.down_proj", a->hidden, a->intermediate, 0);
        add(at, "input_layernorm", a->hidden, 0, 0);
        add(at, "post_attention_layernorm", a->hidden, 0, 0);
    }
    write_checkpoint();
}

ce_architecture bert_of(ce_pooling pooling)
{
    return (ce_architecture){.family = CE_FAMILY_BERT,
                             .vocab_size = 97,
                             .hidden = 52,
                             .intermediate = 70,
                             .layers = 3,
                             .heads = 4,
                             .kv_heads = 4,
                             .head_dim = 13,
                             .positions = 200,
                             .position_offset = 2,
                             .token_types = 2,
                             .activation = CE_ACTIVATION_GELU,
                             .norm_eps = 1e-12f,
                             .qkv_bias = 1,
                             .out_bias = 1,
                             .mlp_bias = 1,
                             .poolings = {pooling},
                             .pooling_count = 1};
}

ce_architecture wide_bert_of(ce_pooling pooling)
{
    ce_architecture a = bert_of(pooling);
    a.layers = 2;
    a.hidden = 136;
    a.head_dim = 34;
    a.intermediate = 200;
    return a;
}

ce_architecture llama_of(ce_family family, ce_pooling pooling)
{
    return (ce_architecture){.family = family,
                             .vocab_size = 97,
                             .hidden = 48,
                             .intermediate = 56,
                             .layers = 3,
                             .heads = 6,
                             .kv_heads = 2,
                             .head_dim = 16,
                             .positions = 200,
                             .activation = CE_ACTIVATION_SILU_GATE,
                             .norm_eps = 1e-6f,
                             .causal = 1,
                             .window = 20,
                             .first_windowed_layer = 1,
                             .windowed_layers = 1,
                             .qkv_bias = family == CE_FAMILY_LLAMA,
                             .qk_norm = family == CE_FAMILY_LLAMA,
                             .rope = {.theta = 10000, .rotary_dim = 16, .original_positions = 200},
                             .poolings = {pooling},
                             .pooling_count = 1};
}

static int32_t ids[TOKENS_MAX], positions[TOKENS_MAX], ends[TEXTS + 1];

ce_batch batch_of(const int *order, int count)
{
    int32_t token = 0;
    for (int i = 0; i < count; i++) {
        seed = (uint64_t)order[i] + 1;
        for (int k = 0; k < lengths[order[i]]; k++, token++) {
            ids[token] = (int32_t)((next_random() + 0.5f) * 96);
            positions[token] = k;
        }
        ends[i + 1] = token;
    }
    assert_true(token <= TOKENS_MAX);
    return (ce_batch){.ids = ids,
                      .positions = positions,
                      .cu_seqlens = ends,
                      .tokens = (size_t)token,
                      .texts = (size_t)count};
}

static int give_texts(void *user,
                      int (*take)(void *argument, const ce_batch *batch, ce_error *error),
                      void *argument, ce_error *failure)
{
    (void)user;
    const int order[] = {4, 3, 1};
    ce_batch batch = batch_of(order, 3);
    return take(argument, &batch, failure);
}

ce_backend_model checkpoint_model(const ce_architecture *architecture, int32_t precision, int isa,
                                  int folder, const struct ce_weights *weights,
                                  const char *prepared)
{
    return (ce_backend_model){.form = "native",
                              .precision = precision,
                              .architecture = architecture,
                              .weights = weights,
                              .directory = folder,
                              .prepared = prepared,
                              .prepared_key = "0123456789abcdef0123456789abcdef"
                                              "0123456789abcdef0123456789abcdef",
                              .calibrate = give_texts,
                              .evaluate = give_texts,
                              .isa = isa};
}

int checkpoint_begin(void **state)
{
    (void)state;
    if (!mkdtemp(checkpoint_directory))
        return -1;
    snprintf(checkpoint_weights, sizeof checkpoint_weights, "%s/model.safetensors",
             checkpoint_directory);
    snprintf(checkpoint_prepared, sizeof checkpoint_prepared, "%s/prepared", checkpoint_directory);
    return 0;
}

int checkpoint_end(void **state)
{
    (void)state;
    unlink(checkpoint_weights);
    unlink(checkpoint_prepared);
    return rmdir(checkpoint_directory);
}
