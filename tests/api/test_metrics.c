/* What is counted of calls, where their time went, and the text for Prometheus. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t sum_of(const citadel_histogram *histogram)
{
    uint64_t sum = 0;
    for (int i = 0; i < CITADEL_HISTOGRAM_BUCKETS; i++)
        sum += histogram->buckets[i];
    return sum;
}

static citadel_status embed(citadel_model *model, const char *const *texts, size_t count,
                            citadel_timings *timings)
{
    float out[64 * DIM];
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.timings = timings;
    return citadel_model_embed(model, texts, NULL, count, &options, out, 64 * DIM, NULL, &error);
}

/* ---- Numbers ------------------------------------------------------------------------------ */

static void test_calls_texts_and_tokens_are_counted(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_model *model = load(engine, "tiny");
    const char *texts[] = {"fox", "the quick brown fox", ""};
    assert_ok(embed(model, texts, 3, NULL));
    assert_ok(embed(model, texts, 1, NULL));
    assert_ok(embed(model, texts, 0, NULL));
    citadel_metrics m = metrics_of(engine);
    assert_int_equal(m.requests_ok, 2);
    assert_int_equal(m.texts, 4);
    assert_int_equal(m.tokens, 3 + 6 + 2 + 3);
    const citadel_histogram *times[] = {&m.tokenize, &m.queue, &m.compute, &m.total};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(times[i]->count, 2);
        assert_int_equal(sum_of(times[i]), 2);
    }
    assert_true(m.total.sum > 0);
    assert_true(m.tokenize.sum + m.queue.sum + m.compute.sum <= m.total.sum);
    /* One batch of 3 texts and 11 tokens, one of 1 and 3. */
    assert_int_equal(m.batch_texts.count, 2);
    assert_int_equal((int)m.batch_texts.sum, 4);
    assert_int_equal(m.batch_texts.buckets[0], 1);
    assert_int_equal(m.batch_texts.buckets[2], 1);
    assert_int_equal((int)m.batch_tokens.sum, 14);
    assert_int_equal(m.batch_tokens.buckets[2], 1);
    assert_int_equal(m.batch_tokens.buckets[4], 1);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static citadel_status embed_by_name(citadel_engine *engine, const char *name, const char *text)
{
    float out[DIM];
    return citadel_embed(engine, name, &text, NULL, 1, NULL, out, DIM, NULL, &error);
}

static void test_failures_are_counted_by_kind(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    assert_ok(embed_by_name(engine, "moody", "fox"));
    assert_int_equal(embed_by_name(engine, "moody", "\xff"), CITADEL_E_INVALID_UTF8);
    assert_int_equal(embed_by_name(engine, "moody", "nan"), CITADEL_E_NOT_FINITE);
    assert_int_equal(embed_by_name(engine, "moody", "inf"), CITADEL_E_NOT_FINITE);
    assert_int_equal(embed_by_name(engine, "moody", "fail"), CITADEL_E_BACKEND);
    assert_int_equal(embed_by_name(engine, "moody", "oom"), CITADEL_E_NO_MEMORY);
    assert_int_equal(embed_by_name(engine, "absent", "fox"), CITADEL_E_NOT_FOUND);
    assert_int_equal(embed_by_name(engine, FAKE_PACKS "/bad/nan", "fox"), CITADEL_E_BAD_MODEL);
    citadel_model *model = load(engine, "moody");
    assert_int_equal(embed_by_name(engine, "tiny", "fox"), CITADEL_E_BUSY);
    assert_int_equal(citadel_model_embed(model, NULL, NULL, 1, NULL, NULL, 0, NULL, &error),
                     CITADEL_E_INVALID_ARGUMENT);
    citadel_metrics m = metrics_of(engine);
    assert_int_equal(m.requests_ok, 1);
    assert_int_equal(m.failed_invalid, 2);
    assert_int_equal(m.failed_text, 1);
    assert_int_equal(m.failed_not_finite, 2);
    assert_int_equal(m.failed_model, 1);
    assert_int_equal(m.failed_memory, 1);
    assert_int_equal(m.failed_busy, 1);
    assert_int_equal(m.failed_backend, 1);
    assert_int_equal(m.failed_internal, 0);
    /* Of those that failed, the two whose vectors came out not finite were computed. */
    assert_int_equal(m.total.count, 1 + 2);
    assert_int_equal(m.texts, 1 + 2);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

enum { WRITERS = 4, CALLS = 200 };

typedef struct shared_model {
    citadel_engine *engine;
    citadel_model *model;
} shared_model;

/* Most embed, the others read the numbers meanwhile. */
static int embed_or_read(int number, void *shared)
{
    const shared_model *s = shared;
    citadel_error own = CITADEL_ERROR_INIT;
    citadel_metrics m = CITADEL_METRICS_INIT;
    int failed = 0;
    for (int i = 0; i < CALLS; i++) {
        size_t length;
        if (number < WRITERS)
            failed += !embeds_right(s->model, "the quick fox", 0);
        else
            failed += citadel_metrics_text(s->engine, NULL, 0, &length, &own) != CITADEL_OK ||
                      citadel_metrics_snapshot(s->engine, &m, &own) != CITADEL_OK ||
                      m.total.count != sum_of(&m.total);
    }
    return failed;
}

static void test_no_call_of_many_threads_is_lost(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(2, 1);
    citadel_model *model = load(engine, "tiny");
    in_threads(WRITERS + 2, embed_or_read, &(shared_model){engine, model});
    citadel_metrics m = metrics_of(engine);
    assert_int_equal(m.requests_ok, WRITERS * CALLS);
    assert_int_equal(m.texts, WRITERS * CALLS);
    assert_int_equal(m.total.count, WRITERS * CALLS);
    assert_int_equal(m.batch_texts.count, WRITERS * CALLS);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* ---- Timings ------------------------------------------------------------------------------ */

static void test_timings_of_a_call(void **state)
{
    (void)state;
    citadel_engine_options options = test_options(2, 1);
    options.batch_tokens = 16;
    citadel_engine *engine;
    assert_ok(citadel_engine_create(&options, &engine, &error));
    citadel_model *model = load(engine, "tiny");
    const char *texts[40];
    for (int i = 0; i < 40; i++)
        texts[i] = "the quick brown fox jumps over";
    citadel_timings t = CITADEL_TIMINGS_INIT;
    assert_ok(embed(model, texts, 40, &t));
    assert_int_equal(t.size, sizeof t);
    assert_int_equal(t.tokens, 40 * 8);
    assert_int_equal(t.batches, 20);
    assert_true(t.tokenize > 0);
    assert_true(t.queue >= 0);
    assert_true(t.compute > 0);
    assert_true(t.output > 0);
    assert_true(t.tokenize + t.queue + t.compute + t.output <= t.total + 1e-8);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

typedef struct caller {
    citadel_model *model;
    fake_probe *probe;
    citadel_timings timings;
} caller;

/* The first call keeps the only thread, the second has to wait until the gate opens. */
static int call(int number, void *shared)
{
    caller *c = shared;
    const char *text = number == 1 ? "fox" : "wait";
    citadel_error own = CITADEL_ERROR_INIT;
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    float out[DIM];
    if (number == 2) {
        await(c->probe, &c->probe->waiting, 1);
        const struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL);
        set_gate(c->probe, 0);
        return 0;
    }
    if (number == 1) {
        await(c->probe, &c->probe->waiting, 1);
        options.timings = &c->timings;
    }
    return citadel_model_embed(c->model, &text, NULL, 1, &options, out, DIM, NULL, &own);
}

static void test_waiting_is_told_apart_from_computing(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    caller c = {.model = load(engine, "moody"), .probe = the_probe()};
    c.timings = (citadel_timings)CITADEL_TIMINGS_INIT;
    set_gate(c.probe, 1);
    in_threads(3, call, &c);
    assert_true(c.timings.queue > c.timings.compute);
    assert_true(metrics_of(engine).compute.sum > .01);
    citadel_model_unload(c.model);
    citadel_engine_destroy(engine);
}

static void test_timings_of_another_size_are_refused(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_model *model = load(engine, "tiny");
    const char *text = "fox";
    citadel_timings t = CITADEL_TIMINGS_INIT;
    t.size = 0;
    assert_fails(CITADEL_E_ABI, "citadel_timings.size is 0", embed(model, &text, 1, &t));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* ---- Text --------------------------------------------------------------------------------- */

static char *text_of(citadel_engine *engine)
{
    size_t length, again;
    assert_ok(citadel_metrics_text(engine, NULL, 0, &length, &error));
    char *text = malloc(length + 64);
    assert_non_null(text);
    assert_ok(citadel_metrics_text(engine, text, length + 64, &again, &error));
    assert_int_equal(strlen(text), again);
    return text;
}

static void expect_line(const char *text, const char *line)
{
    const char *found = strstr(text, line);
    if (!found || found == text || found[-1] != '\n' || found[strlen(line)] != '\n')
        fail_msg("no line '%s' in:\n%s", line, text);
}

static void test_the_text_has_the_numbers(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 2);
    citadel_model *model = load(engine, "tiny");
    const char *texts[] = {"fox", "the quick brown fox", ""};
    assert_ok(embed(model, texts, 3, NULL));
    assert_int_equal(embed_by_name(engine, "absent", "fox"), CITADEL_E_NOT_FOUND);
    char *text = text_of(engine), line[128];
    expect_line(text, "# TYPE citadel_request_failure_total counter");
    expect_line(text, "citadel_request_success_total 1");
    expect_line(text, "citadel_request_failure_total{err=\"invalid\"} 1");
    expect_line(text, "citadel_request_failure_total{err=\"backend\"} 0");
    expect_line(text, "citadel_texts_total 3");
    expect_line(text, "citadel_tokens_total 11");
    expect_line(text, "# TYPE citadel_batch_size histogram");
    expect_line(text, "citadel_batch_size_bucket{le=\"2\"} 0");
    expect_line(text, "citadel_batch_size_bucket{le=\"4\"} 1");
    expect_line(text, "citadel_batch_size_bucket{le=\"262144\"} 1");
    expect_line(text, "citadel_batch_size_bucket{le=\"+Inf\"} 1");
    expect_line(text, "citadel_batch_size_sum 3.0");
    expect_line(text, "citadel_batch_size_count 1");
    expect_line(text, "citadel_request_duration_seconds_count 1");
    assert_non_null(strstr(text, "citadel_request_duration_seconds_bucket{le=\"0.000025\"} "));
    assert_non_null(strstr(text, "citadel_request_duration_seconds_bucket{le=\"6.5536\"} "));
    expect_line(text, "citadel_model_load_duration_seconds_count 1");
    citadel_info info = CITADEL_INFO_INIT;
    assert_ok(citadel_model_info(model, &info, &error));
    snprintf(line, sizeof line,
             "citadel_model_resident_bytes{model=\"tiny\",id=\"%.12s\",form=\"torchscript\","
             "precision=\"fp32\"} %llu",
             info.id, (unsigned long long)metrics_of(engine).bytes);
    expect_line(text, line);
    free(text);
    citadel_model_unload(model);
    text = text_of(engine);
    assert_null(strstr(text, "model=\"tiny\""));
    free(text);
    citadel_engine_destroy(engine);
}

static void test_labels_are_escaped(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_model *model = load(engine, "quoted");
    char *text = text_of(engine);
    assert_non_null(strstr(text, "{model=\"a \\\"quoted\\\" \\\\ name\\nof two lines\",id="));
    free(text);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* Two models of one form, of which one was asked for and the other came to it: Prometheus refuses a series twice. */
static void test_no_series_is_there_twice(void **state)
{
    (void)state;
    citadel_engine_options options = test_options(1, 2);
    options.mixed_precision = CITADEL_SWITCH_ON;
    citadel_engine *engine;
    assert_ok(citadel_engine_create(&options, &engine, &error));
    citadel_load_options fp32 = CITADEL_LOAD_OPTIONS_INIT;
    fp32.precision = CITADEL_PRECISION_FP32;
    citadel_model *a, *b;
    assert_ok(citadel_model_load(engine, FAKE_PACKS "/falls-back/mixed", &fp32, &a, &error));
    assert_ok(citadel_model_load(engine, FAKE_PACKS "/falls-back/mixed", NULL, &b, &error));
    int twice = metrics_of(engine).models == 2;
    char *text = text_of(engine);
    const char *first = strstr(text, "citadel_model_resident_bytes{");
    assert_non_null(first);
    assert_null(strstr(first + 1, "citadel_model_resident_bytes{"));
    free(text);
    citadel_model_unload(a);
    citadel_model_unload(b);
    citadel_engine_destroy(engine);
    if (!twice)
        skip(); /* this CPU does not try bf16 first */
}

static void test_a_small_buffer_is_told_the_length(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    char small[10] = "untouched", *text = text_of(engine);
    size_t length = 0, need = strlen(text);
    assert_fails(CITADEL_E_CAPACITY, "buffer has room for 4 bytes",
                 citadel_metrics_text(engine, small, 4, &length, &error));
    assert_string_equal(small + 4, "uched");
    assert_in_range(length, need - 8, need + 8); /* resident memory has changed */
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "engine is NULL",
                 citadel_metrics_text(NULL, small, 4, &length, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "buffer is NULL",
                 citadel_metrics_text(engine, NULL, 4, &length, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "length is NULL",
                 citadel_metrics_text(engine, small, 4, NULL, &error));
    free(text);
    citadel_engine_destroy(engine);
}

/* Resident memory can change between two calls, so each is measured by the length that it tells itself. */
static void test_a_buffer_is_filled_up_to_its_last_byte(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    size_t need, length;
    assert_ok(citadel_metrics_text(engine, NULL, 0, &need, &error));
    char *buffer = malloc(need + 64);
    assert_non_null(buffer);
    for (size_t capacity = 0; capacity < need + 32; capacity++) {
        memset(buffer, '#', need + 64);
        citadel_status status = citadel_metrics_text(engine, buffer, capacity, &length, &error);
        assert_int_equal(status, length < capacity ? CITADEL_OK : CITADEL_E_CAPACITY);
        assert_int_equal(buffer[capacity], '#');
        if (capacity > 0)
            assert_int_equal(strlen(buffer), length < capacity ? length : capacity - 1);
    }
    free(buffer);
    citadel_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_texts_and_tokens_are_counted),
        cmocka_unit_test(test_failures_are_counted_by_kind),
        cmocka_unit_test(test_no_call_of_many_threads_is_lost),
        cmocka_unit_test(test_timings_of_a_call),
        cmocka_unit_test(test_waiting_is_told_apart_from_computing),
        cmocka_unit_test(test_timings_of_another_size_are_refused),
        cmocka_unit_test(test_the_text_has_the_numbers),
        cmocka_unit_test(test_labels_are_escaped),
        cmocka_unit_test(test_no_series_is_there_twice),
        cmocka_unit_test(test_a_small_buffer_is_told_the_length),
        cmocka_unit_test(test_a_buffer_is_filled_up_to_its_last_byte),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
