#include "cmocka_all.h"

#include "config.h"
#include "kernels/isa.h"
#include "options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static ce_error error;
static ce_config config;

static const char *const variables[] = {"CITADEL_THREADS",
                                        "MODEL_CACHE_SIZE",
                                        "CITADEL_CACHE_BYTES",
                                        "CITADEL_CACHE_IDLE_SECONDS",
                                        "CITADEL_MODEL_PATH",
                                        "CITADEL_TORCH_BACKEND",
                                        "XDG_DATA_HOME",
                                        "HOME",
                                        "INFERENCE_OPTIMIZATION",
                                        "TORCH_COMPILE_ENABLED",
                                        "MIXED_PRECISION_ENABLED",
                                        "MODEL_WARMUP_ENABLED",
                                        "WARMUP_ITERATIONS",
                                        "CITADEL_PRECISION",
                                        "CITADEL_BACKEND",
                                        "CITADEL_BATCH_TOKENS",
                                        "CITADEL_CONFIG",
                                        "XDG_CONFIG_HOME",
                                        "CITADEL_ISA",
                                        "CITADEL_PREPARED_WEIGHTS",
                                        "CITADEL_PREPARED_PATH",
                                        "XDG_CACHE_HOME"};

static int clear_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    return 0;
}

static int drop_config(void **state)
{
    (void)state;
    ce_config_free(&config);
    return 0;
}

static void read_with(const citadel_engine_options *options)
{
    if (ce_config_read(&config, options, &error) != CE_OK)
        fail_msg("%s", error.message);
}

static void refuse_with(const citadel_engine_options *options, int status, const char *message)
{
    assert_int_equal(ce_config_read(&config, options, &error), status);
    if (!strstr(error.message, message))
        fail_msg("\"%s\", expected \"%s\"", error.message, message);
    assert_null(config.model_path);
    assert_null(config.torch_backend);
}

static void test_without_options_and_environment_there_are_defaults(void **state)
{
    (void)state;
    read_with(NULL);
    assert_in_range(config.threads, 1, 1024);
    assert_int_equal(config.cache_models, 4);
    assert_int_equal(config.cache_bytes, 0);
    assert_int_equal(config.cache_idle_seconds, 0);
    assert_in_range(config.batch_tokens, 16, 1048576);
    assert_non_null(config.model_path);
    assert_null(config.torch_backend);
    assert_null(config.log);
    assert_int_equal(config.log_level, CITADEL_LOG_DEFAULT);
    assert_true(config.optimization);
    assert_true(config.compile);
    assert_false(config.mixed_precision);
    assert_false(config.warmup_enabled);
    assert_int_equal(config.warmup_iterations, 10);
    assert_int_equal(config.precision, CITADEL_PRECISION_AUTO);
    assert_null(config.file.path);
}

static void test_environment_sets_what_options_leave_open(void **state)
{
    (void)state;
    setenv("CITADEL_THREADS", "3", 1);
    setenv("MODEL_CACHE_SIZE", "17", 1);
    setenv("CITADEL_CACHE_BYTES", "3MiB", 1);
    setenv("CITADEL_CACHE_IDLE_SECONDS", "31536000", 1);
    setenv("CITADEL_MODEL_PATH", "/here:/there", 1);
    setenv("CITADEL_TORCH_BACKEND", "/torch.so", 1);
    setenv("CITADEL_BATCH_TOKENS", "64", 1);
    setenv("MODEL_WARMUP_ENABLED", "true", 1);
    setenv("WARMUP_ITERATIONS", "7", 1);
    setenv("CITADEL_PRECISION", "bf16", 1);
    setenv("CITADEL_BACKEND", "torch", 1);
    setenv("CITADEL_ISA", "generic", 1);
    setenv("CITADEL_PREPARED_WEIGHTS", "off", 1);
    setenv("CITADEL_PREPARED_PATH", "/prepared", 1);
    read_with(NULL);
    assert_int_equal(config.backend, CITADEL_BACKEND_TORCH);
    assert_int_equal(config.isa, CE_ISA_GENERIC);
    assert_false(config.prepared);
    assert_string_equal(config.prepared_path, "/prepared");
    assert_int_equal(config.batch_tokens, 64);
    assert_true(config.warmup_enabled);
    assert_int_equal(config.warmup_iterations, 7);
    assert_int_equal(config.precision, CITADEL_PRECISION_BF16);
    assert_int_equal(config.threads, 3);
    assert_int_equal(config.cache_models, 17);
    assert_int_equal(config.cache_bytes, 3145728);
    assert_int_equal(config.cache_idle_seconds, 31536000);
    assert_string_equal(config.model_path, "/here:/there");
    assert_string_equal(config.torch_backend, "/torch.so");
}

static void test_options_come_before_the_environment(void **state)
{
    (void)state;
    setenv("CITADEL_THREADS", "not looked at", 1);
    setenv("MODEL_CACHE_SIZE", "17", 1);
    setenv("CITADEL_CACHE_BYTES", "not looked at", 1);
    setenv("CITADEL_CACHE_IDLE_SECONDS", "not looked at", 1);
    setenv("CITADEL_MODEL_PATH", "/there", 1);
    setenv("CITADEL_TORCH_BACKEND", "/torch.so", 1);
    citadel_engine_options options = CITADEL_ENGINE_OPTIONS_INIT;
    options.threads = 2;
    options.cache_models = 1;
    options.cache_bytes = UINT64_C(1) << 60;
    options.cache_idle_seconds = 1;
    options.batch_tokens = 16;
    options.model_path = "";
    options.torch_backend = "/other.so";
    options.log_level = CITADEL_LOG_NONE;
    read_with(&options);
    assert_int_equal(config.threads, 2);
    assert_int_equal(config.cache_models, 1);
    assert_int_equal(config.cache_bytes, UINT64_C(1) << 60);
    assert_int_equal(config.cache_idle_seconds, 1);
    assert_int_equal(config.batch_tokens, 16);
    assert_string_equal(config.model_path, "");
    assert_string_equal(config.torch_backend, "/other.so");
    assert_int_equal(config.log_level, CITADEL_LOG_NONE);
}

static void test_environment_can_be_ignored(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        setenv(variables[i], "/garbage", 1);
    citadel_engine_options options = CITADEL_ENGINE_OPTIONS_INIT;
    options.flags = CITADEL_ENGINE_NO_ENVIRONMENT;
    read_with(&options);
    assert_int_equal(config.cache_models, 4);
    assert_null(strstr(config.model_path, "garbage"));
    assert_null(config.torch_backend);
}

static void test_empty_variables_are_as_if_not_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        setenv(variables[i], "", 1);
    read_with(NULL);
    assert_int_equal(config.cache_models, 4);
    assert_string_not_equal(config.model_path, "");
}

static void test_garbage_in_a_variable_is_refused_by_its_name(void **state)
{
    (void)state;
    static const char *const garbage[] = {"0",
                                          "-1",
                                          "+1",
                                          " 1",
                                          "1 ",
                                          "1.0",
                                          "1e1",
                                          "0x10",
                                          "four",
                                          "99999",
                                          "1025",
                                          "4294967297",
                                          "18446744073709551617",
                                          "\xD9\xA3",
                                          "\n"};
    static const struct {
        const char *name, *range;
    } numbers[] = {{"CITADEL_THREADS", "from 1 to 1024"}, {"MODEL_CACHE_SIZE", "from 1 to 1000"}};
    for (size_t n = 0; n < 2; n++) {
        for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
            setenv(numbers[n].name, garbage[i], 1);
            refuse_with(NULL, CE_E_INVALID_ARGUMENT, numbers[n].name);
            assert_non_null(strstr(error.message, numbers[n].range));
        }
        unsetenv(numbers[n].name);
    }
    setenv("CITADEL_THREADS", "four", 1);
    refuse_with(NULL, CE_E_INVALID_ARGUMENT,
                "CITADEL_THREADS is 'four', expected a whole number from 1 to 1024");
}

static void expect_switch(const char *value, int expected)
{
    setenv("TORCH_COMPILE_ENABLED", value, 1);
    setenv("MIXED_PRECISION_ENABLED", value, 1);
    read_with(NULL);
    assert_int_equal(config.compile, expected);
    assert_int_equal(config.mixed_precision, expected);
    assert_true(config.optimization);
    ce_config_free(&config);
}

static void test_switches_of_the_environment(void **state)
{
    (void)state;
    static const char *const on[] = {"true", "TRUE", "True", "1", "on", "ON", "yes", "Yes"};
    static const char *const off[] = {"false", "FALSE", "False", "0", "off", "OFF", "no", "No"};
    for (size_t i = 0; i < sizeof on / sizeof *on; i++) {
        expect_switch(on[i], 1);
        expect_switch(off[i], 0);
    }
    static const char *const names[] = {"INFERENCE_OPTIMIZATION", "TORCH_COMPILE_ENABLED",
                                        "MIXED_PRECISION_ENABLED"};
    static const char *const garbage[] = {"2", "-1", "01", "maybe", "y", "true ", " on", "truely"};
    for (size_t n = 0; n < 3; n++) {
        clear_environment(NULL);
        for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
            setenv(names[n], garbage[i], 1);
            refuse_with(NULL, CE_E_INVALID_ARGUMENT, names[n]);
            assert_non_null(strstr(error.message, garbage[i]));
            assert_non_null(
                strstr(error.message, "expected true, false, 1, 0, on, off, yes or no"));
        }
    }
}

static void test_switches_of_the_options_come_first(void **state)
{
    (void)state;
    citadel_engine_options options = CITADEL_ENGINE_OPTIONS_INIT;
    setenv("INFERENCE_OPTIMIZATION", "not looked at", 1);
    setenv("TORCH_COMPILE_ENABLED", "true", 1);
    setenv("MIXED_PRECISION_ENABLED", "false", 1);
    options.optimization = options.mixed_precision = CITADEL_SWITCH_ON;
    options.compile = CITADEL_SWITCH_OFF;
    read_with(&options);
    assert_true(config.optimization);
    assert_false(config.compile);
    assert_true(config.mixed_precision);
    ce_config_free(&config);
    /* The first switch is the main one. */
    options.optimization = CITADEL_SWITCH_OFF;
    options.compile = CITADEL_SWITCH_ON;
    read_with(&options);
    assert_false(config.optimization);
    assert_false(config.compile);
    assert_false(config.mixed_precision);
}

static void test_limits_of_the_variables(void **state)
{
    (void)state;
    static const struct {
        const char *threads, *cache;
    } cases[] = {{"1", "1"}, {"1024", "1000"}, {"007", "0004"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("CITADEL_THREADS", cases[i].threads, 1);
        setenv("MODEL_CACHE_SIZE", cases[i].cache, 1);
        read_with(NULL);
        assert_int_equal(config.threads, atoi(cases[i].threads));
        assert_int_equal(config.cache_models, atoi(cases[i].cache));
        ce_config_free(&config);
    }
}

static void test_bytes_with_and_without_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {{"0", 0},
                 {"1", 1},
                 {"0K", 0},
                 {"7K", 7168},
                 {"7KiB", 7168},
                 {"5M", 5242880},
                 {"5MiB", 5242880},
                 {"2G", 2147483648},
                 {"2GiB", 2147483648},
                 {"0002G", 2147483648},
                 {"1073741824G", 1152921504606846976},
                 {"999999999999999999", 999999999999999999}};
    static const char *const garbage[] = {"K",    "-1",          "1.5G",
                                          "1 G",  "1g",          "1GB",
                                          "1Ki",  "1T",          "G1",
                                          "0x10", "1073741825G", "1152921504606846977",
                                          "1GG",  "1e9",         "18446744073709551617"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("CITADEL_CACHE_BYTES", cases[i].text, 1);
        read_with(NULL);
        assert_int_equal(config.cache_bytes, cases[i].bytes);
        ce_config_free(&config);
    }
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        setenv("CITADEL_CACHE_BYTES", garbage[i], 1);
        refuse_with(NULL, CE_E_INVALID_ARGUMENT, "CITADEL_CACHE_BYTES is '");
    }
}

static void test_an_idle_time_of_zero_in_the_environment_is_never(void **state)
{
    (void)state;
    setenv("CITADEL_CACHE_IDLE_SECONDS", "0", 1);
    read_with(NULL);
    assert_int_equal(config.cache_idle_seconds, 0);
}

static void test_models_are_under_the_data_home_by_default(void **state)
{
    (void)state;
    setenv("HOME", "/home/me", 1);
    read_with(NULL);
    assert_memory_equal(config.model_path, "/home/me/.local/share/citadel/models:", 37);
    ce_config_free(&config);
    setenv("XDG_DATA_HOME", "/data", 1);
    read_with(NULL);
    assert_memory_equal(config.model_path, "/data/citadel/models:", 21);
    ce_config_free(&config);
    setenv("XDG_DATA_HOME", "relative", 1); /* the XDG rules: to be ignored */
    read_with(NULL);
    assert_memory_equal(config.model_path, "/home/me/.local/share/citadel/models:", 37);
    ce_config_free(&config);
    setenv("HOME", "relative", 1);
    read_with(NULL);
    assert_null(strstr(config.model_path, "relative"));
}

static void test_options_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    const citadel_engine_options none = CITADEL_ENGINE_OPTIONS_INIT;
    citadel_engine_options options = none;
    options.threads = 1025;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "threads is '1025'");
    options = none;
    options.cache_models = UINT32_MAX;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "cache_models is '4294967295'");
    options = none;
    options.batch_tokens = 15;
    refuse_with(&options, CE_E_INVALID_ARGUMENT,
                "batch_tokens is '15', expected a whole number from 16 to 1048576");
    options.batch_tokens = 1048577;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "batch_tokens is '1048577'");
    options = none;
    options.flags = 6;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "unknown flags 0x6");
    options = none;
    options.log_level = 5;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "log_level is 5");
    options.log_level = -2;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "log_level is -2");
    options = none;
    options.compile = 2;
    refuse_with(&options, CE_E_INVALID_ARGUMENT,
                "compile is 2, expected a CITADEL_SWITCH_* (-1 to 1)");
    options.compile = -2;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "compile is -2");
    options = none;
    options.warmup = 2;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "warmup is 2");
    options = none;
    options.warmup_iterations = 1001;
    refuse_with(&options, CE_E_INVALID_ARGUMENT,
                "warmup_iterations is '1001', expected a whole number from 1 to 1000");
    options = none;
    options.precision = 6;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "precision is 6");
    options = none;
    options.cache_idle_seconds = 31536001;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "cache_idle_seconds is '31536001'");
    options = none;
    options.cache_bytes = (UINT64_C(1) << 60) + 1;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "cache_bytes is '1152921504606846977'");
    options.cache_bytes = UINT64_MAX;
    refuse_with(&options, CE_E_INVALID_ARGUMENT, "cache_bytes is '18446744073709551615'");
}

static void test_structs_of_other_versions(void **state)
{
    (void)state;
    struct {
        citadel_engine_options known;
        uint64_t later;
    } newer = {.known = CITADEL_ENGINE_OPTIONS_INIT};
    newer.known.size = sizeof newer;
    newer.known.threads = 5;
    read_with(&newer.known);
    assert_int_equal(config.threads, 5);
    ce_config_free(&config);
    newer.later = 1;
    refuse_with(&newer.known, CE_E_ABI, "citadel_engine_options sets a field at byte 128");
    newer.known.size = 0;
    refuse_with(&newer.known, CE_E_ABI, "citadel_engine_options.size is 0");
    newer.known.size = CE_ENGINE_OPTIONS_SIZE_1 - 1; /* no struct was ever so small */
    refuse_with(&newer.known, CE_E_ABI, "citadel_engine_options.size is 103");
    newer.known.size = SIZE_MAX;
    refuse_with(&newer.known, CE_E_ABI, "_INIT");
}

static void test_precision_and_backend_are_words(void **state)
{
    (void)state;
    static const char *const precisions[] = {"FP32", "fp8", "1", "auto ", "half"};
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        setenv("CITADEL_PRECISION", precisions[i], 1);
        refuse_with(NULL, CE_E_INVALID_ARGUMENT,
                    "expected auto, fp32, bf16, fp16, int8 or int8-accurate");
    }
    setenv("CITADEL_PRECISION", "int8", 1);
    setenv("CITADEL_BACKEND", "cuda", 1);
    refuse_with(NULL, CE_E_INVALID_ARGUMENT,
                "CITADEL_BACKEND is 'cuda', expected auto, native or torch");
    setenv("CITADEL_BACKEND", "auto", 1);
    read_with(NULL);
    assert_int_equal(config.precision, CITADEL_PRECISION_INT8);
}

static void test_batch_tokens_are_the_backends_choice_unless_set(void **state)
{
    (void)state;
    read_with(NULL);
    assert_int_equal(ce_config_batch_tokens(&config, 256), 256);
    assert_int_equal(ce_config_batch_tokens(&config, 0), 1024);
    ce_config_free(&config);
    setenv("CITADEL_BATCH_TOKENS", "1024", 1);
    read_with(NULL);
    assert_int_equal(ce_config_batch_tokens(&config, 256), 1024);
}

static void test_isa_is_one_that_the_processor_has(void **state)
{
    (void)state;
    ce_isa best = ce_isa_best();
    char message[128];
    for (ce_isa isa = CE_ISA_GENERIC; isa <= CE_ISA_AVX512_BF16; isa++) {
        setenv("CITADEL_ISA", ce_isa_name(isa), 1);
        if (isa > best) {
            snprintf(message, sizeof message,
                     "CITADEL_ISA is '%s', which this processor does not have; its best is %s",
                     ce_isa_name(isa), ce_isa_name(best));
            refuse_with(NULL, CE_E_UNSUPPORTED, message);
            continue;
        }
        read_with(NULL);
        assert_int_equal(config.isa, isa);
        ce_config_free(&config);
    }
    setenv("CITADEL_ISA", "auto", 1);
    read_with(NULL);
    assert_int_equal(config.isa, best);
}

static void test_native_options_come_before_the_environment(void **state)
{
    (void)state;
    setenv("CITADEL_BACKEND", "not looked at", 1);
    setenv("CITADEL_ISA", "not looked at", 1);
    setenv("CITADEL_PREPARED_WEIGHTS", "not looked at", 1);
    setenv("CITADEL_PREPARED_PATH", "/there", 1);
    citadel_engine_options options = CITADEL_ENGINE_OPTIONS_INIT;
    options.backend = CITADEL_BACKEND_NATIVE;
    options.isa = "generic";
    options.prepared_weights = CITADEL_SWITCH_OFF;
    options.prepared_path = "/here";
    read_with(&options);
    assert_int_equal(config.backend, CITADEL_BACKEND_NATIVE);
    assert_int_equal(config.isa, CE_ISA_GENERIC);
    assert_false(config.prepared);
    assert_string_equal(config.prepared_path, "/here");
    ce_config_free(&config);
    options.prepared_path = "";
    read_with(&options);
    assert_null(config.prepared_path);
}

static void test_prepared_weights_lie_in_the_cache_home(void **state)
{
    (void)state;
    setenv("XDG_CACHE_HOME", "/cache", 1);
    read_with(NULL);
    assert_true(config.prepared);
    assert_string_equal(config.prepared_path, "/cache/citadel/prepared");
    ce_config_free(&config);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/home/somebody", 1);
    read_with(NULL);
    assert_string_equal(config.prepared_path, "/home/somebody/.cache/citadel/prepared");
    ce_config_free(&config);
    setenv("INFERENCE_OPTIMIZATION", "off", 1);
    unsetenv("HOME");
    read_with(NULL);
    assert_null(config.prepared_path);
    assert_false(config.prepared);
    assert_true(config.masked[CE_SET_PREPARED_WEIGHTS]);
}

/* ---- File --------------------------------------------------------------------------------- */

/* Home of nobody but these tests, with a configuration in its usual place. */
static char home[] = "/tmp/citadel_embed-home-XXXXXX", usual[96];

static int make_home(void **state)
{
    (void)state;
    char folder[48];
    clear_environment(NULL);
    strcpy(home + sizeof home - 7, "XXXXXX");
    if (!mkdtemp(home))
        return -1;
    snprintf(folder, sizeof folder, "%s/.config", home);
    snprintf(usual, sizeof usual, "%s/citadel", folder);
    if (mkdir(folder, 0700) != 0 || mkdir(usual, 0700) != 0)
        return -1;
    strcat(usual, "/optimization_config.yaml");
    return setenv("HOME", home, 1);
}

static int drop_home(void **state)
{
    char command[128];
    drop_config(state);
    snprintf(command, sizeof command, "rm -r '%s'", home);
    return system(command);
}

static void write_to(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void test_a_file_sets_what_options_and_environment_leave_open(void **state)
{
    (void)state;
    write_to(usual, "threads: 5\nmodel_cache_size: 6\nbatch_tokens: 77\nprecision: fp32\n"
                    "model_warmup_enabled: true\nwarmup_iterations: 3\nmodel_path: /models\n"
                    "torch_compile_enabled: false\ncache_bytes: 1K\n");
    citadel_engine_options options = CITADEL_ENGINE_OPTIONS_INIT;
    options.threads = 2;
    setenv("CITADEL_THREADS", "3", 1);
    setenv("MODEL_CACHE_SIZE", "4", 1);
    read_with(&options);
    assert_string_equal(config.file.path, usual);
    assert_int_equal(config.threads, 2);
    assert_int_equal(config.cache_models, 4);
    assert_int_equal(config.batch_tokens, 77);
    assert_int_equal(config.precision, CITADEL_PRECISION_FP32);
    assert_true(config.warmup_enabled);
    assert_int_equal(config.warmup_iterations, 3);
    assert_string_equal(config.model_path, "/models");
    assert_false(config.compile);
    assert_int_equal(config.cache_bytes, 1024);
    assert_int_equal(config.origins[CE_SET_THREADS], CE_FROM_OPTION);
    assert_int_equal(config.origins[CE_SET_CACHE_MODELS], CE_FROM_VARIABLE);
    assert_int_equal(config.origins[CE_SET_BATCH_TOKENS], CE_FROM_FILE);
    assert_int_equal(config.origins[CE_SET_OPTIMIZATION], CE_FROM_DEFAULT);
}

static void test_a_fault_in_the_file_counts_even_where_it_is_overruled(void **state)
{
    (void)state;
    write_to(usual, "model_path: /x\nthreads: none\n");
    setenv("CITADEL_THREADS", "3", 1);
    refuse_with(NULL, CE_E_INVALID_ARGUMENT, "yaml: line 2: threads is 'none', expected a whole");
    assert_null(config.file.path);
}

static void test_which_file_is_read(void **state)
{
    (void)state;
    char other[64], third[64];
    citadel_engine_options options = CITADEL_ENGINE_OPTIONS_INIT;
    snprintf(other, sizeof other, "%s/other.yaml", home);
    snprintf(third, sizeof third, "%s/third.yaml", home);
    write_to(usual, "threads: 1\n");
    write_to(other, "threads: 2\n");
    write_to(third, "threads: 3\n");
    setenv("CITADEL_CONFIG", other, 1);
    options.config_file = third;
    read_with(&options);
    assert_int_equal(config.threads, 3);
    ce_config_free(&config);
    read_with(NULL);
    assert_int_equal(config.threads, 2);
    ce_config_free(&config);
    options.config_file = "";
    read_with(&options);
    assert_null(config.file.path);
    ce_config_free(&config);
    options.config_file = NULL;
    options.flags = CITADEL_ENGINE_NO_ENVIRONMENT;
    read_with(&options);
    assert_null(config.file.path);
    ce_config_free(&config);
    options.config_file = other;
    read_with(&options);
    assert_int_equal(config.threads, 2);
    ce_config_free(&config);

    setenv("CITADEL_CONFIG", "/nowhere/c.yaml", 1);
    refuse_with(NULL, CE_E_NOT_FOUND, "'/nowhere/c.yaml'");
    unsetenv("CITADEL_CONFIG");
    setenv("XDG_CONFIG_HOME", "relative", 1); /* the XDG rules: to be ignored */
    read_with(NULL);
    assert_int_equal(config.threads, 1);
    ce_config_free(&config);
    setenv("XDG_CONFIG_HOME", "/nowhere", 1);
    read_with(NULL);
    assert_null(config.file.path);
    /* The working directory is no place for it. */
    ce_config_free(&config);
    assert_int_equal(chdir(home), 0);
    write_to("optimization_config.yaml", "threads: none\n");
    read_with(NULL);
    assert_int_equal(chdir("/"), 0);
}

static void test_without_optimization_the_baseline_is_left(void **state)
{
    (void)state;
    write_to(usual, "mixed_precision_enabled: true\nprecision: bf16\n"
                    "models: {a: {precision: int8}}\n");
    setenv("INFERENCE_OPTIMIZATION", "false", 1);
    read_with(NULL);
    assert_false(config.compile || config.mixed_precision);
    assert_int_equal(config.precision, CITADEL_PRECISION_AUTO);
    assert_int_equal(ce_config_precision(&config, config.file.models), CITADEL_PRECISION_AUTO);
    assert_true(config.masked[CE_SET_COMPILE] && config.masked[CE_SET_PRECISION]);
    assert_false(config.masked[CE_SET_OPTIMIZATION]);
}

static void test_what_the_file_says_of_a_model(void **state)
{
    (void)state;
    write_to(usual, "precision: bf16\nmodel_warmup_enabled: true\n"
                    "models: {a: {precision: fp32, warmup: false}, b: }\n");
    read_with(NULL);
    const ce_config_model *a = &config.file.models[0], *b = &config.file.models[1];
    assert_int_equal(ce_config_precision(&config, a), CITADEL_PRECISION_FP32);
    assert_int_equal(ce_config_precision(&config, b), CITADEL_PRECISION_BF16);
    assert_int_equal(ce_config_precision(&config, NULL), CITADEL_PRECISION_BF16);
    assert_false(ce_config_warms_up(&config, a));
    assert_true(ce_config_warms_up(&config, b));
    assert_true(ce_config_warms_up(&config, NULL));
    ce_config_free(&config);
    /* The environment comes before every line of the file. */
    setenv("CITADEL_PRECISION", "auto", 1);
    setenv("MODEL_WARMUP_ENABLED", "true", 1);
    read_with(NULL);
    a = &config.file.models[0];
    assert_int_equal(ce_config_precision(&config, a), CITADEL_PRECISION_AUTO);
    assert_true(ce_config_warms_up(&config, a));
}

#define WITH_HOME(test) cmocka_unit_test_setup_teardown(test, make_home, drop_home)
#define WITH_CLEAN_ENVIRONMENT(test) \
    cmocka_unit_test_setup_teardown(test, clear_environment, drop_config)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLEAN_ENVIRONMENT(test_without_options_and_environment_there_are_defaults),
        WITH_CLEAN_ENVIRONMENT(test_environment_sets_what_options_leave_open),
        WITH_CLEAN_ENVIRONMENT(test_options_come_before_the_environment),
        WITH_CLEAN_ENVIRONMENT(test_environment_can_be_ignored),
        WITH_CLEAN_ENVIRONMENT(test_empty_variables_are_as_if_not_set),
        WITH_CLEAN_ENVIRONMENT(test_garbage_in_a_variable_is_refused_by_its_name),
        WITH_CLEAN_ENVIRONMENT(test_switches_of_the_environment),
        WITH_CLEAN_ENVIRONMENT(test_switches_of_the_options_come_first),
        WITH_CLEAN_ENVIRONMENT(test_limits_of_the_variables),
        WITH_CLEAN_ENVIRONMENT(test_bytes_with_and_without_a_unit),
        WITH_CLEAN_ENVIRONMENT(test_an_idle_time_of_zero_in_the_environment_is_never),
        WITH_CLEAN_ENVIRONMENT(test_models_are_under_the_data_home_by_default),
        WITH_CLEAN_ENVIRONMENT(test_options_out_of_range_are_refused_by_name),
        WITH_CLEAN_ENVIRONMENT(test_structs_of_other_versions),
        WITH_CLEAN_ENVIRONMENT(test_precision_and_backend_are_words),
        WITH_CLEAN_ENVIRONMENT(test_batch_tokens_are_the_backends_choice_unless_set),
        WITH_CLEAN_ENVIRONMENT(test_isa_is_one_that_the_processor_has),
        WITH_CLEAN_ENVIRONMENT(test_native_options_come_before_the_environment),
        WITH_CLEAN_ENVIRONMENT(test_prepared_weights_lie_in_the_cache_home),
        WITH_HOME(test_a_file_sets_what_options_and_environment_leave_open),
        WITH_HOME(test_a_fault_in_the_file_counts_even_where_it_is_overruled),
        WITH_HOME(test_which_file_is_read),
        WITH_HOME(test_without_optimization_the_baseline_is_left),
        WITH_HOME(test_what_the_file_says_of_a_model),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
