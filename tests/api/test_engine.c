#include "harness.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

/* ---- Options ------------------------------------------------------------------------------ */

static void test_options_may_be_null(void **state)
{
    (void)state;
    citadel_engine *engine;
    assert_ok(citadel_engine_create(NULL, &engine, &error));
    assert_non_null(engine);
    citadel_engine_destroy(engine);
}

static void test_engine_must_not_be_null(void **state)
{
    (void)state;
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "engine is NULL",
                 citadel_engine_create(NULL, NULL, &error));
}

static void expect_refused(const citadel_engine_options *options, citadel_status status,
                           const char *piece)
{
    citadel_engine *engine = (citadel_engine *)&options;
    assert_fails(status, piece, citadel_engine_create(options, &engine, &error));
    assert_null(engine);
}

static void expect_accepted(const citadel_engine_options *options)
{
    citadel_engine *engine;
    assert_ok(citadel_engine_create(options, &engine, &error));
    citadel_engine_destroy(engine);
}

static void test_an_option_out_of_range_is_named_with_its_limit(void **state)
{
    (void)state;
    citadel_engine_options o = test_options(1, 1);
#define refuse(field, value, piece)                            \
    do {                                                       \
        o = test_options(1, 1);                                \
        o.field = (value);                                     \
        expect_refused(&o, CITADEL_E_INVALID_ARGUMENT, piece); \
    } while (0)
    refuse(threads, 1025, "threads is '1025', expected a whole number from 1 to 1024");
    refuse(threads, UINT32_MAX, "threads is '4294967295'");
    refuse(cache_models, 1001, "cache_models is '1001', expected a whole number from 1 to 1000");
    refuse(batch_tokens, 15, "batch_tokens is '15', expected a whole number from 16 to 1048576");
    refuse(batch_tokens, 1048577, "batch_tokens is '1048577'");
    refuse(log_level, -2, "log_level is -2");
    refuse(log_level, 5, "log_level is 5");
    refuse(flags, 2, "unknown flags 0x2");
    refuse(flags, 0x80000001u, "unknown flags 0x80000000");
    refuse(optimization, 2, "optimization is 2, expected a CITADEL_SWITCH_* (-1 to 1)");
    refuse(compile, -2, "compile is -2");
    refuse(mixed_precision, INT32_MAX, "mixed_precision is 2147483647");
    refuse(warmup, -2, "warmup is -2");
    refuse(warmup_iterations, 1001, "warmup_iterations is '1001'");
    refuse(precision, 6, "precision is 6, expected a CITADEL_PRECISION_* (0 to 5)");
    refuse(backend, 3, "backend is 3, expected a CITADEL_BACKEND_* (0 to 2)");
    refuse(backend, -1, "backend is -1");
    refuse(prepared_weights, 2, "prepared_weights is 2, expected a CITADEL_SWITCH_* (-1 to 1)");
    refuse(isa, "sse2", "isa is 'sse2', expected auto, generic, avx2, avx512, avx512_vnni or");
    refuse(cache_bytes, UINT64_MAX, "cache_bytes is '18446744073709551615'");
    refuse(cache_idle_seconds, 31536001, "cache_idle_seconds is '31536001'");
#define accept(field, value)    \
    do {                        \
        o = test_options(1, 1); \
        o.field = (value);      \
        expect_accepted(&o);    \
    } while (0)
    accept(cache_models, 1000);
    accept(cache_bytes, 1);
    accept(cache_idle_seconds, 31536000);
    accept(batch_tokens, 16);
    accept(batch_tokens, 1048576);
    accept(log_level, CITADEL_LOG_NONE);
    accept(log_level, CITADEL_LOG_DEBUG);
    accept(precision, CITADEL_PRECISION_INT8_ACCURATE);
    accept(isa, "generic");
    accept(prepared_weights, CITADEL_SWITCH_ON);
    accept(compile, CITADEL_SWITCH_OFF);
    accept(mixed_precision, CITADEL_SWITCH_ON);
}

static void test_options_of_impossible_size_are_refused(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 8, 63, 4097, (size_t)-1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        citadel_engine_options options = test_options(1, 1);
        options.size = sizes[i];
        expect_refused(&options, CITADEL_E_ABI, "citadel_engine_options.size");
    }
}

static void test_a_newer_callers_unknown_field_must_be_zero(void **state)
{
    (void)state;
    struct {
        citadel_engine_options known;
        char newer[32];
    } large = {.known = test_options(1, 1)};
    large.known.size = sizeof large;
    expect_accepted(&large.known);
    large.newer[31] = 1;
    expect_refused(&large.known, CITADEL_E_ABI, "citadel_engine_options sets a field");
    large.known.size = sizeof large - 1;
    expect_accepted(&large.known);
}

/* ---- Init functions ----------------------------------------------------------------------- */

static void expect_initialised(const unsigned char *bytes, size_t size)
{
    size_t written;
    memcpy(&written, bytes, sizeof written);
    assert_int_equal(written, size);
    for (size_t i = sizeof written; i < size; i++)
        assert_int_equal(bytes[i], 0);
    for (size_t i = size; i < 256; i++)
        assert_int_equal(bytes[i], 0x5A);
}

static void test_init_functions_write_defaults_and_never_beyond(void **state)
{
    (void)state;
    union {
        unsigned char bytes[256];
        citadel_engine_options engine;
        citadel_load_options load;
        citadel_embed_options embed;
        citadel_tokenize_options tokenize;
    } u;
#define expect_init(function, member, size)      \
    do {                                         \
        memset(&u, 0x5A, sizeof u);              \
        function(&u.member, size);               \
        expect_initialised(u.bytes, size);       \
        function(NULL, size);                    \
        memset(&u, 0x5A, sizeof u);              \
        function(&u.member, sizeof(size_t) - 1); \
        for (size_t i = 0; i < sizeof u; i++)    \
            assert_int_equal(u.bytes[i], 0x5A);  \
    } while (0)
    expect_init(citadel_engine_options_init, engine, sizeof u.engine);
    expect_init(citadel_engine_options_init, engine, 40);
    expect_init(citadel_load_options_init, load, sizeof u.load);
    expect_init(citadel_embed_options_init, embed, sizeof u.embed);
    expect_init(citadel_embed_options_init, embed, 200);
    expect_init(citadel_tokenize_options_init, tokenize, sizeof u.tokenize);
}

static void test_init_macros_and_functions_agree(void **state)
{
    (void)state;
#define expect_equal_init(type, MACRO)                                 \
    do {                                                               \
        struct type by_macro = MACRO, by_function;                     \
        type##_init(&by_function, sizeof by_function);                 \
        assert_int_equal(by_macro.size, sizeof by_macro);              \
        assert_memory_equal(&by_macro, &by_function, sizeof by_macro); \
    } while (0)
    expect_equal_init(citadel_engine_options, CITADEL_ENGINE_OPTIONS_INIT);
    expect_equal_init(citadel_load_options, CITADEL_LOAD_OPTIONS_INIT);
    expect_equal_init(citadel_embed_options, CITADEL_EMBED_OPTIONS_INIT);
    expect_equal_init(citadel_tokenize_options, CITADEL_TOKENIZE_OPTIONS_INIT);
    const citadel_tokens tokens = CITADEL_TOKENS_INIT;
    assert_int_equal(tokens.size, sizeof tokens);
    const citadel_info info = CITADEL_INFO_INIT;
    assert_int_equal(info.size, sizeof info);
    const citadel_estimate estimate = CITADEL_ESTIMATE_INIT;
    assert_int_equal(estimate.size, sizeof estimate);
    const citadel_unload_report report = CITADEL_UNLOAD_REPORT_INIT;
    assert_int_equal(report.size, sizeof report);
    const citadel_metrics metrics = CITADEL_METRICS_INIT;
    assert_int_equal(metrics.size, sizeof metrics);
    const citadel_error fresh = CITADEL_ERROR_INIT;
    assert_int_equal(fresh.size, sizeof fresh);
}

/* ---- Life --------------------------------------------------------------------------------- */

static void test_destroy_takes_null(void **state)
{
    (void)state;
    citadel_engine_destroy(NULL);
}

static void test_an_engine_has_its_threads_and_ends_them(void **state)
{
    (void)state;
    /* A sanitizer may have a thread of its own. */
    int before = count_threads();
    for (uint32_t threads = 1; threads <= 4; threads++) {
        citadel_engine *engine = new_engine(threads, 1);
        assert_int_equal(count_threads(), before + (int)threads);
        citadel_engine *second = new_engine(2, 1);
        assert_int_equal(count_threads(), before + (int)threads + 2);
        citadel_engine_destroy(engine);
        citadel_engine_destroy(second);
        assert_int_equal(count_threads(), before);
    }
}

static void embed_fox(const citadel_model *model)
{
    const char *text = "the quick brown fox";
    float out[DIM], expected[DIM];
    assert_ok(citadel_model_embed(model, &text, NULL, 1, NULL, out, DIM, NULL, &error));
    reference(model, text, 0, expected);
    assert_vector(out, expected, DIM);
}

static void test_the_order_of_release_does_not_matter(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    int threads = count_threads();
    citadel_engine *engine = new_engine(1, 0);
    citadel_model *tiny = load(engine, "tiny"), *padded = load(engine, "padded");
    assert_ok(citadel_embed(engine, "raw", NULL, NULL, 0, NULL, NULL, 0, NULL, &error));
    assert_int_equal(read_probe(probe, &probe->models), 3);
    citadel_engine_destroy(engine);
    assert_int_equal(read_probe(probe, &probe->models), 2);
    embed_fox(tiny);
    embed_fox(padded);
    citadel_model_unload(tiny);
    assert_int_equal(read_probe(probe, &probe->models), 1);
    embed_fox(padded);
    citadel_model_unload(padded);
    assert_int_equal(read_probe(probe, &probe->models), 0);
    assert_int_equal(count_threads(), threads);
}

static void test_engines_do_not_share_models(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *first = new_engine(1, 1), *second = new_engine(1, 1);
    citadel_model *a = load(first, "tiny"), *b = load(second, "tiny");
    assert_ptr_not_equal(a, b);
    assert_int_equal(read_probe(probe, &probe->models), 2);
    citadel_engine_destroy(first);
    citadel_model_unload(a);
    embed_fox(b);
    citadel_model_unload(b);
    citadel_engine_destroy(second);
}

/* ---- Log ---------------------------------------------------------------------------------- */

typedef struct lines {
    int count;
    int32_t level;
    char first[256], last[256];
} lines;

static void keep_line(void *user, int32_t level, const char *message)
{
    lines *kept = user;
    kept->count++;
    kept->level = level;
    snprintf(kept->count == 1 ? kept->first : kept->last, sizeof kept->last, "%s", message);
}

static void expect_log(int32_t log_level, int count)
{
    lines kept = {0};
    citadel_engine_options options = test_options(1, 1);
    citadel_engine *engine;
    options.log = keep_line;
    options.log_user = &kept;
    options.log_level = log_level;
    assert_ok(citadel_engine_create(&options, &engine, &error));
    citadel_model_unload(load(engine, "two-lines"));
    citadel_engine_destroy(engine);
    assert_int_equal(kept.count, count);
    if (count == 0)
        return;
    assert_int_equal(kept.level, CITADEL_LOG_INFO);
    assert_non_null(strstr(kept.first, "loaded 'two lines' from '" FAKE_PACKS "/two-lines'"));
    unsigned long long bytes = 0;
    assert_int_equal(sscanf(kept.last, "model 'two lines' was unloaded: %llu bytes", &bytes), 1);
    assert_in_range(bytes, 1000, 1000000);
}

static void test_the_log_gets_whole_lines_up_to_its_level(void **state)
{
    (void)state;
    expect_log(CITADEL_LOG_NONE, 0);
    expect_log(CITADEL_LOG_DEFAULT, 0);
    expect_log(CITADEL_LOG_WARNING, 0);
    expect_log(CITADEL_LOG_INFO, 2);
    expect_log(CITADEL_LOG_DEBUG, 2);
}

/* ---- Process ------------------------------------------------------------------------------ */

static int same_signal(int number, const struct sigaction *before)
{
    struct sigaction now;
    if (sigaction(number, NULL, &now) != 0)
        return 1;
    return now.sa_handler == before->sa_handler && now.sa_flags == before->sa_flags;
}

static void scenario(void)
{
    citadel_engine *engine = new_engine(2, 2);
    citadel_model *model = load(engine, "tiny");
    embed_fox(model);
    citadel_model *absent;
    assert_fails(CITADEL_E_NOT_FOUND, "absent",
                 citadel_model_load(engine, "absent", NULL, &absent, &error));
    assert_fails(CITADEL_E_BAD_MODEL, "damaged",
                 citadel_model_load(engine, FAKE_PACKS "/bad/weights-flip", NULL, &absent, &error));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_the_process_is_left_as_it_was(void **state)
{
    (void)state;
    enum { SIGNALS = 65 };
    struct sigaction before[SIGNALS];
    char locale[256], directory[4096], now[4096], variables[64][256] = {{0}};
    scenario(); /* what a first call opens for good is none of this */

    for (int i = 1; i < SIGNALS; i++)
        sigaction(i, NULL, &before[i]);
    for (int i = 0; environ[i] && i < 64; i++)
        snprintf(variables[i], sizeof variables[i], "%s", environ[i]);
    char **table = environ;
    snprintf(locale, sizeof locale, "%s", setlocale(LC_ALL, NULL));
    assert_non_null(getcwd(directory, sizeof directory));
    mode_t mask = umask(022);
    umask(mask);
    sigset_t blocked, blocked_now;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    int files = count_files(), threads = count_threads();

    scenario();

    for (int i = 1; i < SIGNALS; i++)
        assert_true(same_signal(i, &before[i]));
    assert_ptr_equal(environ, table);
    for (int i = 0; environ[i] && i < 64; i++)
        assert_int_equal(strncmp(environ[i], variables[i], sizeof variables[i] - 1), 0);
    assert_string_equal(setlocale(LC_ALL, NULL), locale);
    assert_non_null(getcwd(now, sizeof now));
    assert_string_equal(now, directory);
    mode_t mask_now = umask(mask);
    assert_int_equal(mask_now, mask);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked_now);
    for (int i = 1; i < SIGNALS; i++)
        assert_int_equal(sigismember(&blocked, i), sigismember(&blocked_now, i));
    assert_int_equal(count_files(), files);
    assert_int_equal(count_threads(), threads);
}

/* A host with a locale of decimal commas must get the same numbers; C.UTF-8 at least is everywhere. */
static void test_the_hosts_locale_does_not_matter(void **state)
{
    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8"))
        setlocale(LC_ALL, "C.UTF-8");
    scenario();
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_may_be_null),
        cmocka_unit_test(test_engine_must_not_be_null),
        cmocka_unit_test(test_an_option_out_of_range_is_named_with_its_limit),
        cmocka_unit_test(test_options_of_impossible_size_are_refused),
        cmocka_unit_test(test_a_newer_callers_unknown_field_must_be_zero),
        cmocka_unit_test(test_init_functions_write_defaults_and_never_beyond),
        cmocka_unit_test(test_init_macros_and_functions_agree),
        cmocka_unit_test(test_destroy_takes_null),
        cmocka_unit_test(test_an_engine_has_its_threads_and_ends_them),
        cmocka_unit_test(test_the_order_of_release_does_not_matter),
        cmocka_unit_test(test_engines_do_not_share_models),
        cmocka_unit_test(test_the_log_gets_whole_lines_up_to_its_level),
        cmocka_unit_test(test_the_process_is_left_as_it_was),
        cmocka_unit_test(test_the_hosts_locale_does_not_matter),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
