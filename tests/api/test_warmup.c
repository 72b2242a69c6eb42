/* Warm-up: on its own, and as a part of loads. */
#include "harness.h"

#include <stdlib.h>
#include <time.h>

enum { SHORT = 5 };

static citadel_warmup_report report;

static citadel_warmup_plan plan_of(const uint32_t *lengths, size_t length_count,
                                   const uint32_t *batch_sizes, size_t batch_size_count,
                                   uint32_t iterations)
{
    citadel_warmup_plan plan = CITADEL_WARMUP_PLAN_INIT;
    plan.lengths = lengths;
    plan.length_count = length_count;
    plan.batch_sizes = batch_sizes;
    plan.batch_size_count = batch_size_count;
    plan.iterations = iterations;
    report = (citadel_warmup_report)CITADEL_WARMUP_REPORT_INIT;
    return plan;
}

static citadel_warmup_plan short_plan(uint32_t iterations)
{
    static const uint32_t length = SHORT, one = 1;
    return plan_of(&length, 1, &one, 1, iterations);
}

static void test_a_plan_is_computed_as_it_says(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(2, 1);
    citadel_model *model = load(engine, "tiny");
    fake_probe *probe = the_probe();
    int runs = read_probe(probe, &probe->runs), texts = read_probe(probe, &probe->texts);
    const uint32_t lengths[] = {SHORT, 9}, sizes[] = {1, 3};
    citadel_warmup_plan plan = plan_of(lengths, 2, sizes, 2, 4);
    assert_ok(citadel_model_warmup(model, &plan, &report, &error));
    /* Four of the first, two of the three others, two of the first again, and one on each thread. */
    assert_int_equal(report.passes, 4 + 3 * 2 + 2);
    assert_int_equal(read_probe(probe, &probe->runs) - runs, 4 + 3 * 2 + 2 + 2);
    assert_int_equal(read_probe(probe, &probe->texts) - texts, 4 + 2 + 2 * 3 + 2 * 3 + 2 + 2);
    assert_int_equal(report.size, sizeof report);
    assert_true(report.first_seconds > 0);
    assert_true(report.p50_seconds > 0);
    assert_true(report.p95_seconds >= report.p50_seconds);
    assert_true(report.seconds >= report.first_seconds + report.p50_seconds);
    assert_true(report.peak_bytes >= 1 << 20);
    assert_int_equal(report.cancelled + report.timed_out, 0);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* The lengths are in tokens: a batch has exactly so many. */
static void test_texts_have_the_lengths_of_the_plan(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 1);
    citadel_model *model = load(engine, "prompted");
    pthread_mutex_lock(&probe->lock);
    probe->most_tokens = 0;
    pthread_mutex_unlock(&probe->lock);
    const uint32_t length = 11, size = 1;
    citadel_warmup_plan plan = plan_of(&length, 1, &size, 1, 1);
    assert_ok(citadel_model_warmup(model, &plan, NULL, &error));
    assert_int_equal(read_probe(probe, &probe->most_tokens), 11);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* This model ends at MAX_TOKENS: of the default lengths 8 and that are left, alone and by eight. */
static void test_the_default_plan_fits_the_model(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 1);
    citadel_model *model = load(engine, "tiny");
    report = (citadel_warmup_report)CITADEL_WARMUP_REPORT_INIT;
    assert_ok(citadel_model_warmup(model, NULL, &report, &error));
    assert_int_equal(report.passes, 10 + 3 * 2 + 2);
    assert_int_equal(read_probe(probe, &probe->most_tokens), 8 * MAX_TOKENS);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_default_batches_stay_within_batch_tokens(void **state)
{
    (void)state;
    citadel_engine_options options = test_options(1, 1);
    options.batch_tokens = 64;
    citadel_engine *engine;
    assert_ok(citadel_engine_create(&options, &engine, &error));
    citadel_model *model = load(engine, "tiny");
    report = (citadel_warmup_report)CITADEL_WARMUP_REPORT_INIT;
    assert_ok(citadel_model_warmup(model, NULL, &report, &error));
    assert_int_equal(report.passes, 10 + 2 * 2 + 2); /* not eight of MAX_TOKENS */
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void begin_round(fake_probe *probe)
{
    pthread_mutex_lock(&probe->lock);
    probe->round++;
    probe->callers = 0;
    pthread_mutex_unlock(&probe->lock);
}

/* A thread that is quicker than the others must not take their part. */
static void test_every_thread_is_warmed(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(THREADS, 1);
    citadel_model *model = load(engine, "tiny");
    citadel_warmup_plan plan = short_plan(1);
    for (int i = 0; i < 50; i++) {
        int runs = read_probe(probe, &probe->runs);
        begin_round(probe);
        assert_ok(citadel_model_warmup(model, &plan, &report, &error));
        assert_int_equal(read_probe(probe, &probe->runs) - runs, 1 + THREADS);
        assert_int_equal(read_probe(probe, &probe->callers), THREADS);
    }
    assert_int_equal(report.p50_seconds == 0, 1); /* there was one pass */
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static int warm(int number, void *shared)
{
    citadel_error own = CITADEL_ERROR_INIT;
    citadel_warmup_plan plan = CITADEL_WARMUP_PLAN_INIT;
    plan.iterations = 3;
    int failed = 0;
    for (int i = 0; i < 20; i++)
        failed += number % 2 ? !embeds_right(shared, "the quick fox", 0)
                             : citadel_model_warmup(shared, &plan, NULL, &own) != CITADEL_OK;
    return failed;
}

static void test_warm_ups_and_calls_side_by_side(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(3, 1);
    citadel_model *model = load(engine, "tiny");
    in_threads(6, warm, model);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* ---- Ends --------------------------------------------------------------------------------- */

static int32_t cancel_after(void *left)
{
    return (*(int *)left)-- == 0;
}

static void test_a_warm_up_can_be_cancelled(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_model *model = load(engine, "tiny");
    for (int passes = 0; passes < 3; passes++) {
        int left = passes;
        citadel_warmup_plan plan = short_plan(5);
        plan.cancel = cancel_after;
        plan.cancel_user = &left;
        assert_ok(citadel_model_warmup(model, &plan, &report, &error));
        assert_int_equal(report.passes, passes);
        assert_int_equal(report.cancelled, 1);
        assert_int_equal(report.timed_out, 0);
        assert_int_equal(left, -1); /* it is not asked again */
    }
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static int32_t sleep_a_while(void *calls)
{
    ++*(int *)calls;
    const struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
    return 0;
}

static void test_no_pass_begins_behind_the_time_budget(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_model *model = load(engine, "tiny");
    int calls = 0;
    citadel_warmup_plan plan = short_plan(100000);
    plan.time_budget_ms = 20;
    plan.cancel = sleep_a_while;
    plan.cancel_user = &calls;
    assert_ok(citadel_model_warmup(model, &plan, &report, &error));
    assert_int_equal(report.timed_out, 1);
    assert_int_equal(report.cancelled, 0);
    assert_true(report.passes <= 10);
    assert_true(report.seconds >= .02);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* Every shape of a great plan would ask again, behind the budget. */
static void test_cancel_is_not_asked_behind_the_time_budget(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_model *model = load(engine, "tiny");
    uint32_t batch_sizes[64];
    for (uint32_t i = 0; i < 64; i++)
        batch_sizes[i] = i + 1;
    int calls = 0;
    citadel_warmup_plan plan = short_plan(1);
    plan.batch_sizes = batch_sizes;
    plan.batch_size_count = 64;
    plan.time_budget_ms = 1;
    plan.cancel = sleep_a_while;
    plan.cancel_user = &calls;
    assert_ok(citadel_model_warmup(model, &plan, &report, &error));
    assert_int_equal(report.timed_out, 1);
    assert_int_equal(report.passes, 0);
    assert_int_equal(calls, 1);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_a_failing_pass_fails_the_warm_up(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(2, 1);
    struct {
        const char *pack;
        citadel_status status;
        const char *piece;
    } cases[] = {
        {"nan-later", CITADEL_E_NOT_FINITE, "NaN"},
        {"fail-later", CITADEL_E_BACKEND, "the batch has id"},
        {"oom-later", CITADEL_E_NO_MEMORY, "the batch has id"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        citadel_model *model = load(engine, cases[i].pack);
        uint64_t before = metrics_of(engine).warmups;
        citadel_warmup_plan plan = short_plan(2);
        assert_fails(cases[i].status, cases[i].piece,
                     citadel_model_warmup(model, &plan, &report, &error));
        assert_non_null(strstr(error.message, cases[i].pack));
        assert_int_equal(report.passes, 0);
        assert_int_equal(metrics_of(engine).warmups, before);
        citadel_model_unload(model);
    }
    citadel_engine_destroy(engine);
}

static void test_a_plan_that_cannot_be_is_refused(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_model *model = load(engine, "tiny");
    uint32_t lengths[65] = {SHORT}, sizes[65] = {1};
#define refuse(piece, lengths, length_count, sizes, size_count, iterations)                       \
    do {                                                                                          \
        citadel_warmup_plan plan = plan_of(lengths, length_count, sizes, size_count, iterations); \
        assert_fails(CITADEL_E_INVALID_ARGUMENT, piece,                                           \
                     citadel_model_warmup(model, &plan, &report, &error));                        \
        assert_int_equal(report.seconds == 0, 1);                                                 \
    } while (0)
    refuse("lengths has 0 elements, expected 1 to 64", lengths, 0, sizes, 1, 1);
    refuse("lengths has 65 elements", lengths, 65, sizes, 1, 1);
    refuse("batch_sizes has 65 elements", lengths, 1, sizes, 65, 1);
    refuse("lengths is NULL, but length_count is 1", NULL, 1, sizes, 1, 1);
    refuse("batch_sizes is NULL, but batch_size_count is 2", lengths, 1, NULL, 2, 1);
    refuse("lengths[1] is 0, expected 2 to 16", lengths, 2, sizes, 1, 1);
    lengths[1] = MAX_TOKENS + 1;
    refuse("lengths[1] is 17, expected 2 to 16", lengths, 2, sizes, 1, 1);
    refuse("batch_sizes[1] is 0, expected 1 to 4096", lengths, 1, sizes, 2, 1);
    sizes[1] = 4097;
    refuse("batch_sizes[1] is 4097", lengths, 1, sizes, 2, 1);
    refuse("iterations is 100001, expected 0 to 100000", lengths, 1, sizes, 1, 100001);
#undef refuse
    citadel_warmup_plan plan = short_plan(1);
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "model is NULL",
                 citadel_model_warmup(NULL, &plan, &report, &error));
    plan.size = 63;
    assert_fails(CITADEL_E_ABI, "citadel_warmup_plan.size is 63",
                 citadel_model_warmup(model, &plan, &report, &error));
    report.size = 63;
    assert_fails(CITADEL_E_ABI, "citadel_warmup_report.size is 63",
                 citadel_model_warmup(model, NULL, &report, &error));
    citadel_warmup_plan_init(&plan, sizeof plan);
    plan.iterations = 1;
    assert_ok(citadel_model_warmup(model, &plan, NULL, &error));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* ---- Loads -------------------------------------------------------------------------------- */

/* The switches have no options: the environment is read. */
static citadel_engine *warming_engine(const char *enabled, const char *iterations)
{
    citadel_engine_options options = test_options(2, 4);
    options.flags = 0;
    setenv("MODEL_WARMUP_ENABLED", enabled, 1);
    setenv("WARMUP_ITERATIONS", iterations, 1);
    citadel_engine *engine;
    assert_ok(citadel_engine_create(&options, &engine, &error));
    unsetenv("MODEL_WARMUP_ENABLED");
    unsetenv("WARMUP_ITERATIONS");
    return engine;
}

static void test_a_load_warms_up(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = warming_engine("false", "5");
    citadel_info info = CITADEL_INFO_INIT;
    citadel_model *model = load(engine, "tiny");
    int runs = read_probe(probe, &probe->runs);
    assert_ok(citadel_model_info(model, &info, &error));
    assert_int_equal(info.warmup_seconds == 0, 1);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);

    probe = reset_probe();
    engine = warming_engine("true", "5");
    model = load(engine, "tiny");
    /* Five of the first length, two of the second, two of the first again, and one on each thread. */
    assert_int_equal(read_probe(probe, &probe->runs) - runs, 5 + 2 + 2 + 2);
    assert_ok(citadel_model_info(model, &info, &error));
    assert_true(info.warmup_seconds > 0);
    assert_true(info.warmup_seconds < info.load_seconds);
    citadel_metrics m = metrics_of(engine);
    assert_int_equal(m.warmups, 1);
    assert_true(m.warmup_seconds > 0);
    assert_true(m.load_seconds > m.warmup_seconds);
    assert_int_equal(m.requests_ok + m.texts + m.total.count + m.batch_texts.count, 0);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_a_form_that_fails_in_its_warm_up_gives_way(void **state)
{
    (void)state;
    citadel_info info = CITADEL_INFO_INIT;
    for (int enabled = 0; enabled < 2; enabled++) {
        citadel_engine *engine = warming_engine(enabled ? "on" : "off", "2");
        citadel_model *model = load(engine, FAKE_PACKS "/falls-back/nan-later");
        assert_ok(citadel_model_info(model, &info, &error));
        assert_string_equal(info.form, enabled ? "torchscript" : "compiled");
        assert_int_equal(info.fallbacks, enabled);
        if (enabled)
            assert_non_null(strstr(info.explain, "warm-up: "));
        citadel_model_unload(model);
        citadel_engine_destroy(engine);
    }
}

static void test_a_load_fails_when_no_form_can_be_warmed(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = warming_engine("1", "2");
    citadel_model *model;
    assert_fails(CITADEL_E_BAD_MODEL, "warm-up: texts[0]: the vector has NaN",
                 citadel_model_load(engine, "nan-later", NULL, &model, &error));
    assert_null(model);
    assert_fails(CITADEL_E_BACKEND, "warm-up: fake: the batch has id",
                 citadel_model_load(engine, "fail-later", NULL, &model, &error));
    assert_int_equal(metrics_of(engine).models, 0);
    assert_int_equal(metrics_of(engine).load_failures, 2);
    assert_int_equal(metrics_of(engine).load_seconds == 0, 1);
    citadel_engine_destroy(engine);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

static void test_bad_switches_are_refused(void **state)
{
    (void)state;
    citadel_engine_options options = test_options(1, 1);
    citadel_engine *engine;
    options.flags = 0;
    setenv("MODEL_WARMUP_ENABLED", "maybe", 1);
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "MODEL_WARMUP_ENABLED",
                 citadel_engine_create(&options, &engine, &error));
    unsetenv("MODEL_WARMUP_ENABLED");
    setenv("WARMUP_ITERATIONS", "0", 1);
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "WARMUP_ITERATIONS",
                 citadel_engine_create(&options, &engine, &error));
    unsetenv("WARMUP_ITERATIONS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plan_is_computed_as_it_says),
        cmocka_unit_test(test_texts_have_the_lengths_of_the_plan),
        cmocka_unit_test(test_the_default_plan_fits_the_model),
        cmocka_unit_test(test_default_batches_stay_within_batch_tokens),
        cmocka_unit_test(test_every_thread_is_warmed),
        cmocka_unit_test(test_warm_ups_and_calls_side_by_side),
        cmocka_unit_test(test_a_warm_up_can_be_cancelled),
        cmocka_unit_test(test_no_pass_begins_behind_the_time_budget),
        cmocka_unit_test(test_cancel_is_not_asked_behind_the_time_budget),
        cmocka_unit_test(test_a_failing_pass_fails_the_warm_up),
        cmocka_unit_test(test_a_plan_that_cannot_be_is_refused),
        cmocka_unit_test(test_a_load_warms_up),
        cmocka_unit_test(test_a_form_that_fails_in_its_warm_up_gives_way),
        cmocka_unit_test(test_a_load_fails_when_no_form_can_be_warmed),
        cmocka_unit_test(test_bad_switches_are_refused),
    };
    return cmocka_run_group_tests_name("warmup", tests, NULL, NULL);
}
