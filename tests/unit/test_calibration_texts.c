#include "cmocka_all.h"

#include "calibration_texts.h"
#include "unicode/utf8.h"

#include <string.h>

enum { ALL = CE_CALIBRATION_TEXTS + CE_EVALUATION_TEXTS, WORDS_MAX = 200 };

static const char *text_at(size_t i)
{
    return i < CE_CALIBRATION_TEXTS ? ce_calibration_texts[i]
                                    : ce_evaluation_texts[i - CE_CALIBRATION_TEXTS];
}

static void assert_utf8(const char *text)
{
    size_t size = strlen(text), at = 0;
    while (at < size) {
        uint32_t scalar;
        size_t bytes = ce_utf8_decode(text + at, size - at, &scalar);
        assert_true(bytes > 0);
        at += bytes;
    }
}

static void test_all_are_utf8_of_1_to_200_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL; i++) {
        const char *text = text_at(i);
        assert_non_null(text);
        size_t words = 1;
        for (const char *at = text; *at; at++)
            words += *at == ' ' || *at == '\n';
        assert_true(*text && words <= WORDS_MAX);
        assert_utf8(text);
    }
}

static void test_all_differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(text_at(i), text_at(j));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_are_utf8_of_1_to_200_words),
        cmocka_unit_test(test_all_differ),
    };
    return cmocka_run_group_tests_name("calibration_texts", tests, NULL, NULL);
}
