#include "harness.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static citadel_engine *engine;

static int set_up(void **state)
{
    (void)state;
    engine = new_engine(2, 4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    citadel_engine_destroy(engine);
    fake_probe *probe = reset_probe(); /* nothing is left loaded */
    return read_probe(probe, &probe->models);
}

static void expect_no_model(const char *name, const citadel_load_options *options,
                            citadel_status status, const char *piece)
{
    citadel_model *model = (citadel_model *)&name;
    assert_fails(status, piece, citadel_model_load(engine, name, options, &model, &error));
    assert_null(model);
}

/* ---- Names -------------------------------------------------------------------------------- */

static void test_null_arguments_are_named(void **state)
{
    (void)state;
    citadel_model *model = (citadel_model *)&state;
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "engine is NULL",
                 citadel_model_load(NULL, "tiny", NULL, &model, &error));
    assert_null(model);
    expect_no_model(NULL, NULL, CITADEL_E_INVALID_ARGUMENT, "name is NULL");
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "model is NULL",
                 citadel_model_load(engine, "tiny", NULL, NULL, &error));
}

static void test_a_name_is_looked_for_along_the_model_path(void **state)
{
    (void)state;
    citadel_engine_options options = test_options(1, 1);
    citadel_info info = CITADEL_INFO_INIT;
    citadel_engine *own;
    options.model_path = "/nowhere::" FAKE_PACKS "/bad:" FAKE_PACKS;
    assert_ok(citadel_engine_create(&options, &own, &error));
    citadel_model *model = load(own, "tiny");
    assert_ok(citadel_model_info(model, &info, &error));
    assert_string_equal(info.path, FAKE_PACKS "/tiny");
    citadel_model_unload(model);
    assert_fails(CITADEL_E_BAD_MODEL, "bad/nan",
                 citadel_model_load(own, "nan", NULL, &model, &error));
    assert_fails(CITADEL_E_NOT_FOUND, "no model 'absent' in the model path '/nowhere::",
                 citadel_model_load(own, "absent", NULL, &model, &error));
    citadel_engine_destroy(own);
}

static void test_a_name_with_a_slash_is_a_path(void **state)
{
    (void)state;
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    citadel_model *by_name = load(engine, "tiny");
    citadel_model *by_path = load(engine, FAKE_PACKS "/tiny");
    citadel_model *with_slash = load(engine, FAKE_PACKS "/tiny/");
    citadel_model *by_detour = load(engine, FAKE_PACKS "/bad/.././tiny");
    assert_int_equal(chdir(FAKE_PACKS), 0);
    citadel_model *relative = load(engine, "./tiny");
    assert_int_equal(chdir(before), 0);
    assert_ptr_equal(by_path, by_name);
    assert_ptr_equal(with_slash, by_name);
    assert_ptr_equal(by_detour, by_name);
    assert_ptr_equal(relative, by_name);
    for (int i = 0; i < 5; i++)
        citadel_model_unload(by_name);
}

static void test_the_working_directory_is_not_searched(void **state)
{
    (void)state;
    char before[PATH_MAX];
    citadel_engine_options options = test_options(1, 1);
    citadel_engine *own;
    citadel_model *model;
    assert_non_null(getcwd(before, sizeof before));
    options.model_path = "/nowhere";
    assert_ok(citadel_engine_create(&options, &own, &error));
    assert_int_equal(chdir(FAKE_PACKS), 0);
    assert_fails(CITADEL_E_NOT_FOUND, "for the directory here say './tiny'",
                 citadel_model_load(own, "tiny", NULL, &model, &error));
    assert_int_equal(chdir(before), 0);
    citadel_engine_destroy(own);
}

static void test_what_is_no_model_is_not_found(void **state)
{
    (void)state;
    expect_no_model("", NULL, CITADEL_E_INVALID_ARGUMENT, "'' is not a model name");
    expect_no_model(".", NULL, CITADEL_E_INVALID_ARGUMENT, "'.' is not a model name");
    expect_no_model("..", NULL, CITADEL_E_INVALID_ARGUMENT, "'..' is not a model name");
    expect_no_model("absent", NULL, CITADEL_E_NOT_FOUND, "no model 'absent'");
    expect_no_model("./absent", NULL, CITADEL_E_NOT_FOUND, "model './absent'");
    expect_no_model(FAKE_PACKS "/tiny/citadel.json", NULL, CITADEL_E_NOT_FOUND,
                    "is not a directory");
    expect_no_model(FAKE_PACKS "/bad/empty", NULL, CITADEL_E_NOT_FOUND, "no citadel.json there");
    char longer[PATH_MAX + 100];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    expect_no_model(longer, NULL, CITADEL_E_NOT_FOUND, "no model 'xxx");
    longer[0] = '/';
    expect_no_model(longer, NULL, CITADEL_E_IO, "xxx");
    assert_int_equal(error.native_code, ENAMETOOLONG);
}

static void test_a_failed_load_can_be_tried_again(void **state)
{
    (void)state;
    char directory[] = "/tmp/citadel-test-XXXXXX", link[64];
    assert_non_null(mkdtemp(directory));
    snprintf(link, sizeof link, "%s/model", directory);
    expect_no_model(link, NULL, CITADEL_E_NOT_FOUND, "No such file");
    assert_int_equal(symlink(FAKE_PACKS "/bad/golden-wrong", link), 0);
    expect_no_model(link, NULL, CITADEL_E_BAD_MODEL, "golden text");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(FAKE_PACKS "/tiny", link), 0);
    citadel_model_unload(load(engine, link));
    unlink(link);
    rmdir(directory);
}

/* ---- Options ------------------------------------------------------------------------------ */

static void test_load_options_out_of_range_are_named(void **state)
{
    (void)state;
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    options.flags = 4;
    expect_no_model("tiny", &options, CITADEL_E_INVALID_ARGUMENT, "unknown flags 0x4");
    options.flags = 0;
    options.reserved0 = 1;
    expect_no_model("tiny", &options, CITADEL_E_INVALID_ARGUMENT, "reserved0 must be 0");
    options.reserved0 = 0;
    options.precision = 6;
    expect_no_model("tiny", &options, CITADEL_E_INVALID_ARGUMENT, "precision is 6");
    options.precision = -1;
    expect_no_model("tiny", &options, CITADEL_E_INVALID_ARGUMENT, "precision is -1");
}

static void test_load_options_of_impossible_size_are_refused(void **state)
{
    (void)state;
    struct {
        citadel_load_options known;
        char newer[8];
    } large = {.known = CITADEL_LOAD_OPTIONS_INIT};
    citadel_model *model;
    const size_t sizes[] = {0, 23, 4097};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        large.known.size = sizes[i];
        expect_no_model("tiny", &large.known, CITADEL_E_ABI, "citadel_load_options.size");
    }
    large.known.size = sizeof large;
    assert_ok(citadel_model_load(engine, "tiny", &large.known, &model, &error));
    citadel_model_unload(model);
    large.newer[0] = 1;
    expect_no_model("tiny", &large.known, CITADEL_E_ABI, "citadel_load_options sets a field");
}

static void expect_precision(int32_t asked, int32_t expected)
{
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    citadel_info info = CITADEL_INFO_INIT;
    citadel_model *model;
    options.precision = asked;
    assert_ok(citadel_model_load(engine, "two-forms", &options, &model, &error));
    assert_ok(citadel_model_info(model, &info, &error));
    assert_int_equal(info.precision, expected);
    citadel_model_unload(model);
}

static void test_auto_takes_the_most_exact_form(void **state)
{
    (void)state;
    expect_precision(CITADEL_PRECISION_AUTO, CITADEL_PRECISION_FP32);
    expect_precision(CITADEL_PRECISION_FP32, CITADEL_PRECISION_FP32);
    expect_precision(CITADEL_PRECISION_BF16, CITADEL_PRECISION_BF16);
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    options.precision = CITADEL_PRECISION_INT8;
    expect_no_model("two-forms", &options, CITADEL_E_UNSUPPORTED, "int8");
    options.precision = CITADEL_PRECISION_FP32;
    expect_no_model("bf16-only", &options, CITADEL_E_UNSUPPORTED, "fp32");
    citadel_info info = CITADEL_INFO_INIT;
    citadel_model *model = load(engine, "bf16-only");
    assert_ok(citadel_model_info(model, &info, &error));
    assert_int_equal(info.precision, CITADEL_PRECISION_BF16);
    citadel_model_unload(model);
}

static void test_two_forms_of_a_pack_are_two_models(void **state)
{
    (void)state;
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    citadel_model *by_default = load(engine, "two-forms"), *fp32, *bf16;
    options.precision = CITADEL_PRECISION_FP32;
    assert_ok(citadel_model_load(engine, "two-forms", &options, &fp32, &error));
    options.precision = CITADEL_PRECISION_BF16;
    assert_ok(citadel_model_load(engine, "two-forms", &options, &bf16, &error));
    assert_ptr_equal(fp32, by_default);
    assert_ptr_not_equal(bf16, fp32);
    citadel_model_unload(by_default);
    citadel_model_unload(fp32);
    citadel_model_unload(bf16);
}

static void read_id(const char *pack, char id[65])
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, FAKE_PACKS "/%s/citadel.sha256", pack);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(id, 1, 64, file), 64);
    id[64] = '\0';
    fclose(file);
}

static void test_require_id_is_the_models_identity(void **state)
{
    (void)state;
    char id[65];
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    citadel_info info = CITADEL_INFO_INIT;
    citadel_model *model;
    read_id("tiny", id);
    options.require_id = id;
    assert_ok(citadel_model_load(engine, "tiny", &options, &model, &error));
    assert_ok(citadel_model_info(model, &info, &error));
    assert_string_equal(info.id, id);
    char capitals[65];
    for (int i = 0; i < 65; i++)
        capitals[i] = id[i] >= 'a' ? (char)(id[i] - 'a' + 'A') : id[i];
    options.require_id = capitals;
    citadel_model *same;
    assert_ok(citadel_model_load(engine, "tiny", &options, &same, &error));
    citadel_model_unload(same);
    options.require_id = id;
    /* Also when the engine has the model already. */
    expect_no_model("raw", &options, CITADEL_E_BAD_MODEL, id);
    id[0] = id[0] == '0' ? '1' : '0';
    expect_no_model("tiny", &options, CITADEL_E_BAD_MODEL, id);
    citadel_model_unload(model);
}

static void test_require_id_compares_the_sha256_of_every_file(void **state)
{
    (void)state;
    char id[65];
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    const char *pack = FAKE_PACKS "/bad/sha-other";
    citadel_model_unload(load(engine, pack));
    read_id("bad/sha-other", id);
    options.require_id = id;
    expect_no_model(pack, &options, CITADEL_E_BAD_MODEL, "golden.json");
}

static void test_require_id_has_64_hexadecimal_digits(void **state)
{
    (void)state;
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    char id[66];
    memset(id, 'a', 65);
    const size_t lengths[] = {0, 1, 63, 65};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        id[lengths[i]] = '\0';
        options.require_id = id;
        expect_no_model("tiny", &options, CITADEL_E_INVALID_ARGUMENT, "require_id");
        id[lengths[i]] = 'a';
    }
    id[64] = '\0';
    id[10] = 'g';
    expect_no_model("tiny", &options, CITADEL_E_INVALID_ARGUMENT, "require_id");
}

/* ---- References --------------------------------------------------------------------------- */

static void test_loading_again_gives_the_same_model(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_model *first = load(engine, "tiny"), *second = load(engine, "tiny");
    assert_ptr_equal(first, second);
    assert_ptr_equal(citadel_model_ref(first), first);
    assert_int_equal(read_probe(probe, &probe->loads), 1);
    for (int left = 3; left > 0; left--) {
        assert_int_equal(read_probe(probe, &probe->models), 1);
        assert_int_equal(citadel_model_dim(first), DIM);
        citadel_model_unload(first);
    }
    assert_int_equal(read_probe(probe, &probe->models), 0);
    citadel_model_unload(load(engine, "tiny"));
    assert_int_equal(read_probe(probe, &probe->loads), 2);
}

static void test_null_models_are_harmless(void **state)
{
    (void)state;
    citadel_model_unload(NULL);
    assert_null(citadel_model_ref(NULL));
    assert_int_equal(citadel_model_dim(NULL), 0);
}

/* ---- Info --------------------------------------------------------------------------------- */

static void test_info_tells_what_was_loaded(void **state)
{
    (void)state;
    char id[65];
    read_id("prompted", id);
    citadel_info info = CITADEL_INFO_INIT;
    citadel_model *model = load(engine, "prompted");
    assert_ok(citadel_model_info(model, &info, &error));
    assert_int_equal(info.size, sizeof info);
    assert_string_equal(info.name, "prompted");
    assert_string_equal(info.path, FAKE_PACKS "/prompted");
    assert_string_equal(info.id, id);
    assert_string_equal(info.architecture, "FakeModel");
    assert_string_equal(info.backend, "fake 1");
    assert_string_equal(info.form, "torchscript");
    assert_string_equal(info.pooling, "mean");
    assert_string_equal(info.layout, "packed");
    assert_string_equal(info.default_prompt, "query");
    assert_int_equal(info.dim, DIM);
    assert_int_equal(info.max_tokens, MAX_TOKENS);
    assert_int_equal(info.vocab_size, VOCAB_SIZE);
    assert_int_equal(info.precision, CITADEL_PRECISION_FP32);
    assert_int_equal(info.normalize, 1);
    assert_int_equal(info.prompts, 3);
    assert_true(info.weight_bytes >= (VOCAB_SIZE + 1) * DIM * sizeof(float));
    assert_true(info.load_seconds > 0);
    assert_true(info.golden_error >= 0 && info.golden_error < 1e-6);
    assert_int_equal(info.golden_texts, 3);
    assert_int_equal(info.fallbacks, 0);
    assert_true(info.golden_cosine > 1 - 1e-6 && info.golden_cosine < 1 + 1e-6);
    assert_true(info.min_cosine == 0);
    double parts =
        info.tokenizer_seconds + info.weights_seconds + info.backend_seconds + info.check_seconds;
    assert_true(info.tokenizer_seconds > 0 && info.weights_seconds > 0);
    assert_true(info.backend_seconds > 0 && info.check_seconds > 0);
    assert_true(parts <= info.load_seconds * (1 + 1e-9));
    assert_int_equal(citadel_model_dim(model), DIM);
    citadel_model_unload(model);

    model = load(engine, "padded");
    assert_ok(citadel_model_info(model, &info, &error));
    assert_string_equal(info.layout, "padded");
    assert_null(info.default_prompt);
    citadel_model_unload(model);
    model = load(engine, "raw");
    assert_ok(citadel_model_info(model, &info, &error));
    assert_int_equal(info.normalize, 0);
    citadel_model_unload(model);
}

static void test_info_of_a_newer_caller_ends_in_zeros(void **state)
{
    (void)state;
    struct {
        citadel_info known;
        unsigned char newer[64];
    } large;
    citadel_model *model = load(engine, "tiny");
    memset(&large, 0x5A, sizeof large);
    large.known.size = sizeof large;
    assert_ok(citadel_model_info(model, &large.known, &error));
    assert_int_equal(large.known.size, sizeof large);
    assert_int_equal(large.known.dim, DIM);
    for (size_t i = 0; i < sizeof large.newer; i++)
        assert_int_equal(large.newer[i], 0);
    citadel_model_unload(model);
}

static void test_info_arguments_are_checked(void **state)
{
    (void)state;
    citadel_info info = CITADEL_INFO_INIT;
    citadel_model *model = load(engine, "tiny");
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "model is NULL",
                 citadel_model_info(NULL, &info, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "citadel_info is NULL",
                 citadel_model_info(model, NULL, &error));
    const size_t sizes[] = {0, 199, 4097}; /* its first size was 200 */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        info.size = sizes[i];
        assert_fails(CITADEL_E_ABI, "citadel_info.size", citadel_model_info(model, &info, &error));
    }
    citadel_model_unload(model);
}

static void test_prompts_are_listed(void **state)
{
    (void)state;
    const char *const expected[][2] = {
        {"query", "query: "}, {"passage", "passage "}, {"nothing", ""}};
    const char *name, *text;
    citadel_model *model = load(engine, "tiny");
    for (uint32_t i = 0; i < 3; i++) {
        assert_ok(citadel_model_prompt(model, i, &name, &text, &error));
        assert_string_equal(name, expected[i][0]);
        assert_string_equal(text, expected[i][1]);
    }
    assert_fails(CITADEL_E_NOT_FOUND, "prompt 3 was asked for, the model has 3",
                 citadel_model_prompt(model, 3, &name, &text, &error));
    assert_null(name);
    assert_null(text);
    assert_fails(CITADEL_E_NOT_FOUND, "4294967295",
                 citadel_model_prompt(model, UINT32_MAX, &name, &text, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "model is NULL",
                 citadel_model_prompt(NULL, 0, &name, &text, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "name is NULL",
                 citadel_model_prompt(model, 0, NULL, &text, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "text is NULL",
                 citadel_model_prompt(model, 0, &name, NULL, &error));
    citadel_model_unload(model);

    model = load(engine, "no-prompts");
    assert_fails(CITADEL_E_NOT_FOUND, "prompt 0 was asked for, the model has 0",
                 citadel_model_prompt(model, 0, &name, &text, &error));
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.prompt_name = "query";
    assert_fails(CITADEL_E_NOT_FOUND, "no prompt is named 'query'; the model has none",
                 citadel_model_embed(model, NULL, NULL, 0, &options, NULL, 0, NULL, &error));
    citadel_model_unload(model);
}

/* ---- Backend ------------------------------------------------------------------------------ */

static void expect_no_backend(const char *file, const char *piece)
{
    citadel_engine_options options = test_options(1, 1);
    citadel_engine *own;
    citadel_model *model = (citadel_model *)&options;
    options.torch_backend = file;
    assert_ok(citadel_engine_create(&options, &own, &error)); /* loads nothing */
    assert_fails(CITADEL_E_BACKEND, piece, citadel_model_load(own, "tiny", NULL, &model, &error));
    assert_null(model);
    citadel_engine_destroy(own);
}

static void test_a_backend_that_is_none_is_an_error_of_the_load(void **state)
{
    (void)state;
    expect_no_backend("/nowhere/backend.so", "/nowhere/backend.so");
    expect_no_backend(FAKE_PACKS "/tiny/citadel.json", "citadel.json");
    expect_no_backend(FAKE_PACKS, "cannot open the torch backend");
    expect_no_backend("libm.so.6", "'libm.so.6' is not a backend");
    expect_no_backend("", "is not a backend");
    expect_no_backend(FAKE_OTHER_VERSION, "version 999");
    expect_no_backend(REFUSING_BACKEND, "on a Sunday");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_arguments_are_named),
        cmocka_unit_test(test_a_name_is_looked_for_along_the_model_path),
        cmocka_unit_test(test_a_name_with_a_slash_is_a_path),
        cmocka_unit_test(test_the_working_directory_is_not_searched),
        cmocka_unit_test(test_what_is_no_model_is_not_found),
        cmocka_unit_test(test_a_failed_load_can_be_tried_again),
        cmocka_unit_test(test_load_options_out_of_range_are_named),
        cmocka_unit_test(test_load_options_of_impossible_size_are_refused),
        cmocka_unit_test(test_auto_takes_the_most_exact_form),
        cmocka_unit_test(test_two_forms_of_a_pack_are_two_models),
        cmocka_unit_test(test_require_id_is_the_models_identity),
        cmocka_unit_test(test_require_id_compares_the_sha256_of_every_file),
        cmocka_unit_test(test_require_id_has_64_hexadecimal_digits),
        cmocka_unit_test(test_loading_again_gives_the_same_model),
        cmocka_unit_test(test_null_models_are_harmless),
        cmocka_unit_test(test_info_tells_what_was_loaded),
        cmocka_unit_test(test_info_of_a_newer_caller_ends_in_zeros),
        cmocka_unit_test(test_info_arguments_are_checked),
        cmocka_unit_test(test_prompts_are_listed),
        cmocka_unit_test(test_a_backend_that_is_none_is_an_error_of_the_load),
    };
    return cmocka_run_group_tests_name("model", tests, set_up, tear_down);
}
