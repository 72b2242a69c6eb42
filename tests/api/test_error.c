#include "harness.h"

#include <errno.h>
#include <stdio.h>

/* ---- Statuses ----------------------------------------------------------------------------- */

static void test_every_status_has_a_name_and_a_text(void **state)
{
    (void)state;
    const struct {
        citadel_status status;
        int32_t number;
        const char *name;
    } statuses[] = {
        {CITADEL_OK, 0, "CITADEL_OK"},
        {CITADEL_E_INVALID_ARGUMENT, 10, "CITADEL_E_INVALID_ARGUMENT"},
        {CITADEL_E_ABI, 11, "CITADEL_E_ABI"},
        {CITADEL_E_CAPACITY, 12, "CITADEL_E_CAPACITY"},
        {CITADEL_E_INVALID_UTF8, 13, "CITADEL_E_INVALID_UTF8"},
        {CITADEL_E_NOT_FOUND, 20, "CITADEL_E_NOT_FOUND"},
        {CITADEL_E_IO, 21, "CITADEL_E_IO"},
        {CITADEL_E_BAD_MODEL, 22, "CITADEL_E_BAD_MODEL"},
        {CITADEL_E_UNSUPPORTED, 23, "CITADEL_E_UNSUPPORTED"},
        {CITADEL_E_NO_MEMORY, 30, "CITADEL_E_NO_MEMORY"},
        {CITADEL_E_FORKED, 31, "CITADEL_E_FORKED"},
        {CITADEL_E_BUSY, 32, "CITADEL_E_BUSY"},
        {CITADEL_E_BACKEND, 40, "CITADEL_E_BACKEND"},
        {CITADEL_E_NOT_FINITE, 41, "CITADEL_E_NOT_FINITE"},
        {CITADEL_E_INTERNAL, 90, "CITADEL_E_INTERNAL"},
    };
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        assert_int_equal(statuses[i].status, statuses[i].number);
        assert_string_equal(citadel_status_name(statuses[i].status), statuses[i].name);
        assert_true(strlen(citadel_status_string(statuses[i].status)) > 0);
    }
}

static void test_an_unknown_status_has_a_name_too(void **state)
{
    (void)state;
    const citadel_status unknown[] = {-1, 1, 14, 91, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_non_null(citadel_status_name(unknown[i]));
        assert_non_null(citadel_status_string(unknown[i]));
    }
}

static void test_the_library_is_the_headers(void **state)
{
    (void)state;
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", CITADEL_API_VERSION_MAJOR,
             CITADEL_API_VERSION_MINOR, CITADEL_API_VERSION_PATCH);
    assert_string_equal(citadel_version(), expected);
    assert_int_equal(citadel_api_version(), CITADEL_API_VERSION);
    assert_non_null(strstr(citadel_build_info(), expected));
    assert_null(strchr(citadel_build_info(), '\n'));
}

/* ---- The caller's struct ------------------------------------------------------------------ */

static void test_every_call_resets_the_error(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 0);
    citadel_model *model;
    citadel_info info = CITADEL_INFO_INIT;
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    const char *name, *text;

#define assert_resets(call)                        \
    do {                                           \
        error.code = 77;                           \
        error.native_code = 78;                    \
        strcpy(error.message, "of the last call"); \
        assert_ok(call);                           \
        assert_int_equal(error.native_code, 0);    \
    } while (0)
    assert_resets(citadel_model_load(engine, "tiny", NULL, &model, &error));
    assert_resets(citadel_model_info(model, &info, &error));
    assert_resets(citadel_model_prompt(model, 0, &name, &text, &error));
    assert_resets(citadel_tokenize(model, "fox", 3, NULL, &tokens, &error));
    assert_resets(citadel_model_embed(model, NULL, NULL, 0, NULL, NULL, 0, NULL, &error));
    assert_resets(citadel_embed(engine, "tiny", NULL, NULL, 0, NULL, NULL, 0, NULL, &error));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
    assert_resets(citadel_engine_create(NULL, &engine, &error));
    citadel_engine_destroy(engine);
}

static void test_null_is_allowed_for_the_error(void **state)
{
    (void)state;
    citadel_engine *engine;
    citadel_model *model = (citadel_model *)&engine;
    const char *name;
    citadel_engine_options options = test_options(2000, 0);
    assert_int_equal(citadel_engine_create(&options, &engine, NULL), CITADEL_E_INVALID_ARGUMENT);
    engine = new_engine(1, 0);
    assert_int_equal(citadel_model_load(engine, "no", NULL, &model, NULL), CITADEL_E_NOT_FOUND);
    assert_null(model);
    assert_int_equal(citadel_model_info(NULL, NULL, NULL), CITADEL_E_INVALID_ARGUMENT);
    assert_int_equal(citadel_model_prompt(NULL, 0, &name, &name, NULL), CITADEL_E_INVALID_ARGUMENT);
    assert_int_equal(citadel_model_embed(NULL, NULL, NULL, 0, NULL, NULL, 0, NULL, NULL),
                     CITADEL_E_INVALID_ARGUMENT);
    assert_int_equal(citadel_embed(engine, "no", NULL, NULL, 0, NULL, NULL, 0, NULL, NULL),
                     CITADEL_E_NOT_FOUND);
    assert_int_equal(citadel_tokenize(NULL, "", 0, NULL, NULL, NULL), CITADEL_E_INVALID_ARGUMENT);
    citadel_engine_destroy(engine);
}

static void test_an_error_of_impossible_size_is_not_written(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 0), *second;
    citadel_model *model = load(engine, "tiny"), *other;
    citadel_info info = CITADEL_INFO_INIT;
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    const char *name, *text = "fox";
    float out[DIM];
    citadel_text_result result;
    const size_t sizes[] = {0, 8, sizeof error - 1, 4097, (size_t)-1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        citadel_error bad, before;
        memset(&bad, 0x5A, sizeof bad);
        bad.size = sizes[i];
        before = bad;
        second = (citadel_engine *)&bad;
        other = (citadel_model *)&bad;
        result.status = 0;
        assert_int_equal(citadel_engine_create(NULL, &second, &bad), CITADEL_E_ABI);
        assert_null(second);
        assert_int_equal(citadel_model_load(engine, "tiny", NULL, &other, &bad), CITADEL_E_ABI);
        assert_null(other);
        assert_int_equal(citadel_model_info(model, &info, &bad), CITADEL_E_ABI);
        assert_int_equal(citadel_model_prompt(model, 0, &name, &name, &bad), CITADEL_E_ABI);
        assert_int_equal(citadel_tokenize(model, "a", 1, NULL, &tokens, &bad), CITADEL_E_ABI);
        assert_int_equal(citadel_model_embed(model, &text, NULL, 1, NULL, out, DIM, &result, &bad),
                         CITADEL_E_ABI);
        assert_int_equal(result.status, CITADEL_E_ABI);
        result.status = 0;
        assert_int_equal(
            citadel_embed(engine, "tiny", &text, NULL, 1, NULL, out, DIM, &result, &bad),
            CITADEL_E_ABI);
        assert_int_equal(result.status, CITADEL_E_ABI);
        assert_memory_equal(&bad, &before, sizeof bad);
    }
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_a_newer_callers_larger_error_is_filled(void **state)
{
    (void)state;
    struct {
        citadel_error known;
        char newer[64];
    } large;
    memset(&large, 0x5A, sizeof large);
    large.known.size = sizeof large;
    citadel_engine *engine;
    citadel_engine_options options = test_options(2000, 0);
    assert_int_equal(citadel_engine_create(&options, &engine, &large.known),
                     CITADEL_E_INVALID_ARGUMENT);
    assert_int_equal(large.known.code, CITADEL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(large.known.message, "2000"));
    for (size_t i = 0; i < sizeof large.newer; i++)
        assert_int_equal(large.newer[i], 0x5A);
}

/* ---- The message -------------------------------------------------------------------------- */

static void test_native_code_is_the_systems(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 0);
    citadel_model *model;
    assert_fails(CITADEL_E_NOT_FOUND, "No such file",
                 citadel_model_load(engine, "./absent", NULL, &model, &error));
    assert_int_equal(error.native_code, ENOENT);
    assert_fails(
        CITADEL_E_IO, "Not a directory",
        citadel_model_load(engine, FAKE_PACKS "/tiny/citadel.json/x", NULL, &model, &error));
    assert_int_equal(error.native_code, ENOTDIR);
    assert_fails(CITADEL_E_NOT_FOUND, "no model 'absent'",
                 citadel_model_load(engine, "absent", NULL, &model, &error));
    assert_int_equal(error.native_code, 0);
    citadel_engine_destroy(engine);
}

static void test_the_message_is_one_line_of_utf8(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 0);
    citadel_model *model;
    assert_fails(CITADEL_E_NOT_FOUND, "'one two?'",
                 citadel_model_load(engine, "one\ntwo\xFF", NULL, &model, &error));
    assert_fails(CITADEL_E_NOT_FOUND, "'\xD0\xBF\xD1\x80 '",
                 citadel_model_load(engine, "\xD0\xBF\xD1\x80\x1B", NULL, &model, &error));
    citadel_engine_destroy(engine);
}

static void test_a_long_value_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 0);
    citadel_model *model;
    char name[2001];
    for (size_t shift = 0; shift < 2; shift++) {
        name[0] = 'x';
        for (size_t i = shift; i + 2 < sizeof name; i += 2)
            memcpy(name + i, "\xC3\xA9", 3);
        assert_fails(CITADEL_E_NOT_FOUND, "no model '",
                     citadel_model_load(engine, name, NULL, &model, &error));
        size_t length = strlen(error.message);
        assert_true(length > 400);
        assert_int_equal((unsigned char)error.message[length - 1], 0xA9);
    }
    citadel_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_has_a_name_and_a_text),
        cmocka_unit_test(test_an_unknown_status_has_a_name_too),
        cmocka_unit_test(test_the_library_is_the_headers),
        cmocka_unit_test(test_every_call_resets_the_error),
        cmocka_unit_test(test_null_is_allowed_for_the_error),
        cmocka_unit_test(test_an_error_of_impossible_size_is_not_written),
        cmocka_unit_test(test_a_newer_callers_larger_error_is_filled),
        cmocka_unit_test(test_native_code_is_the_systems),
        cmocka_unit_test(test_the_message_is_one_line_of_utf8),
        cmocka_unit_test(test_a_long_value_is_cut_at_a_whole_character),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
