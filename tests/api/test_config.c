/* Configuration files, and what the library tells of its configuration and of the machine. */
#include "files.h"
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/citadel-config-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    strcpy(path + sizeof path - 7, "XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int drop_file(void **state)
{
    (void)state;
    return unlink(path);
}

static citadel_engine_options with_file(const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
    citadel_engine_options options = test_options(2, 8);
    options.config_file = path;
    return options;
}

static citadel_engine *create(const citadel_engine_options *options)
{
    citadel_engine *engine;
    assert_ok(citadel_engine_create(options, &engine, &error));
    return engine;
}

static citadel_engine *engine_of(const char *text)
{
    citadel_engine_options options = with_file(text);
    return create(&options);
}

static char *text_of(const citadel_engine *engine)
{
    static char text[8192];
    size_t length;
    assert_ok(citadel_config_text(engine, text, sizeof text, &length, &error));
    assert_int_equal(strlen(text), length);
    return text;
}

static void assert_has_line(const char *text, const char *line)
{
    size_t length = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at += length)
        if ((at == text || at[-1] == '\n') && at[length] == '\n')
            return;
    fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void embed_as(citadel_engine *engine, const char *name, const char *prompt_name,
                     const char *expected_text, double bias)
{
    const char *text = "the fox";
    float out[DIM], expected[DIM];
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.prompt_name = prompt_name;
    assert_ok(citadel_embed(engine, name, &text, NULL, 1, &options, out, DIM, NULL, &error));
    citadel_model *model = load(engine, name);
    reference(model, expected_text, bias, expected);
    assert_vector(out, expected, DIM);
    citadel_model_unload(model);
}

/* ---- Names and prompts -------------------------------------------------------------------- */

static void test_names_of_the_file_come_before_folders(void **state)
{
    (void)state;
    char text[1024];
    snprintf(text, sizeof text,
             "models:\n  tiny: {path: %s/number-3, aliases: [small, org/small]}\n"
             "  number-2: {aliases: [two]}\n",
             FAKE_PACKS);
    citadel_engine *engine = engine_of(text);
    embed_as(engine, "tiny", NULL, "the fox", 3);
    embed_as(engine, "small", NULL, "the fox", 3);
    embed_as(engine, "org/small", NULL, "the fox", 3);
    embed_as(engine, "number-3", NULL, "the fox", 3);
    embed_as(engine, "two", NULL, "the fox", 2);
    embed_as(engine, FAKE_PACKS "/tiny", NULL, "the fox", 0);
    assert_int_equal(metrics_of(engine).loads, metrics_of(engine).misses);
    citadel_engine_destroy(engine);
}

static void test_one_pack_under_several_names_is_in_memory_once(void **state)
{
    (void)state;
    citadel_engine *engine = engine_of("models: {tiny: {aliases: [small], prompts: {x: 'a '}}}");
    citadel_model *a = load(engine, "tiny"), *b = load(engine, "small");
    citadel_model *c = load(engine, FAKE_PACKS "/tiny");
    assert_ptr_equal(a, b);
    assert_ptr_equal(a, c);
    citadel_model_unload(a);
    citadel_model_unload(b);
    citadel_model_unload(c);
    citadel_engine_destroy(engine);
}

static void test_prompts_of_the_file_stand_beside_or_before_the_packs(void **state)
{
    (void)state;
    citadel_engine *engine =
        engine_of("models:\n  tiny:\n    prompts: {query: 'brown ', own: 'lazy '}\n"
                  "    default_prompt: own\n");
    embed_as(engine, "tiny", NULL, "lazy the fox", 0);
    embed_as(engine, "tiny", "query", "brown the fox", 0);
    embed_as(engine, "tiny", "passage", "passage the fox", 0);
    citadel_info info = CITADEL_INFO_INIT;
    citadel_model *model = load(engine, "tiny");
    assert_ok(citadel_model_info(model, &info, &error));
    assert_string_equal(info.default_prompt, "own");
    assert_non_null(strstr(info.explain, "the configuration's default_prompt"));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_the_file_can_take_a_default_prompt_away(void **state)
{
    (void)state;
    citadel_engine *engine = engine_of("models: {prompted: {default_prompt: ''}}");
    citadel_info info = CITADEL_INFO_INIT;
    citadel_model *model = load(engine, "prompted");
    assert_ok(citadel_model_info(model, &info, &error));
    assert_null(info.default_prompt);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* The same pack, of which one name has a prompt of its own: the names do not get into each other's way. */
static void test_two_names_can_have_different_prompts(void **state)
{
    (void)state;
    char text[1024];
    copy_pack("tiny", "/tmp/citadel-config-twin");
    snprintf(text, sizeof text,
             "models:\n  one: {path: %s/tiny, prompts: {p: 'brown '}, default_prompt: p}\n"
             "  two: {path: /tmp/citadel-config-twin, prompts: {p: 'lazy '}, default_prompt: p}\n",
             FAKE_PACKS);
    citadel_engine *engine = engine_of(text);
    embed_as(engine, "one", NULL, "brown the fox", 0);
    embed_as(engine, "two", NULL, "lazy the fox", 0);
    embed_as(engine, "one", NULL, "brown the fox", 0);
    embed_as(engine, "tiny", NULL, "brown the fox", 0); /* the path of the first */
    citadel_engine_destroy(engine);
    remove_pack("/tmp/citadel-config-twin");
}

static void test_models_that_are_not_there_are_named_with_their_line(void **state)
{
    (void)state;
    citadel_engine *engine = engine_of("models:\n  a: {path: /nowhere}\n  b: {aliases: [c]}\n"
                                       "  tiny: {default_prompt: absent}\n");
    citadel_model *model;
    assert_fails(CITADEL_E_NOT_FOUND,
                 ": line 2: ", citadel_model_load(engine, "a", NULL, &model, &error));
    assert_non_null(strstr(error.message, "'/nowhere'"));
    assert_fails(CITADEL_E_NOT_FOUND, ": line 3: no model 'b' in the model path",
                 citadel_model_load(engine, "c", NULL, &model, &error));
    assert_fails(CITADEL_E_NOT_FOUND, ": line 4: default_prompt is 'absent'",
                 citadel_model_load(engine, "tiny", NULL, &model, &error));
    citadel_engine_destroy(engine);
}

/* ---- Precision ---------------------------------------------------------------------------- */

static int32_t precision_of(citadel_engine *engine, const char *name, int32_t asked)
{
    citadel_estimate estimate = CITADEL_ESTIMATE_INIT;
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    options.precision = asked;
    assert_ok(citadel_model_estimate(engine, name, &options, &estimate, &error));
    citadel_model *model;
    citadel_info info = CITADEL_INFO_INIT;
    assert_ok(citadel_model_load(engine, name, &options, &model, &error));
    assert_ok(citadel_model_info(model, &info, &error));
    assert_int_equal(info.precision, estimate.precision);
    citadel_model_unload(model);
    return info.precision;
}

static void test_a_precision_of_the_configuration_is_as_good_as_asked_for(void **state)
{
    (void)state;
    citadel_engine *engine = engine_of("precision: bf16\nmodels: {tiny: {precision: auto}}\n");
    assert_int_equal(precision_of(engine, "many-forms", 0), CITADEL_PRECISION_BF16);
    assert_int_equal(precision_of(engine, "many-forms", CITADEL_PRECISION_FP32),
                     CITADEL_PRECISION_FP32);
    assert_int_equal(precision_of(engine, "tiny", 0), CITADEL_PRECISION_FP32);
    /* Never another one. */
    citadel_model *model;
    assert_fails(CITADEL_E_UNSUPPORTED, "precision bf16",
                 citadel_model_load(engine, "padded", NULL, &model, &error));
    citadel_engine_destroy(engine);

    citadel_engine_options options = with_file("models: {many-forms: {precision: bf16}}\n");
    options.precision = CITADEL_PRECISION_FP32;
    engine = create(&options);
    assert_int_equal(precision_of(engine, "many-forms", 0), CITADEL_PRECISION_FP32);
    citadel_engine_destroy(engine);
    options.precision = CITADEL_PRECISION_AUTO;
    engine = create(&options);
    assert_int_equal(precision_of(engine, "many-forms", 0), CITADEL_PRECISION_BF16);
    citadel_engine_destroy(engine);
    options.optimization = CITADEL_SWITCH_OFF;
    engine = create(&options);
    assert_int_equal(precision_of(engine, "many-forms", 0), CITADEL_PRECISION_FP32);
    citadel_engine_destroy(engine);
}

/* ---- Faults ------------------------------------------------------------------------------- */

static void test_a_file_with_a_fault_makes_no_engine(void **state)
{
    (void)state;
    citadel_engine_options options = with_file("threads: 1\nmodel_cache_size: 1e9\n");
    citadel_engine *engine = (citadel_engine *)&options;
    int threads = count_threads(), files = count_files();
    assert_fails(CITADEL_E_INVALID_ARGUMENT,
                 ": line 2: model_cache_size is '1e9', expected a whole number from 1 to 1000",
                 citadel_engine_create(&options, &engine, &error));
    assert_null(engine);
    assert_memory_equal(error.message, path, strlen(path));
    options.config_file = "/nowhere/c.yaml";
    assert_fails(CITADEL_E_NOT_FOUND, "'/nowhere/c.yaml'",
                 citadel_engine_create(&options, &engine, &error));
    options.config_file = FAKE_PACKS;
    assert_fails(CITADEL_E_IO, "is not a file", citadel_engine_create(&options, &engine, &error));
    assert_int_equal(count_threads(), threads);
    assert_int_equal(count_files(), files);
}

/* ---- Texts -------------------------------------------------------------------------------- */

static void test_every_value_has_its_origin(void **state)
{
    (void)state;
    citadel_engine_options options =
        with_file("cache_bytes: 1K\ntorch_compile_enabled: true\nmodels:\n  tiny:\n"
                  "    path: /x\n    aliases:\n      - small\n    prompts:\n      query: 'q: '\n"
                  "    default_prompt: query\n    precision: fp32\n    warmup: true\n  b:\n");
    char line[256];
    options.optimization = CITADEL_SWITCH_OFF;
    citadel_engine *engine = create(&options);
    const char *text = text_of(engine);
    assert_has_line(text, "threads = 2   # option threads");
    assert_has_line(text, "warmup_iterations = 10   # default");
    assert_has_line(text, "inference_optimization = false   # option optimization");
#define has(format)                                \
    do {                                           \
        snprintf(line, sizeof line, format, path); \
        assert_has_line(text, line);               \
    } while (0)
    has("config_file = %s   # option config_file");
    has("cache_bytes = 1024   # %s:1");
    has("torch_compile_enabled = false   # without inference_optimization, instead of %s:2");
    has("models.tiny = /x   # %s:5");
    has("models.tiny.alias = small   # %s:7");
    has("models.tiny.prompts.query = \"q: \"   # %s:9");
    has("models.tiny.default_prompt = query   # %s:10");
    has("models.tiny.precision = fp32   # %s:11");
    has("models.tiny.warmup = true   # %s:12");
    has("models.b = b   # %s:13");
#undef has
    citadel_engine_destroy(engine);
}

static void test_a_value_cannot_break_its_line(void **state)
{
    (void)state;
    citadel_engine *engine =
        engine_of("models: {tiny: {prompts: {\"a\\nb\": \"c\\nthreads = 9   # default\"}}}");
    const char *text = text_of(engine);
    assert_null(strstr(text, "\nthreads = 9"));
    assert_non_null(strstr(text, "models.tiny.prompts.a b = \"c threads = 9"));
    citadel_engine_destroy(engine);
}

static void test_buffers_of_any_size(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    size_t length = 0, again = 0;
    assert_ok(citadel_config_text(engine, NULL, 0, &length, &error));
    assert_true(length > 200);
    char *buffer = malloc(length + 2);
    assert_non_null(buffer);
    buffer[length] = buffer[length + 1] = 'x';
    assert_fails(CITADEL_E_CAPACITY, "the buffer has room for",
                 citadel_config_text(engine, buffer, length, &again, &error));
    assert_int_equal(again, length);
    assert_int_equal(buffer[length], 'x');
    assert_ok(citadel_config_text(engine, buffer, length + 1, NULL, &error));
    assert_int_equal(buffer[length], '\0');
    assert_int_equal(buffer[length - 1], '\n');
    assert_int_equal(buffer[length + 1], 'x');
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "engine is NULL",
                 citadel_config_text(NULL, buffer, length, NULL, &error));
    free(buffer);
    citadel_engine_destroy(engine);
}

static void test_names_of_models(void **state)
{
    (void)state;
    char text[4096];
    size_t length;
    citadel_engine *engine = engine_of("models: {zulu: {path: /x}, tiny: , alpha: {path: /y}}");
    assert_ok(
        citadel_model_names(engine, CITADEL_MODELS_CONFIGURED, text, sizeof text, &length, &error));
    assert_string_equal(text, "zulu\ntiny\nalpha\n");
    assert_ok(citadel_model_names(engine, 0, text, sizeof text, &length, &error));
    assert_memory_equal(text, "zulu\ntiny\nalpha\nbf16-only\n", 26);
    assert_has_line(text, "padded");
    assert_null(strstr(strstr(text, "tiny") + 1, "\ntiny\n"));
    assert_null(strstr(text, "falls-back")); /* a folder, but no pack */
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "unknown flags 0x2",
                 citadel_model_names(engine, 2, text, sizeof text, &length, &error));
    citadel_engine_destroy(engine);

    citadel_engine_options options = test_options(1, 1);
    options.model_path = "/nowhere::" FAKE_PACKS ":" FAKE_PACKS "/";
    engine = create(&options);
    assert_ok(citadel_model_names(engine, 0, text, sizeof text, &length, &error));
    assert_null(strstr(strstr(text, "tiny\n") + 1, "\ntiny\n"));
    assert_ok(
        citadel_model_names(engine, CITADEL_MODELS_CONFIGURED, text, sizeof text, &length, &error));
    assert_string_equal(text, "");
    citadel_engine_destroy(engine);
}

static void write_empty(const char *folder, const char *name)
{
    char file[128];
    mkdir(files_path(folder), 0700);
    snprintf(file, sizeof file, "%s/%s", folder, name);
    files_write_text(file, "");
}

static void test_folders_of_models_have_names(void **state)
{
    (void)state;
    char text[256];
    citadel_engine_options options = test_options(1, 1);
    options.model_path = files_folder;
    write_empty("encoder", "config.json");
    write_empty("encoder", "model.safetensors");
    write_empty("sharded", "modules.json");
    write_empty("sharded", "model.safetensors.index.json");
    write_empty("without-weights", "config.json");
    write_empty("weights-alone", "model.safetensors");
    citadel_engine *engine = create(&options);
    assert_ok(citadel_model_names(engine, 0, text, sizeof text, NULL, &error));
    assert_string_equal(text, "encoder\nsharded\n");
    citadel_engine_destroy(engine);
}

static void test_forms_of_a_model(void **state)
{
    (void)state;
    char text[4096];
    size_t length;
    citadel_engine *engine = new_engine(1, 1);
    assert_ok(citadel_model_forms(engine, "many-forms", NULL, text, sizeof text, &length, &error));
    assert_int_equal(strncmp(text, "taken: compiled fp32 (", 22), 0);
    assert_non_null(strstr(text, "\nnext: torchscript fp32 ("));
    assert_non_null(strstr(text, "\nskipped: torchscript int8 ("));
    assert_int_equal(metrics_of(engine).loads, 0);
    citadel_load_options int8 = CITADEL_LOAD_OPTIONS_INIT;
    int8.precision = CITADEL_PRECISION_INT8;
    assert_ok(citadel_model_forms(engine, "many-forms", &int8, text, sizeof text, &length, &error));
    assert_int_equal(strncmp(text, "taken: torchscript int8 (", 25), 0);
    assert_fails(CITADEL_E_NOT_FOUND, "'missing'",
                 citadel_model_forms(engine, "missing", NULL, text, sizeof text, &length, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "name is NULL",
                 citadel_model_forms(engine, NULL, NULL, text, sizeof text, &length, &error));
    citadel_engine_destroy(engine);
}

/* ---- Diagnostics -------------------------------------------------------------------------- */

static void test_diagnostics_are_those_of_the_backend(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(2, 1);
    citadel_diagnostics found = CITADEL_DIAGNOSTICS_INIT;
    assert_ok(citadel_diagnose(engine, &found, &error));
    assert_string_equal(found.backend, "fake 1");
    assert_string_equal(found.backend_error, "");
    assert_string_equal(found.device, "fake device");
    assert_int_equal(found.threads, 2);
    assert_true(found.cpus >= 1);
    assert_int_equal(found.compiled, 1);
    assert_int_equal(found.cuda_available, 0);
    assert_int_equal(found.cuda_devices, 2);
    assert_int_equal(found.cuda_major, 9);
    assert_int_equal(found.cuda_minor, 5);
    assert_int_equal(found.device_allocated, 1000);
    assert_int_equal(found.device_reserved, 3000);
    assert_true(found.process_bytes > 100000);
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "engine is NULL",
                 citadel_diagnose(NULL, &found, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "citadel_diagnostics is NULL",
                 citadel_diagnose(engine, NULL, &error));
    citadel_engine_destroy(engine);
}

static void test_a_missing_backend_is_a_finding(void **state)
{
    (void)state;
    citadel_engine_options options = test_options(1, 1);
    options.torch_backend = "/nowhere/backend.so";
    options.isa = "generic";
    citadel_engine *engine = create(&options);
    citadel_diagnostics found = CITADEL_DIAGNOSTICS_INIT;
    assert_ok(citadel_diagnose(engine, &found, &error));
    assert_string_equal(found.backend, "");
    assert_string_equal(found.native, "generic");
    assert_non_null(strstr(found.backend_error, "/nowhere/backend.so"));
    assert_int_equal(found.compiled, 0);
    char text[1024];
    assert_ok(citadel_model_forms(engine, "tiny", NULL, text, sizeof text, NULL, &error));
    assert_int_equal(strncmp(text, "taken: torchscript fp32 (", 25), 0);
    citadel_engine_destroy(engine);
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, make_file, drop_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILE(test_names_of_the_file_come_before_folders),
        WITH_FILE(test_one_pack_under_several_names_is_in_memory_once),
        WITH_FILE(test_prompts_of_the_file_stand_beside_or_before_the_packs),
        WITH_FILE(test_the_file_can_take_a_default_prompt_away),
        WITH_FILE(test_two_names_can_have_different_prompts),
        WITH_FILE(test_models_that_are_not_there_are_named_with_their_line),
        WITH_FILE(test_a_precision_of_the_configuration_is_as_good_as_asked_for),
        WITH_FILE(test_a_file_with_a_fault_makes_no_engine),
        WITH_FILE(test_every_value_has_its_origin),
        WITH_FILE(test_a_value_cannot_break_its_line),
        cmocka_unit_test(test_buffers_of_any_size),
        WITH_FILE(test_names_of_models),
        cmocka_unit_test_setup_teardown(test_folders_of_models_have_names, files_make,
                                        files_remove),
        cmocka_unit_test(test_forms_of_a_model),
        cmocka_unit_test(test_diagnostics_are_those_of_the_backend),
        cmocka_unit_test(test_a_missing_backend_is_a_finding),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
