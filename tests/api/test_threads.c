/* Many threads on one engine: what they get is right, and (under ThreadSanitizer) nothing is raced for. */
#include "harness.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

typedef struct shared {
    citadel_engine *engine;
    citadel_model *model;
    citadel_status status;
    int lines;
    atomic_int inside, overlaps;
} shared;

/* The system lists a thread for a moment after it has been joined. */
static void expect_threads(int expected)
{
    for (int tries = 0; tries < 1000 && count_threads() != expected; tries++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(count_threads(), expected);
}

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 16;
}

static const char *const sentences[] = {
    "",      "fox",    "the quick brown fox jumps over the lazy dog .", "a b c", "foxs",
    "a b c", "the dog"};
enum { SENTENCES = sizeof sentences / sizeof sentences[0] };

/* ---- One model ---------------------------------------------------------------------------- */

static int embed_batches(int number, void *argument)
{
    shared *s = argument;
    uint32_t random = (uint32_t)number;
    for (int round = 0; round < 20; round++) {
        enum { MOST = 40 };
        const char *texts[MOST];
        float out[MOST * DIM], expected[DIM];
        citadel_text_result results[MOST];
        size_t count = 1 + next_random(&random) % MOST;
        for (size_t i = 0; i < count; i++)
            texts[i] = sentences[next_random(&random) % SENTENCES];
        if (citadel_model_embed(s->model, texts, NULL, count, NULL, out, MOST * DIM, results,
                                NULL) != CITADEL_OK)
            return 1;
        for (size_t i = 0; i < count; i++) {
            reference(s->model, texts[i], 0, expected);
            if (results[i].status != CITADEL_OK || !close_enough(out + i * DIM, expected, DIM))
                return 2;
        }
    }
    return 0;
}

static void test_many_threads_embed_on_one_model(void **state)
{
    (void)state;
    const char *const packs[] = {"tiny", "padded"};
    for (int p = 0; p < 2; p++) {
        fake_probe *probe = reset_probe();
        citadel_engine_options options = test_options(3, 1);
        shared s = {0};
        options.batch_tokens = 32;
        assert_ok(citadel_engine_create(&options, &s.engine, &error));
        s.model = load(s.engine, packs[p]);
        in_threads(6, embed_batches, &s);
        assert_in_range(read_probe(probe, &probe->most_threads), 1, 3);
        citadel_model_unload(s.model);
        citadel_engine_destroy(s.engine);
    }
}

static int use_everything(int number, void *argument)
{
    shared *s = argument;
    for (int round = 0; round < 50; round++) {
        citadel_info info = CITADEL_INFO_INIT;
        const char *name, *text;
        citadel_model *model = citadel_model_ref(s->model);
        if (model != s->model || citadel_model_dim(model) != DIM ||
            citadel_model_info(model, &info, NULL) != CITADEL_OK || info.dim != DIM ||
            citadel_model_prompt(model, (uint32_t)round % 3, &name, &text, NULL) != CITADEL_OK ||
            !embeds_right(model, sentences[(number + round) % SENTENCES], 0))
            return 1;
        citadel_model_unload(model);
    }
    return 0;
}

static void test_every_function_of_a_model_at_once(void **state)
{
    (void)state;
    shared s = {.engine = new_engine(2, 1)};
    s.model = load(s.engine, "tiny");
    in_threads(6, use_everything, &s);
    citadel_model_unload(s.model);
    citadel_engine_destroy(s.engine);
}

/* ---- Many models -------------------------------------------------------------------------- */

static int right_number(const citadel_model *model, int which)
{
    return embeds_right(model, "the quick brown fox", which);
}

/* Three slots for six models; so many handles at once that some loads find every slot held. */
static int load_and_unload(int number, void *argument)
{
    shared *s = argument;
    uint32_t random = (uint32_t)number;
    for (int round = 0; round < 40; round++) {
        char name[32];
        int which = 1 + (int)(next_random(&random) % 6);
        citadel_model *model;
        snprintf(name, sizeof name, "number-%d", which);
        citadel_status status = citadel_model_load(s->engine, name, NULL, &model, NULL);
        if (status == CITADEL_E_BUSY && !model)
            continue;
        if (status != CITADEL_OK || !right_number(model, which))
            return 1;
        citadel_model_unload(model);
    }
    return 0;
}

/* The first number of what is embedded tells which model it was. */
static int embed_by_name(int number, void *argument)
{
    shared *s = argument;
    uint32_t random = (uint32_t)number;
    for (int round = 0; round < 40; round++) {
        char name[32];
        int which = 1 + (int)(next_random(&random) % 6);
        const char *text = "the quick brown fox";
        float out[DIM], expected[DIM];
        snprintf(name, sizeof name, "number-%d", which);
        citadel_status status =
            citadel_embed(s->engine, name, &text, NULL, 1, NULL, out, DIM, NULL, NULL);
        if (status == CITADEL_E_BUSY)
            continue;
        reference(s->model, text, which, expected);
        normalize(expected, DIM);
        if (status != CITADEL_OK || !close_enough(out, expected, DIM))
            return 1;
    }
    return 0;
}

static int load_or_embed(int number, void *argument)
{
    return number % 2 ? load_and_unload(number, argument) : embed_by_name(number, argument);
}

static void test_models_come_and_go_under_many_threads(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *other = new_engine(1, 1);
    shared s = {.engine = new_engine(2, 3), .model = load(other, "raw")};
    in_threads(6, load_or_embed, &s);
    assert_in_range(read_probe(probe, &probe->models), 1, 4);
    citadel_model_unload(s.model);
    citadel_engine_destroy(other);
    citadel_engine_destroy(s.engine);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

static int own_engine(int number, void *argument)
{
    (void)argument;
    for (int round = 0; round < 5; round++) {
        citadel_engine_options options = test_options(2, 1);
        citadel_engine *engine;
        citadel_model *model;
        if (citadel_engine_create(&options, &engine, NULL) != CITADEL_OK ||
            citadel_model_load(engine, "tiny", NULL, &model, NULL) != CITADEL_OK)
            return 1;
        if (number % 2)
            citadel_engine_destroy(engine);
        if (!embeds_right(model, "fox", 0))
            return 2;
        citadel_model_unload(model);
        if (number % 2 == 0)
            citadel_engine_destroy(engine);
    }
    return 0;
}

static void test_engines_come_and_go_in_many_threads(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    int threads = count_threads();
    in_threads(6, own_engine, NULL);
    assert_int_equal(read_probe(probe, &probe->models), 0);
    expect_threads(threads);
}

/* ---- The end ------------------------------------------------------------------------------ */

static void *embed_waiting(void *argument)
{
    shared *s = argument;
    const char *text = "wait the fox";
    float out[DIM];
    s->status = s->model
                    ? citadel_model_embed(s->model, &text, NULL, 1, NULL, out, DIM, NULL, NULL)
                    : citadel_embed(s->engine, "moody", &text, NULL, 1, NULL, out, DIM, NULL, NULL);
    return NULL;
}

/* A call that runs keeps what it needs; the last one to leave puts out the light. */
static void expect_running_call_to_end_well(int by_handle)
{
    fake_probe *probe = reset_probe();
    int threads = count_threads();
    shared s = {.engine = new_engine(2, 1), .status = CITADEL_E_INTERNAL};
    pthread_t runner;
    if (by_handle)
        s.model = load(s.engine, "moody");
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&runner, NULL, embed_waiting, &s), 0);
    await(probe, &probe->waiting, 1);
    citadel_model_unload(s.model);
    citadel_engine_destroy(s.engine);
    assert_int_equal(read_probe(probe, &probe->models), 1);
    set_gate(probe, 0);
    pthread_join(runner, NULL);
    assert_int_equal(s.status, CITADEL_OK);
    assert_int_equal(read_probe(probe, &probe->models), 0);
    expect_threads(threads);
}

static void test_release_while_a_call_runs(void **state)
{
    (void)state;
    expect_running_call_to_end_well(1);
    expect_running_call_to_end_well(0);
}

/* What was only cached goes with the engine, although a handle keeps the engine alive. */
static void test_a_cached_model_in_use_goes_after_the_engine(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(2, 2)};
    citadel_model *held = load(s.engine, "tiny");
    pthread_t runner;
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&runner, NULL, embed_waiting, &s), 0);
    await(probe, &probe->waiting, 1);
    citadel_engine_destroy(s.engine);
    assert_int_equal(read_probe(probe, &probe->models), 2);
    set_gate(probe, 0);
    pthread_join(runner, NULL);
    assert_int_equal(s.status, CITADEL_OK);
    assert_int_equal(read_probe(probe, &probe->models), 1);
    citadel_model_unload(held);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

/* ---- Log ---------------------------------------------------------------------------------- */

static void count_line(void *user, int32_t level, const char *message)
{
    shared *s = user;
    if (atomic_fetch_add(&s->inside, 1) > 0 || level != CITADEL_LOG_INFO || strchr(message, '\n'))
        atomic_fetch_add(&s->overlaps, 1);
    s->lines++; /* ours alone: the library calls one at a time */
    atomic_fetch_sub(&s->inside, 1);
}

static int load_own(int number, void *argument)
{
    shared *s = argument;
    char name[32];
    citadel_model *model;
    snprintf(name, sizeof name, "number-%d", number + 1);
    if (citadel_model_load(s->engine, name, NULL, &model, NULL) != CITADEL_OK)
        return 1;
    citadel_model_unload(model);
    return 0;
}

static void test_the_log_gets_one_line_at_a_time(void **state)
{
    (void)state;
    shared s = {0};
    citadel_engine_options options = test_options(2, 6);
    options.log = count_line;
    options.log_user = &s;
    options.log_level = CITADEL_LOG_INFO;
    assert_ok(citadel_engine_create(&options, &s.engine, &error));
    in_threads(6, load_own, &s);
    citadel_engine_destroy(s.engine);
    assert_int_equal(s.lines, 12); /* of loading and unloading */
    assert_int_equal(atomic_load(&s.overlaps), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_threads_embed_on_one_model),
        cmocka_unit_test(test_every_function_of_a_model_at_once),
        cmocka_unit_test(test_models_come_and_go_under_many_threads),
        cmocka_unit_test(test_engines_come_and_go_in_many_threads),
        cmocka_unit_test(test_release_while_a_call_runs),
        cmocka_unit_test(test_a_cached_model_in_use_goes_after_the_engine),
        cmocka_unit_test(test_the_log_gets_one_line_at_a_time),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
