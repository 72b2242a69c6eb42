#include "cmocka_all.h"

#include "json/json.h"

#include <stdio.h>

static ce_error error;

/* Read a whole text as one value of any kind. */
static int skim(const char *text, size_t size)
{
    ce_json json;
    memset(&error, 0, sizeof error);
    ce_json_open(&json, text, size, &error);
    ce_json_skip(&json);
    return ce_json_close(&json);
}

static void test_well_formed_texts_are_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",        "-0",           "12.5e-3",     "1E+9",         "true",
        "false",    "null",         "\"\"",        "[]",           "{}",
        " [1 , 2]", "{\"a\":[{}]}", "\t\r\n 1 \n", "[[],[[]],{}]", "{\"a\":1,\"a\":2}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(skim(texts[i], strlen(texts[i])), CE_OK);
}

static void test_malformed_texts_are_refused_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "line 1, column 1: expected a value"},
        {"  ", "line 1, column 3: expected a value"},
        {"nul", "line 1, column 1: expected null"},
        {"tru", "line 1, column 1: expected true or false"},
        {"fals", "line 1, column 1: expected true or false"},
        {"nothing", "line 1, column 1: expected null"},
        {"True", "line 1, column 1: expected a value"},
        {"[1", "line 1, column 3: expected ',' or ']'"},
        {"[1 2]", "line 1, column 4: expected ',' or ']'"},
        {"[1,]", "line 1, column 4: expected a value"},
        {"[,1]", "line 1, column 2: expected a value"},
        {"[1}", "line 1, column 3: expected ',' or ']'"},
        {"{\"a\"}", "line 1, column 5: expected ':' after a key"},
        {"{\"a\":}", "line 1, column 6: expected a value"},
        {"{\"a\":1,}", "line 1, column 8: expected a string"},
        {"{1:2}", "line 1, column 2: expected a string, found a number"},
        {"{\n \"a\":\n  ?}", "line 3, column 3: expected a value"},
        {"1 2", "line 1, column 3: more text after the end of the value"},
        {"[]]", "line 1, column 3: more text after the end of the value"},
        {"01", "line 1, column 3: malformed number"},
        {"-", "line 1, column 2: malformed number"},
        {"1.", "line 1, column 3: malformed number"},
        {"1e", "line 1, column 3: malformed number"},
        {"1e+", "line 1, column 4: malformed number"},
        {".5", "line 1, column 1: expected a value"},
        {"+1", "line 1, column 1: expected a value"},
        {"\"a", "line 1, column 3: string without an end"},
        {"\"a\nb\"", "line 1, column 3: control character 0x0a in a string"},
        {"\"\xC3(\"", "line 1, column 2: invalid UTF-8 in a string"},
        {"\"\xED\xA0\x80\"", "line 1, column 2: invalid UTF-8 in a string"},
        {"\"\\x\"", "line 1, column 3: bad escape in a string"},
        {"\"\\", "line 1, column 3: bad escape in a string"},
        {"\"\\u12\"", "bad escape in a string"},
        {"\"\\uD800\"", "bad escape in a string"},
        {"\"\\uD800\\u0041\"", "bad escape in a string"},
        {"\"\\uDC00\"", "bad escape in a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(skim(cases[i].text, strlen(cases[i].text)), CE_E_BAD_MODEL);
        assert_int_equal(error.code, CE_E_BAD_MODEL);
        if (!strstr(error.message, cases[i].message))
            fail_msg("%s: \"%s\", expected \"%s\"", cases[i].text, error.message, cases[i].message);
    }
}

/* A reader that looks one byte too far is seen by the sanitizers. */
static void test_every_prefix_of_a_text_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"key\": [1.5e-7, true, false, null, \"\\ud83d\\ude00 \xC3\xA9 \\n\"], \"o\": {\"\": -1}}";
    for (size_t size = 0; size < sizeof text - 1; size++) {
        char *cut = test_malloc(size ? size : 1);
        memcpy(cut, text, size);
        assert_int_equal(skim(cut, size), CE_E_BAD_MODEL);
        test_free(cut);
    }
    assert_int_equal(skim(text, sizeof text - 1), CE_OK);
}

static void check_string(const char *text, const char *expected, size_t size)
{
    ce_json json;
    ce_json_open(&json, text, strlen(text), &error);
    ce_json_text string = ce_json_string(&json);
    assert_int_equal(string.size, size);
    assert_memory_equal(string.data, expected, size);
    assert_int_equal(ce_json_close(&json), CE_OK);
}

static void test_strings_are_decoded(void **state)
{
    (void)state;
    check_string("\"plain \xE2\x82\xAC\"", "plain \xE2\x82\xAC", 9);
    check_string("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    check_string("\"\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\"", "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
                 10);
    check_string("\"a\\u0000b\"", "a\0b", 3);
    check_string("\"\x7F\"", "\x7F", 1);
}

/* One buffer serves all strings with escapes: growing and shrinking ones. */
static void test_strings_with_escapes_follow_each_other(void **state)
{
    (void)state;
    char text[8192] = "[", expected[4096];
    size_t used = 1;
    for (size_t n = 1; n < 64; n += 7) {
        text[used++] = '"';
        for (size_t i = 0; i < n; i++, used += 2)
            memcpy(text + used, "\\t", 2);
        text[used++] = '"';
        text[used++] = ',';
    }
    text[used - 1] = ']';
    memset(expected, '\t', sizeof expected);
    ce_json json;
    ce_json_open(&json, text, used, &error);
    ce_json_array(&json);
    for (size_t n = 1; ce_json_element(&json); n += 7) {
        ce_json_text string = ce_json_string(&json);
        assert_int_equal(string.size, n);
        assert_memory_equal(string.data, expected, n);
    }
    assert_int_equal(ce_json_close(&json), CE_OK);
}

static int integer(const char *text, int64_t min, int64_t max, int64_t *value)
{
    ce_json json;
    ce_json_open(&json, text, strlen(text), &error);
    *value = ce_json_integer(&json, min, max);
    return ce_json_close(&json);
}

static void test_integers_are_whole_and_in_range(void **state)
{
    (void)state;
    int64_t value;
    assert_int_equal(integer("-17", -17, 17, &value), CE_OK);
    assert_int_equal(value, -17);
    assert_int_equal(integer("999999999999999999", 0, INT64_MAX, &value), CE_OK);
    assert_true(value == INT64_C(999999999999999999));
    assert_int_equal(integer("-0", 0, 1, &value), CE_OK);
    assert_int_equal(value, 0);
    static const char *const refused[] = {
        "18", "-18", "1.0", "1e1", "0.5", "99999999999999999999999", "\"1\"", "true", "null"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(integer(refused[i], -17, 17, &value), CE_E_BAD_MODEL);
        assert_int_equal(value, -17);
    }
    integer("18", -17, 17, &value);
    assert_non_null(strstr(error.message, "18 is not a whole number from -17 to 17"));
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    char text[2 * (CE_JSON_DEPTH + 1)];
    size_t depth = CE_JSON_DEPTH;
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    assert_int_equal(skim(text, 2 * depth), CE_OK);
    depth++;
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    assert_int_equal(skim(text, 2 * depth), CE_E_BAD_MODEL);
    assert_non_null(strstr(error.message, "nested deeper than 64 levels"));
}

static void test_skipping_stops_where_the_value_ends(void **state)
{
    (void)state;
    static const char text[] =
        "{\"skip\": [{\"a\": [1, {}]}, \"]\"], \"take\": 7, \"rest\": \"}\"}";
    int64_t taken = 0;
    ce_json json;
    ce_json_text key;
    ce_json_open(&json, text, sizeof text - 1, &error);
    ce_json_object(&json);
    while (ce_json_member(&json, &key)) {
        if (ce_json_is(key, "take"))
            taken = ce_json_integer(&json, 0, 9);
        else
            ce_json_skip(&json);
    }
    assert_int_equal(ce_json_close(&json), CE_OK);
    assert_int_equal(taken, 7);
}

static void test_first_failure_sticks(void **state)
{
    (void)state;
    static const char text[] = "[1, x, 3]";
    ce_json json;
    ce_json_text key;
    ce_json_open(&json, text, sizeof text - 1, &error);
    ce_json_array(&json);
    assert_true(ce_json_element(&json));
    assert_int_equal(ce_json_integer(&json, 0, 9), 1);
    assert_true(ce_json_element(&json));
    assert_int_equal(ce_json_integer(&json, 5, 9), 5);
    assert_false(ce_json_element(&json));
    assert_false(ce_json_member(&json, &key));
    assert_int_equal(key.size, 0);
    assert_int_equal(ce_json_string(&json).size, 0);
    assert_int_equal(ce_json_boolean(&json), 0);
    assert_int_equal(ce_json_peek(&json), CE_JSON_NONE);
    ce_json_object(&json);
    ce_json_skip(&json);
    ce_json_null(&json);
    ce_json_fail(&json, "later");
    ce_json_stop(&json, CE_E_NO_MEMORY, "later");
    assert_int_equal(ce_json_close(&json), CE_E_BAD_MODEL);
    assert_string_equal(error.message, "line 1, column 5: expected a number");
}

static void test_reader_can_stop_for_its_own_reasons(void **state)
{
    (void)state;
    ce_json json;
    ce_json_open(&json, "[1]", 3, &error);
    ce_json_array(&json);
    ce_json_stop(&json, CE_E_UNSUPPORTED, "not this one");
    assert_false(ce_json_element(&json));
    assert_int_equal(ce_json_close(&json), CE_E_UNSUPPORTED);
    assert_string_equal(error.message, "not this one");

    ce_json_open(&json, "\n[1]", 4, NULL); /* nobody has to listen */
    ce_json_object(&json);
    assert_int_equal(ce_json_close(&json), CE_E_BAD_MODEL);
}

static void test_kinds_are_seen_before_they_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        ce_json_kind kind;
    } cases[] = {{"{}", CE_JSON_OBJECT}, {"[]", CE_JSON_ARRAY},     {"\"\"", CE_JSON_STRING},
                 {"-1", CE_JSON_NUMBER}, {"true", CE_JSON_BOOLEAN}, {"false", CE_JSON_BOOLEAN},
                 {"null", CE_JSON_NULL}, {"", CE_JSON_NONE},        {"?", CE_JSON_NONE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ce_json json;
        ce_json_open(&json, cases[i].text, strlen(cases[i].text), &error);
        assert_int_equal(ce_json_peek(&json), cases[i].kind);
        assert_int_equal(ce_json_peek(&json), cases[i].kind);
        ce_json_close(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well_formed_texts_are_read),
        cmocka_unit_test(test_malformed_texts_are_refused_with_their_place),
        cmocka_unit_test(test_every_prefix_of_a_text_is_refused),
        cmocka_unit_test(test_strings_are_decoded),
        cmocka_unit_test(test_strings_with_escapes_follow_each_other),
        cmocka_unit_test(test_integers_are_whole_and_in_range),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_skipping_stops_where_the_value_ends),
        cmocka_unit_test(test_first_failure_sticks),
        cmocka_unit_test(test_reader_can_stop_for_its_own_reasons),
        cmocka_unit_test(test_kinds_are_seen_before_they_are_read),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
