/* mkdtemp */
#define _GNU_SOURCE
#include "cmocka_all.h"

#include "base/barrier.h"
#include "base/mem.h"
#include "citadel_embed.h"
#include "native/architecture.h"
#include "native/native_backend.h"
#include "native/weights.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Forward passes of small models with random weights, by themselves: whatever batch, order, team and instruction set. What
 * they ought to be is compared with transformers in tests/python. */

enum { TEXTS = 7, TOKENS_MAX = 400, DIM_MAX = 64, TEAM_MAX = 4, TENSORS_MAX = 64 };

static const int lengths[TEXTS] = {1, 26, 7, 130, 64, 3, 50};

/* ---- A checkpoint ------------------------------------------------------------------------- */

typedef struct tensor {
    char name[128];
    size_t rows, columns; /* columns 0: a vector */
} tensor;

static tensor tensors[TENSORS_MAX];
static size_t tensor_count;
static char directory[] = "/tmp/citadel-native-XXXXXX";
static char weights_path[128], prepared_path[128];
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
    FILE *file = fopen(weights_path, "wb");
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

static void write_bert(const ce_architecture *a)
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

static void write_llama(const ce_architecture *a)
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

/* Widths that no panel and no vector divides. */
static ce_architecture bert_of(ce_pooling pooling)
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

static ce_architecture llama_of(ce_family family, ce_pooling pooling)
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

/* ---- A team ------------------------------------------------------------------------------- */

typedef struct member {
    pthread_t thread;
    void (*body)(void *argument, int index);
    void *argument;
    int index;
} member;

static void *work(void *argument)
{
    member *m = argument;
    m->body(m->argument, m->index);
    return NULL;
}

static void run_team(ce_team *team, void (*body)(void *argument, int index), void *argument)
{
    member members[TEAM_MAX];
    for (int i = 1; i < team->threads; i++) {
        members[i] = (member){.body = body, .argument = argument, .index = i};
        assert_int_equal(pthread_create(&members[i].thread, NULL, work, &members[i]), 0);
    }
    body(argument, 0);
    for (int i = 1; i < team->threads; i++)
        pthread_join(members[i].thread, NULL);
}

/* ---- A model ------------------------------------------------------------------------------ */

static int32_t ids[TOKENS_MAX], positions[TOKENS_MAX], ends[TEXTS + 1];
static ce_error error;

/* The texts of `order`, of which text i has the same ids wherever it stands. */
static ce_batch batch_of(const int *order, int count)
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

static int calibrate(void *user,
                     int (*take)(void *argument, const ce_batch *batch, ce_error *error),
                     void *argument, ce_error *failure)
{
    (void)user;
    const int order[] = {4, 3, 1};
    ce_batch batch = batch_of(order, 3);
    return take(argument, &batch, failure);
}

static void *load(const ce_architecture *a, int32_t precision, int isa, const char *prepared)
{
    int folder = open(directory, O_RDONLY | O_DIRECTORY);
    static ce_weights *weights;
    ce_weights_close(weights);
    assert_int_equal(ce_weights_open(folder, "", &weights, &error), CE_OK);
    const ce_backend_model description = {.form = "native",
                                          .precision = precision,
                                          .architecture = a,
                                          .weights = weights,
                                          .directory = folder,
                                          .prepared = prepared,
                                          .prepared_key = "0123456789abcdef0123456789abcdef"
                                                          "0123456789abcdef0123456789abcdef",
                                          .calibrate = calibrate,
                                          .evaluate = calibrate,
                                          .threads = TEAM_MAX,
                                          .isa = isa};
    void *model;
    int status = ce_native_backend.model_load(&description, &model, &error);
    if (status != CE_OK)
        fail_msg("%s", error.message);
    close(folder);
    return model;
}

static void run(void *model, const int *order, int count, int threads, float *out)
{
    ce_batch batch = batch_of(order, count);
    ce_team team = {.threads = threads, .run = run_team};
    memset(out, 0, (size_t)count * DIM_MAX * sizeof *out);
    assert_int_equal(ce_native_backend.run(model, &batch, &team, out, &error), CE_OK);
}

static const int all[TEXTS] = {0, 1, 2, 3, 4, 5, 6};
static const int mixed[TEXTS] = {5, 3, 0, 6, 4, 2, 1};
static const int32_t precisions[] = {CITADEL_PRECISION_FP32, CITADEL_PRECISION_BF16,
                                     CITADEL_PRECISION_INT8, CITADEL_PRECISION_INT8_ACCURATE};
enum { PRECISIONS = sizeof precisions / sizeof precisions[0] };

/* The same bits alone, in any batch, in any order, on any team. */
static void check_bits(const ce_architecture *a, int32_t precision, int isa)
{
    static float expected[TEXTS * DIM_MAX], found[TEXTS * DIM_MAX];
    size_t row = a->hidden * sizeof(float);
    void *model = load(a, precision, isa, NULL);
    run(model, all, TEXTS, 1, expected);
    for (int threads = 1; threads <= TEAM_MAX; threads *= 2) {
        run(model, mixed, TEXTS, threads, found);
        for (int i = 0; i < TEXTS; i++)
            if (memcmp(found + (size_t)i * a->hidden, expected + (size_t)mixed[i] * a->hidden, row))
                fail_msg("%s precision %d: text %d differs with %d threads", ce_isa_name(isa),
                         (int)precision, mixed[i], threads);
        for (int i = 0; i < TEXTS && threads != 2; i++) {
            run(model, &all[i], 1, threads, found);
            if (memcmp(found, expected + (size_t)i * a->hidden, row))
                fail_msg("%s precision %d: text %d alone differs with %d threads", ce_isa_name(isa),
                         (int)precision, i, threads);
        }
    }
    ce_native_backend.model_unload(model);
}

static double cosine(const float *a, const float *b, size_t count)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < count; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

/* Every instruction set and every precision near generic fp32. */
static void check_near(const ce_architecture *a)
{
    static const double needed[] = {1 - 1e-11, .9995, .99, .99};
    static float expected[TEXTS * DIM_MAX], found[TEXTS * DIM_MAX];
    void *model = load(a, CITADEL_PRECISION_FP32, CE_ISA_GENERIC, NULL);
    run(model, all, TEXTS, 1, expected);
    ce_native_backend.model_unload(model);
    for (int isa = 0; isa <= (int)ce_isa_best(); isa++) {
        for (int p = 0; p < PRECISIONS; p++) {
            model = load(a, precisions[p], isa, NULL);
            run(model, all, TEXTS, 1, found);
            ce_native_backend.model_unload(model);
            for (int i = 0; i < TEXTS; i++) {
                size_t at = (size_t)i * a->hidden;
                double near = cosine(found + at, expected + at, a->hidden);
                if (!(near >= needed[p]))
                    fail_msg("%s precision %d: cosine of text %d is %.12f", ce_isa_name(isa),
                             (int)precisions[p], i, near);
            }
        }
    }
}

static void check(const ce_architecture *a)
{
    for (int p = 0; p < PRECISIONS; p++)
        for (int isa = 0; isa <= (int)ce_isa_best(); isa++)
            check_bits(a, precisions[p], isa);
    check_near(a);
}

static void test_bert_mean(void **state)
{
    (void)state;
    ce_architecture a = bert_of(CE_POOL_MEAN);
    write_bert(&a);
    check(&a);
}

static void test_bert_of_one_token(void **state)
{
    (void)state;
    ce_architecture a = bert_of(CE_POOL_CLS);
    write_bert(&a);
    check(&a);
}

static void test_llama_last(void **state)
{
    (void)state;
    ce_architecture a = llama_of(CE_FAMILY_LLAMA, CE_POOL_LAST);
    write_llama(&a);
    check(&a);
}

static void test_phi3_mean(void **state)
{
    (void)state;
    ce_architecture a = llama_of(CE_FAMILY_PHI3, CE_POOL_MEAN);
    write_llama(&a);
    check(&a);
}

/* A last layer that computes one token finds what one that computes all of them finds. */
static void test_single_tokens_are_those_of_all(void **state)
{
    (void)state;
    static float one[TEXTS * DIM_MAX], both[TEXTS * 2 * DIM_MAX];
    static const ce_pooling poolings[] = {CE_POOL_CLS, CE_POOL_LAST};
    for (int i = 0; i < 4; i++) {
        ce_architecture a =
            i < 2 ? bert_of(poolings[i % 2]) : llama_of(CE_FAMILY_PHI3, poolings[i % 2]);
        if (i < 2)
            write_bert(&a);
        else
            write_llama(&a);
        void *model = load(&a, CITADEL_PRECISION_BF16, (int)ce_isa_best(), NULL);
        run(model, all, TEXTS, 1, one);
        ce_native_backend.model_unload(model);
        a.poolings[1] = a.poolings[0];
        a.pooling_count = 2;
        model = load(&a, CITADEL_PRECISION_BF16, (int)ce_isa_best(), NULL);
        run(model, all, TEXTS, 1, both);
        ce_native_backend.model_unload(model);
        for (size_t text = 0; text < TEXTS; text++)
            assert_memory_equal(one + text * a.hidden, both + text * 2 * a.hidden,
                                a.hidden * sizeof(float));
    }
}

static void test_prepared_weights_give_the_same_bits(void **state)
{
    (void)state;
    static float expected[TEXTS * DIM_MAX], found[TEXTS * DIM_MAX];
    ce_architecture a = bert_of(CE_POOL_MEAN);
    write_bert(&a);
    for (int p = 0; p < PRECISIONS; p++) {
        unlink(prepared_path);
        void *model = load(&a, precisions[p], (int)ce_isa_best(), prepared_path);
        run(model, all, TEXTS, 1, expected);
        ce_native_backend.model_unload(model);
        assert_int_equal(access(prepared_path, R_OK), 0);
        model = load(&a, precisions[p], (int)ce_isa_best(), prepared_path);
        run(model, all, TEXTS, 1, found);
        ce_native_backend.model_unload(model);
        assert_memory_equal(found, expected, sizeof found);
    }
}

static void test_what_is_missing_is_named(void **state)
{
    (void)state;
    ce_architecture a = bert_of(CE_POOL_MEAN);
    write_bert(&a);
    a.layers = 4;
    int folder = open(directory, O_RDONLY | O_DIRECTORY);
    ce_weights *weights;
    assert_int_equal(ce_weights_open(folder, "", &weights, &error), CE_OK);
    const ce_backend_model description = {.form = "native",
                                          .precision = CITADEL_PRECISION_FP32,
                                          .architecture = &a,
                                          .weights = weights};
    void *model;
    assert_int_equal(ce_native_backend.model_load(&description, &model, &error), CE_E_BAD_MODEL);
    assert_null(model);
    assert_non_null(strstr(error.message, "encoder.layer.3."));
    ce_weights_close(weights);
    close(folder);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(weights_path, sizeof weights_path, "%s/model.safetensors", directory);
    snprintf(prepared_path, sizeof prepared_path, "%s/prepared", directory);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(weights_path);
    unlink(prepared_path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert_mean),
        cmocka_unit_test(test_bert_of_one_token),
        cmocka_unit_test(test_llama_last),
        cmocka_unit_test(test_phi3_mean),
        cmocka_unit_test(test_single_tokens_are_those_of_all),
        cmocka_unit_test(test_prepared_weights_give_the_same_bits),
        cmocka_unit_test(test_what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
