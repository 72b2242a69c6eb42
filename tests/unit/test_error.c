#include "cmocka_all.h"

#include "base/error.h"

#include <errno.h>

static void test_fail_returns_code_and_fills(void **state)
{
    (void)state;
    ce_error error;
    assert_int_equal(ce_fail(&error, CE_E_IO, "read %d of %d bytes", 3, 9), CE_E_IO);
    assert_int_equal(error.code, CE_E_IO);
    assert_int_equal(error.native_code, 0);
    assert_string_equal(error.message, "read 3 of 9 bytes");
    assert_int_equal(ce_fail(NULL, CE_E_IO, "nobody listens"), CE_E_IO);
}

static void test_message_is_one_line(void **state)
{
    (void)state;
    ce_error error;
    ce_fail(&error, CE_E_IO, "a\nb\tc\x7f");
    assert_string_equal(error.message, "a b c ");
}

static void test_cut_at_character_boundary(void **state)
{
    (void)state;
    ce_error error;
    for (int shift = 0; shift < 4; shift++) {
        char text[1200];
        memset(text, 'x', sizeof text);
        for (size_t i = (size_t)shift; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "\xF0\x9F\x98\x80", 4);
        text[sizeof text - 1] = '\0';
        ce_fail(&error, CE_E_IO, "%s", text);
        size_t length = strlen(error.message);
        assert_in_range(length, sizeof error.message - 4, sizeof error.message - 1);
        assert_int_equal((length - (size_t)shift) % 4, 0);
    }
}

static void test_message_is_utf8(void **state)
{
    (void)state;
    ce_error error;
    ce_fail(&error, CE_E_IO, "<\xFF> and <\xC3> and <\xED\xA0\x80> and \xC3\xA9");
    assert_string_equal(error.message, "<?> and <?> and <?\?\?> and \xC3\xA9");
    ce_fail(&error, CE_E_IO, "quoted and cut: \xF0\x9F\x98");
    assert_string_equal(error.message, "quoted and cut: ");
    ce_fail(&error, CE_E_IO, "%.*s ends too early", 2, "\xE2\x82\xAC");
    assert_string_equal(error.message, "?\? ends too early");
}

static void test_errno_text_and_prefix(void **state)
{
    (void)state;
    ce_error error;
    assert_int_equal(ce_fail_errno(&error, CE_E_NOT_FOUND, ENOENT, "open x"), CE_E_NOT_FOUND);
    assert_int_equal(error.native_code, ENOENT);
    assert_string_equal(error.message, "open x: No such file or directory");
    ce_error_prefix(&error, "model '%s'", "m");
    assert_string_equal(error.message, "model 'm': open x: No such file or directory");
    assert_int_equal(error.code, CE_E_NOT_FOUND);
    assert_int_equal(error.native_code, ENOENT);
}

static void test_a_long_path_leaves_room_for_the_cause(void **state)
{
    (void)state;
    ce_error error;
    char path[1200];
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    ce_fail_errno(&error, CE_E_IO, EACCES, "%s", path);
    assert_memory_equal(error.message, "xxx", 3);
    assert_non_null(strstr(error.message, "xxx...: Permission denied"));

    ce_fail(&error, CE_E_BAD_MODEL, "graph.pt is missing");
    ce_error_prefix(&error, "model '%s'", path);
    assert_memory_equal(error.message, "model 'xxx", 10);
    assert_non_null(strstr(error.message, "xxx...: graph.pt is missing"));

    ce_fail(&error, CE_E_IO, "%s", path);
    ce_error_prefix(&error, "short");
    assert_memory_equal(error.message, "short: xxx", 10);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_returns_code_and_fills),
        cmocka_unit_test(test_message_is_one_line),
        cmocka_unit_test(test_cut_at_character_boundary),
        cmocka_unit_test(test_message_is_utf8),
        cmocka_unit_test(test_errno_text_and_prefix),
        cmocka_unit_test(test_a_long_path_leaves_room_for_the_cause),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
