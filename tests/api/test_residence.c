/* Which models are in memory, and what is told of them: estimate, pin, unload, metrics. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static citadel_status embed_named(citadel_engine *engine, const char *name)
{
    const char *text = "fox";
    float out[DIM];
    return citadel_embed(engine, name, &text, NULL, 1, NULL, out, DIM, NULL, &error);
}

static citadel_status embed_form(citadel_engine *engine, const char *name, int32_t precision)
{
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    const char *text = "fox";
    float out[DIM];
    options.precision = precision;
    return citadel_embed(engine, name, &text, NULL, 1, &options, out, DIM, NULL, &error);
}

static citadel_status pin(citadel_engine *engine, const char *name, uint32_t pinned)
{
    return citadel_model_pin(engine, name, NULL, pinned, &error);
}

/* ---- Estimate ----------------------------------------------------------------------------- */

static uint64_t file_size(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    fclose(file);
    return (uint64_t)size;
}

static void test_an_estimate_loads_nothing(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 1);
    citadel_estimate estimate = estimate_of(engine, "tiny");
    assert_int_equal(estimate.weight_bytes, file_size(FAKE_PACKS "/tiny/weights.fp32.safetensors"));
    assert_true(estimate.resident_bytes > estimate.weight_bytes);
    assert_true(estimate.peak_bytes > estimate.resident_bytes);
    assert_true(bytes_of("tiny") <= estimate.resident_bytes);
    assert_string_equal(estimate.form, "torchscript");
    assert_int_equal(estimate.precision, CITADEL_PRECISION_FP32);
    assert_int_equal(estimate.dim, DIM);
    citadel_metrics metrics = metrics_of(engine);
    assert_int_equal(metrics.models + metrics.hits + metrics.misses, 0);
    assert_int_equal(read_probe(probe, &probe->models), 0);
    citadel_engine_destroy(engine);
}

static void test_an_estimate_is_of_the_form_that_is_asked_for(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    citadel_estimate estimate = CITADEL_ESTIMATE_INIT;
    options.precision = CITADEL_PRECISION_BF16;
    assert_ok(citadel_model_estimate(engine, "two-forms", &options, &estimate, &error));
    assert_int_equal(estimate.precision, CITADEL_PRECISION_BF16);
    assert_int_equal(estimate_of(engine, "two-forms").precision, CITADEL_PRECISION_FP32);
    options.precision = CITADEL_PRECISION_INT8;
    assert_fails(CITADEL_E_UNSUPPORTED, "int8",
                 citadel_model_estimate(engine, "two-forms", &options, &estimate, &error));
    citadel_engine_destroy(engine);
}

/* More threads, or longer batches, take more at once, but no more for good. */
static void test_the_peak_grows_with_the_threads(void **state)
{
    (void)state;
    citadel_engine *one = new_engine(1, 1), *four = new_engine(4, 1);
    citadel_estimate a = estimate_of(one, "tiny"), b = estimate_of(four, "tiny");
    assert_int_equal(a.resident_bytes, b.resident_bytes);
    assert_int_equal(b.peak_bytes - b.resident_bytes, 4 * (a.peak_bytes - a.resident_bytes));
    citadel_engine_destroy(one);
    citadel_engine_destroy(four);
}

static void test_an_estimate_refuses_what_a_load_would(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_estimate estimate = CITADEL_ESTIMATE_INIT;
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
#define refuse(status, piece, engine, name, options, out) \
    assert_fails(status, piece, citadel_model_estimate(engine, name, options, out, &error))
    refuse(CITADEL_E_INVALID_ARGUMENT, "engine is NULL", NULL, "tiny", NULL, &estimate);
    refuse(CITADEL_E_INVALID_ARGUMENT, "name is NULL", engine, NULL, NULL, &estimate);
    refuse(CITADEL_E_INVALID_ARGUMENT, "citadel_estimate is NULL", engine, "tiny", NULL, NULL);
    refuse(CITADEL_E_NOT_FOUND, "no model 'absent'", engine, "absent", NULL, &estimate);
    refuse(CITADEL_E_BAD_MODEL, "damaged", engine, FAKE_PACKS "/bad/manifest-flip", NULL,
           &estimate);
    options.flags = 1;
    refuse(CITADEL_E_INVALID_ARGUMENT, "unknown flags", engine, "tiny", &options, &estimate);
    options.flags = 0;
    options.require_id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    refuse(CITADEL_E_BAD_MODEL, "identity", engine, "tiny", &options, &estimate);
    estimate.size = 63;
    refuse(CITADEL_E_ABI, "citadel_estimate.size is 63", engine, "tiny", NULL, &estimate);
    citadel_engine_destroy(engine);
}

/* ---- Pin ---------------------------------------------------------------------------------- */

static void test_a_pinned_model_stays(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 2);
    assert_ok(pin(engine, "number-1", 1));
    assert_int_equal(read_probe(probe, &probe->models), 1);
    assert_ok(pin(engine, "number-1", 1));
    for (int i = 0; i < 2; i++) {
        assert_ok(embed_named(engine, "number-2"));
        assert_ok(embed_named(engine, "number-3"));
    }
    citadel_model_unload(load(engine, "number-1")); /* the last handle, but not the pin */
    assert_int_equal(read_probe(probe, &probe->loads), 5);
    assert_int_equal(metrics_of(engine).models_pinned, 1);
    assert_ok(pin(engine, "number-1", 0)); /* the first ends it, however often it was pinned */
    assert_int_equal(metrics_of(engine).models_pinned, 0);
    assert_int_equal(read_probe(probe, &probe->models), 2);
    assert_ok(embed_named(engine, "number-2"));
    assert_ok(embed_named(engine, "number-3"));
    assert_ok(embed_named(engine, "number-1"));
    assert_int_equal(read_probe(probe, &probe->loads), 8);
    citadel_engine_destroy(engine);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

static void test_pinned_models_are_held(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 2);
    citadel_model *model = load(engine, "number-1");
    assert_ok(pin(engine, "number-2", 1));
    assert_fails(CITADEL_E_BUSY, "unload or unpin one", embed_named(engine, "number-3"));
    assert_fails(CITADEL_E_BUSY, "all 2 cache slots are held", pin(engine, "number-3", 1));
    assert_ok(pin(engine, "number-2", 0));
    assert_ok(embed_named(engine, "number-3"));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

static void test_a_pinned_model_goes_with_its_engine(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 2);
    assert_ok(pin(engine, "number-1", 1));
    citadel_model *held = load(engine, "number-2");
    citadel_engine_destroy(engine);
    assert_int_equal(read_probe(probe, &probe->models), 1);
    citadel_model_unload(held);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

static void test_a_pin_says_why_not(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    options.flags = 1;
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "engine is NULL",
                 citadel_model_pin(NULL, "tiny", NULL, 1, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "name is NULL", pin(engine, NULL, 1));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "pinned is 2", pin(engine, "tiny", 2));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "unknown flags",
                 citadel_model_pin(engine, "tiny", &options, 1, &error));
    assert_fails(CITADEL_E_NOT_FOUND, "no model 'absent'", pin(engine, "absent", 1));
    assert_fails(CITADEL_E_NOT_FOUND, "model 'tiny' is not loaded", pin(engine, "tiny", 0));
    assert_int_equal(metrics_of(engine).models, 0);
    citadel_engine_destroy(engine);
}

/* ---- Unload by name ----------------------------------------------------------------------- */

static void test_an_unload_reports_what_it_freed(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 2);
    citadel_unload_report report = CITADEL_UNLOAD_REPORT_INIT;
    assert_ok(pin(engine, "number-1", 1));
    uint64_t one = metrics_of(engine).bytes;
    assert_ok(embed_named(engine, "number-2"));
    uint64_t two = metrics_of(engine).bytes - one;
    assert_in_range(two, one - ROUNDED, one + ROUNDED);
    assert_ok(citadel_unload(engine, "number-1", &report, &error));
    assert_int_equal(read_probe(probe, &probe->models), 1);
    assert_int_equal(report.models, 1);
    assert_int_equal(report.model_bytes, one);
    assert_int_equal(report.cache_bytes_before, one + two);
    assert_int_equal(report.cache_bytes_after, two);
    assert_true(report.process_bytes_before > one);
    assert_true(report.process_bytes_after > 0);
    assert_int_equal(metrics_of(engine).models_pinned, 0);
    /* Its name is free again, and the report need not be read. */
    assert_ok(embed_named(engine, "number-1"));
    assert_ok(citadel_unload(engine, FAKE_PACKS "/number-1", NULL, &error));
    assert_int_equal(metrics_of(engine).bytes, two);
    citadel_engine_destroy(engine);
}

static uint64_t resident_by_status(void)
{
    char line[256];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) && sscanf(line, "VmRSS: %llu kB", &kilobytes) != 1) {
    }
    fclose(file);
    return kilobytes << 10;
}

static void test_process_bytes_are_those_of_the_process(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    enum { BYTES = 64 << 20 };
    char *block = malloc(BYTES);
    assert_non_null(block);
    for (size_t i = 0; i < BYTES; i += 512)
        ((volatile char *)block)[i] = 1;
    uint64_t told = metrics_of(engine).process_bytes, expected = resident_by_status();
    free(block);
    assert_in_range(told, expected / 4 * 3, expected / 4 * 5);
    citadel_engine_destroy(engine);
}

static void test_all_forms_of_a_model_are_unloaded(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 3);
    citadel_unload_report report = CITADEL_UNLOAD_REPORT_INIT;
    assert_ok(embed_form(engine, "two-forms", CITADEL_PRECISION_BF16));
    assert_ok(embed_form(engine, "two-forms", CITADEL_PRECISION_FP32));
    assert_ok(embed_named(engine, "number-1"));
    assert_ok(citadel_unload(engine, "two-forms", &report, &error));
    assert_int_equal(report.models, 2);
    assert_int_equal(read_probe(probe, &probe->models), 1);
    citadel_engine_destroy(engine);
}

static void test_what_is_held_is_not_unloaded(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 2);
    citadel_model *model = load(engine, "tiny");
    assert_fails(CITADEL_E_BUSY, "model 'tiny' is held by 1 handle",
                 citadel_unload(engine, "tiny", NULL, &error));
    citadel_model_ref(model);
    assert_fails(CITADEL_E_BUSY, "model 'tiny' is held by 2 handles",
                 citadel_unload(engine, "tiny", NULL, &error));
    assert_true(embeds_right(model, "fox", 0));
    assert_ok(embed_named(engine, "tiny"));
    assert_int_equal(read_probe(probe, &probe->loads), 1);
    citadel_model_unload(model);
    citadel_model_unload(model);
    assert_fails(CITADEL_E_NOT_FOUND, "model 'tiny' is not loaded",
                 citadel_unload(engine, "tiny", NULL, &error));
    citadel_engine_destroy(engine);
}

static void test_an_unload_says_why_not(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_unload_report report = CITADEL_UNLOAD_REPORT_INIT;
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "engine is NULL",
                 citadel_unload(NULL, "tiny", &report, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "name is NULL",
                 citadel_unload(engine, NULL, &report, &error));
    assert_fails(CITADEL_E_NOT_FOUND, "no model 'absent'",
                 citadel_unload(engine, "absent", &report, &error));
    assert_fails(CITADEL_E_NOT_FOUND, "model 'tiny' is not loaded",
                 citadel_unload(engine, "tiny", &report, &error));
    report.size = 48;
    assert_fails(CITADEL_E_ABI, "citadel_unload_report.size is 48",
                 citadel_unload(engine, "tiny", &report, &error));
    citadel_engine_destroy(engine);
}

/* A model is found by the name that it was loaded by, though its files are gone. */
static void test_a_model_whose_files_are_gone_can_be_unloaded(void **state)
{
    (void)state;
    char directory[] = "/tmp/citadel-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    copy_pack("tiny", directory);
    citadel_engine *engine = new_engine(1, 1);
    assert_ok(embed_named(engine, directory));
    remove_pack(directory);
    assert_ok(embed_named(engine, directory));
    assert_ok(citadel_unload(engine, directory, NULL, &error));
    assert_fails(CITADEL_E_NOT_FOUND, directory, embed_named(engine, directory));
    citadel_engine_destroy(engine);
}

typedef struct shared {
    citadel_engine *engine;
    citadel_status status;
    citadel_unload_report report;
} shared;

static void *embed_waiting(void *argument)
{
    shared *s = argument;
    const char *text = "wait the fox";
    float out[DIM];
    s->status = citadel_embed(s->engine, "moody", &text, NULL, 1, NULL, out, DIM, NULL, NULL);
    return NULL;
}

static void *unload_moody(void *argument)
{
    shared *s = argument;
    s->report = (citadel_unload_report)CITADEL_UNLOAD_REPORT_INIT;
    s->status = citadel_unload(s->engine, "moody", &s->report, NULL);
    return NULL;
}

/* That the unload has begun shows in a pin that is kept waiting by it. A handle would end it. */
static void await_unload(citadel_engine *engine)
{
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    options.timeout_ms = 20;
    while (citadel_model_pin(engine, "moody", &options, 1, &error) == CITADEL_OK) {
    }
    assert_int_equal(error.code, CITADEL_E_BUSY);
    assert_non_null(strstr(error.message, "waited 20 ms (timeout_ms) for an unload of the model"));
}

static void test_an_unload_waits_for_calls_and_others_for_the_unload(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared user = {.engine = new_engine(2, 2)}, unloader = {.engine = user.engine};
    pthread_t threads[2];
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&threads[0], NULL, embed_waiting, &user), 0);
    await(probe, &probe->waiting, 1);
    assert_int_equal(pthread_create(&threads[1], NULL, unload_moody, &unloader), 0);
    for (int tries = 0; tries < 3; tries++)
        await_unload(user.engine);
    assert_int_equal(read_probe(probe, &probe->models), 1);
    set_gate(probe, 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(user.status, 0);
    assert_int_equal(unloader.status, 0);
    assert_int_equal(unloader.report.models, 1);
    assert_int_equal(unloader.report.cache_bytes_after, 0);
    assert_int_equal(read_probe(probe, &probe->models), 0);
    assert_ok(embed_named(user.engine, "moody"));
    assert_int_equal(read_probe(probe, &probe->loads), 2);
    assert_int_equal(read_probe(probe, &probe->twins), 0);
    citadel_engine_destroy(user.engine);
}

/* Everything at once on one model: no call gets what is not in order, and none is lost. */
static int use_pin_and_unload(int number, void *argument)
{
    shared *s = argument;
    const char *text = "the quick brown fox";
    float out[DIM];
    for (int round = 0; round < 100; round++) {
        citadel_status status = CITADEL_OK;
        citadel_model *model = NULL;
        switch ((number + round) % 4) {
        case 0:
            status =
                citadel_embed(s->engine, "number-1", &text, NULL, 1, NULL, out, DIM, NULL, NULL);
            break;
        case 1:
            status = citadel_model_load(s->engine, "number-1", NULL, &model, NULL);
            if (status == CITADEL_OK && !embeds_right(model, text, 1))
                return 1;
            citadel_model_unload(model);
            break;
        case 2:
            status = citadel_model_pin(s->engine, "number-1", NULL, round % 2, NULL);
            status = round % 2 == 0 && status == CITADEL_E_NOT_FOUND ? CITADEL_OK : status;
            break;
        default:
            status = citadel_unload(s->engine, "number-1", NULL, NULL);
            if (status == CITADEL_E_NOT_FOUND || status == CITADEL_E_BUSY)
                status = CITADEL_OK;
        }
        if (status != CITADEL_OK)
            return 2;
    }
    return 0;
}

static void test_everything_at_once_on_one_model(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(2, 1)};
    in_threads(8, use_pin_and_unload, &s);
    assert_int_equal(read_probe(probe, &probe->twins), 0);
    assert_int_equal(metrics_of(s.engine).load_failures, 0);
    citadel_engine_destroy(s.engine);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

/* ---- Metrics ------------------------------------------------------------------------------ */

static void test_metrics_count_what_happened(void **state)
{
    (void)state;
    reset_probe();
    citadel_engine *engine = new_engine(1, 2);
    citadel_metrics m = metrics_of(engine);
    assert_int_equal(m.models_limit, 2);
    assert_int_equal(m.bytes_limit, 0);
    assert_int_equal(m.hits + m.misses + m.joins + m.loads + m.models + m.bytes, 0);
    assert_ok(embed_named(engine, "number-1"));
    assert_ok(embed_named(engine, "number-1"));
    assert_ok(embed_named(engine, "number-2"));
    assert_ok(embed_named(engine, "number-3"));
    assert_fails(CITADEL_E_BACKEND, "fail-load", embed_named(engine, FAKE_PACKS "/bad/fail-load"));
    citadel_model *model = load(engine, "number-3");
    assert_true(embeds_right(model, "fox", 3));
    m = metrics_of(engine);
    assert_int_equal(m.size, sizeof m);
    assert_int_equal(m.hits, 2); /* calls by handle name no model */
    assert_int_equal(m.misses, 4);
    assert_int_equal(m.joins, 0);
    assert_int_equal(m.loads, 3);
    assert_int_equal(m.load_failures, 1);
    assert_int_equal(m.evictions_count, 2);
    assert_int_equal(m.evictions_bytes, 0);
    assert_int_equal(m.evictions_idle, 0);
    assert_int_equal(m.fallbacks, 0);
    assert_int_equal(m.nan_recoveries, 0);
    assert_int_equal(m.models, 1);
    assert_int_equal(m.models_pinned, 0);
    assert_true(m.process_bytes > m.bytes);
    citadel_model_unload(model);
    assert_int_equal(metrics_of(engine).models, 0);
    assert_int_equal(metrics_of(engine).bytes, 0);
    citadel_engine_destroy(engine);
}

static void test_metrics_of_other_versions(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    struct {
        citadel_metrics known;
        uint64_t later;
    } newer = {.known = {.size = sizeof newer}, .later = 1};
    assert_ok(citadel_metrics_snapshot(engine, &newer.known, &error));
    assert_int_equal(newer.known.size, sizeof newer);
    assert_int_equal(newer.known.models_limit, 1);
    assert_int_equal(newer.later, 0);
    newer.known.size = 135;
    assert_fails(CITADEL_E_ABI, "citadel_metrics.size is 135",
                 citadel_metrics_snapshot(engine, &newer.known, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "engine is NULL",
                 citadel_metrics_snapshot(NULL, &newer.known, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "citadel_metrics is NULL",
                 citadel_metrics_snapshot(engine, NULL, &error));
    citadel_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_estimate_loads_nothing),
        cmocka_unit_test(test_an_estimate_is_of_the_form_that_is_asked_for),
        cmocka_unit_test(test_the_peak_grows_with_the_threads),
        cmocka_unit_test(test_an_estimate_refuses_what_a_load_would),
        cmocka_unit_test(test_a_pinned_model_stays),
        cmocka_unit_test(test_pinned_models_are_held),
        cmocka_unit_test(test_a_pinned_model_goes_with_its_engine),
        cmocka_unit_test(test_a_pin_says_why_not),
        cmocka_unit_test(test_an_unload_reports_what_it_freed),
        cmocka_unit_test(test_process_bytes_are_those_of_the_process),
        cmocka_unit_test(test_all_forms_of_a_model_are_unloaded),
        cmocka_unit_test(test_what_is_held_is_not_unloaded),
        cmocka_unit_test(test_an_unload_says_why_not),
        cmocka_unit_test(test_a_model_whose_files_are_gone_can_be_unloaded),
        cmocka_unit_test(test_an_unload_waits_for_calls_and_others_for_the_unload),
        cmocka_unit_test(test_everything_at_once_on_one_model),
        cmocka_unit_test(test_metrics_count_what_happened),
        cmocka_unit_test(test_metrics_of_other_versions),
    };
    return cmocka_run_group_tests_name("residence", tests, NULL, NULL);
}
