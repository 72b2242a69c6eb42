/* A backend that any thread may run: callers compute themselves, in small batches. */
#include "harness.h"

#include <fenv.h>
#include <stdlib.h>

static citadel_engine *engine;
static citadel_model *model;

static int ran_here(fake_probe *probe)
{
    pthread_mutex_lock(&probe->lock);
    pthread_t runner = probe->runner;
    pthread_mutex_unlock(&probe->lock);
    return pthread_equal(runner, pthread_self()) != 0;
}

static void test_lone_call_runs_on_its_own_thread_and_uses_all_others(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    engine = new_engine(3, 1);
    model = load(engine, "tiny");
    for (int i = 0; i < 10; i++) {
        assert_true(embeds_right(model, "the quick brown fox", 0));
        assert_true(ran_here(probe));
    }
    assert_int_equal(read_probe(probe, &probe->most_threads), 3);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static int embed_often(int number, void *argument)
{
    (void)number;
    for (int i = 0; i < 200; i++)
        if (!embeds_right(argument, i % 2 ? "the dog" : "the quick brown fox", 0))
            return 1;
    return 0;
}

static void test_callers_take_no_more_threads_than_there_are(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    engine = new_engine(2, 1);
    model = load(engine, "tiny");
    in_threads(6, embed_often, model);
    assert_in_range(read_probe(probe, &probe->most_threads), 1, 2);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_hosts_rounding_is_neither_used_nor_changed(void **state)
{
    (void)state;
    float usual[DIM], odd[DIM];
    const char *text = "the quick brown fox jumps over the lazy dog .";
    engine = new_engine(1, 1);
    model = load(engine, "tiny");
    assert_ok(citadel_model_embed(model, &text, NULL, 1, NULL, usual, DIM, NULL, &error));
    fesetround(FE_UPWARD);
    citadel_status status =
        citadel_model_embed(model, &text, NULL, 1, NULL, odd, DIM, NULL, &error);
    int rounding = fegetround();
    fesetround(FE_TONEAREST);
    assert_ok(status);
    assert_int_equal(rounding, FE_UPWARD);
    assert_memory_equal(usual, odd, sizeof usual);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* 300 texts of 4 tokens. */
static int most_tokens(uint32_t batch_tokens)
{
    enum { TEXTS = 300 };
    static float out[TEXTS * DIM];
    const char *texts[TEXTS];
    fake_probe *probe = reset_probe();
    citadel_engine_options options = test_options(1, 1);
    options.batch_tokens = batch_tokens;
    for (int i = 0; i < TEXTS; i++)
        texts[i] = "a b";
    assert_ok(citadel_engine_create(&options, &engine, &error));
    model = load(engine, "tiny");
    assert_ok(citadel_model_embed(model, texts, NULL, TEXTS, NULL, out, TEXTS * DIM, NULL, &error));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
    return read_probe(probe, &probe->most_tokens);
}

static void test_batches_are_as_the_backend_likes_them_unless_they_are_set(void **state)
{
    (void)state;
    assert_in_range(most_tokens(0), 33, 64);
    assert_in_range(most_tokens(128), 65, 128);
    assert_in_range(most_tokens(1024), 513, 1024);
}

static void test_few_tokens_are_split_over_threads(void **state)
{
    (void)state;
    const char *const texts[] = {"the quick brown fox jumps over the lazy dog . the dog a b c",
                                 "the quick brown fox jumps over the lazy dog . a b c a b"};
    float out[2 * DIM];
    fake_probe *probe = reset_probe();
    engine = new_engine(2, 1);
    model = load(engine, "tiny");
    int before = read_probe(probe, &probe->runs);
    assert_ok(citadel_model_embed(model, texts, NULL, 2, NULL, out, 2 * DIM, NULL, &error));
    assert_int_equal(read_probe(probe, &probe->runs), before + 2);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lone_call_runs_on_its_own_thread_and_uses_all_others),
        cmocka_unit_test(test_callers_take_no_more_threads_than_there_are),
        cmocka_unit_test(test_hosts_rounding_is_neither_used_nor_changed),
        cmocka_unit_test(test_batches_are_as_the_backend_likes_them_unless_they_are_set),
        cmocka_unit_test(test_few_tokens_are_split_over_threads),
    };
    setenv("TEST_BACKEND", FAKE_NATIVE_BACKEND, 1);
    return cmocka_run_group_tests_name("callers", tests, NULL, NULL);
}
