#include "cmocka_all.h"

#include "citadel_embed.h"
#include "kernels/isa.h"
#include "native/native_backend.h"
#include "native/weights.h"
#include "small_checkpoint.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <unistd.h>

/* Forward passes of small models with random weights, by themselves: whatever batch, order, team and instruction set. What
 * they ought to be is compared with transformers in tests/python. */

enum { DIM_MAX = 136, TEAM_MAX = 4 };

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

static ce_error error;

static void *load(const ce_architecture *a, int32_t precision, int isa, const char *prepared)
{
    int folder = open(checkpoint_directory, O_RDONLY | O_DIRECTORY);
    static ce_weights *weights;
    ce_weights_close(weights);
    assert_int_equal(ce_weights_open(folder, "", &weights, &error), CE_OK);
    const ce_backend_model description =
        checkpoint_model(a, precision, isa, folder, weights, prepared);
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

static void test_groups_of_inputs(void **state)
{
    (void)state;
    ce_architecture a = wide_bert_of(CE_POOL_CLS);
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
        unlink(checkpoint_prepared);
        void *model = load(&a, precisions[p], (int)ce_isa_best(), checkpoint_prepared);
        run(model, all, TEXTS, 1, expected);
        ce_native_backend.model_unload(model);
        assert_int_equal(access(checkpoint_prepared, R_OK), 0);
        model = load(&a, precisions[p], (int)ce_isa_best(), checkpoint_prepared);
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
    int folder = open(checkpoint_directory, O_RDONLY | O_DIRECTORY);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert_mean),
        cmocka_unit_test(test_groups_of_inputs),
        cmocka_unit_test(test_bert_of_one_token),
        cmocka_unit_test(test_llama_last),
        cmocka_unit_test(test_phi3_mean),
        cmocka_unit_test(test_single_tokens_are_those_of_all),
        cmocka_unit_test(test_prepared_weights_give_the_same_bits),
        cmocka_unit_test(test_what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, checkpoint_begin, checkpoint_end);
}
