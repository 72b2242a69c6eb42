#include "cmocka_all.h"

#include "base/error.h"
#include "base/mem.h"
#include "unicode/grapheme.h"
#include "unicode/normal_form.h"

typedef struct example {
    ce_normal_form form;
    const char *text;
    size_t count;
    ce_unicode_change items[4];
} example;

/* What Hugging Face tokenizers makes of them, and where it places each scalar. */
static const example examples[] = {
    {CE_NFD, "\u00E9", 2, {{'e', 0}, {0x301, 1}}},
    {CE_NFC, "e\u0301", 1, {{0xE9, -1}}},
    {CE_NFD, "q\u0307\u0323", 3, {{'q', 0}, {0x323, 0}, {0x307, 0}}},
    {CE_NFC, "e\u0307\u0323", 2, {{0x1EB9, -1}, {0x307, 0}}},
    {CE_NFC, "e\u0316\u0301\u0301", 3, {{0xE9, -1}, {0x316, 0}, {0x301, 0}}},
    {CE_NFC, "e\u0305\u0301", 3, {{'e', 0}, {0x305, 0}, {0x301, 0}}}, /* blocked */
    {CE_NFD, "e\u0323\u0316", 3, {{'e', 0}, {0x323, 0}, {0x316, 0}}}, /* of one class */
    {CE_NFC, "\u0301\u0301a", 3, {{0x301, 0}, {0x301, 0}, {'a', 0}}},
    {CE_NFC, "\u0958", 2, {{0x915, 0}, {0x93C, 1}}}, /* excluded from composition */
    {CE_NFC, "a\u0315\u0300\u05AEb", 4, {{0xE0, -1}, {0x5AE, 0}, {0x315, 0}, {'b', 0}}},
    {CE_NFD, "\U0001D16D\u302E", 2, {{0x302E, 0}, {0x1D16D, 0}}},
    {CE_NFKC, "\uFB01x", 3, {{'f', 0}, {'i', 1}, {'x', 0}}},
    {CE_NFKD, "\u1E9B\u0323", 3, {{'s', 0}, {0x323, 0}, {0x307, 1}}},
    {CE_NFKC, "\u1E9B\u0323", 1, {{0x1E69, -1}}},
    {CE_NFC, "\u1E9B\u0323", 2, {{0x1E9B, 0}, {0x323, 0}}},
    {CE_NFKC, "\uFF76\uFF9E", 1, {{0x30AC, -1}}},
    {CE_NFD, "\uD4DB", 3, {{0x1111, 0}, {0x1171, 1}, {0x11B6, 1}}},
    {CE_NFC, "\u1111\u1171\u11B6", 1, {{0xD4DB, -2}}},
    {CE_NFC, "\u1100\uAC00\u11A8", 2, {{0x1100, 0}, {0xAC01, -1}}},
    {CE_NFC, "\U00011935\U00011930", 2, {{0x11935, 0}, {0x11930, 0}}}, /* newer than Unicode 12.1 */
};

static void test_forms_and_places(void **state)
{
    (void)state;
    ce_unicode_changes changes = {0};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const example *e = &examples[i];
        changes.count = 0;
        assert_int_equal(ce_unicode_normal_form(e->form, e->text, strlen(e->text), &changes),
                         CE_OK);
        if (changes.count != e->count ||
            memcmp(changes.items, e->items, e->count * sizeof *e->items) != 0)
            fail_msg("example %zu: %zu scalars, U+%04X first, change %d", i, changes.count,
                     (unsigned)changes.items[0].scalar, (int)changes.items[0].change);
    }
    ce_unicode_changes_free(&changes);
}

static void test_texts_are_appended(void **state)
{
    (void)state;
    ce_unicode_changes changes = {0};
    assert_int_equal(ce_unicode_normal_form(CE_NFC, "e", 1, &changes), CE_OK);
    assert_int_equal(ce_unicode_normal_form(CE_NFC, "\u0301", 2, &changes), CE_OK);
    assert_int_equal(changes.count, 2); /* what is there already is not composed with */
    assert_int_equal(ce_unicode_normal_form(CE_NFC, "ab\xFF", 3, &changes), CE_E_INVALID_UTF8);
    assert_int_equal(changes.count, 2);
    ce_unicode_changes_free(&changes);
}

/* Every other mark of a long run belongs before all the others; time in proportion to the square of them would not
 * come to an end. The memory for it is there when the next text comes. */
static void test_long_run_of_marks(void **state)
{
    (void)state;
    enum { PAIRS = 500000, SIZE = 1 + 4 * PAIRS };
    char *text = ce_malloc(SIZE);
    assert_non_null(text);
    text[0] = 'b';
    for (size_t i = 0; i < PAIRS; i++)
        memcpy(text + 1 + 4 * i, "\u0301\u0323", 4);
    ce_unicode_changes changes = {0};
    assert_int_equal(ce_unicode_normal_form(CE_NFC, text, SIZE, &changes), CE_OK);
    assert_int_equal(changes.count, 2 * PAIRS);
    assert_int_equal(changes.items[0].scalar, 0x1E05);
    assert_int_equal(changes.items[1].scalar, 0x323);
    assert_int_equal(changes.items[PAIRS - 1].scalar, 0x323);
    assert_int_equal(changes.items[PAIRS].scalar, 0x301);
    const ce_unicode_change *items = changes.items;
    changes.count = 0;
    assert_int_equal(ce_unicode_normal_form(CE_NFC, text, SIZE, &changes), CE_OK);
    assert_ptr_equal(changes.items, items);
    ce_unicode_changes_free(&changes);
    ce_free(text);
}

static void test_prefix(void **state)
{
    (void)state;
    static const struct {
        ce_normal_form form;
        const char *text;
        size_t prefix;
    } cases[] = {
        {CE_NFC, "", 0},
        {CE_NFC, "plain text, longer than a word", 30},
        {CE_NFC, "plain text \u00E9 \uD55C\uAD6D\uC5B4", 23},
        {CE_NFC, "abcde\u0301", 4}, /* e may change, what is before it not */
        {CE_NFC, "abcdefgh\u0301", 7},
        {CE_NFC, "ab\u0301\u0323", 1},
        {CE_NFC, "x\u05B0\u05B1 y", 7}, /* marks in order */
        {CE_NFC, "wx\u05B1\u05B0 y", 1},
        {CE_NFC, "\u1111\u1171", 0},
        {CE_NFD, "ab\u00E9", 1},
        {CE_NFD, "ab\u0323\u0301c", 7},
        {CE_NFKC, "a \uFB01", 1},
        {CE_NFC, "a \uFB01", 5},
        {CE_NFC, "ab\xFFtext", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            ce_unicode_normal_prefix(cases[i].form, cases[i].text, strlen(cases[i].text)),
            cases[i].prefix);
}

/* Clusters of UAX #29, each followed by something that is none of it. */
static void test_grapheme_clusters(void **state)
{
    (void)state;
    static const struct {
        const char *cluster, *behind;
    } cases[] = {
        {"a", "b"},
        {"\r\n", "\u0301"},
        {"\n", "\u0301"},
        {"e\u0301\u200D", "\u00A9"},
        {"\u0600a", "b"},
        {"\u0915\u0903", "a"},
        {"\u1100\uAC00\u11A8", "\uAC00"},
        {"\uAC01\u11A8", "\u1161"},
        {"\U0001F1E6\U0001F1E6", "\U0001F1E6"}, /* regional indicators pair up */
        {"\U0001F1E6\u0301", "\U0001F1E6"},
        {"\u00A9\u0301\u200D\u00A9\u200D\u00A9", "\u00A9"},
        {"\u00A9\u200D\u200D", "\u00A9"},
        {"\u00A9\u200C\u094D\u200D\u00A9", "a"},
        {"\u0915\u094D\u0924", "\u0924"},
        {"\u0915\u093C\u094D\u200D\u0924", "a"},
        {"\u0915\u094D\u200C", "\u0924"}, /* the non-joiner ends a conjunct */
        {"\u094D", "\u0924"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        size_t size = strlen(cases[i].cluster), behind = strlen(cases[i].behind);
        memcpy(text, cases[i].cluster, size);
        memcpy(text + size, cases[i].behind, behind);
        if (ce_unicode_grapheme(text, size + behind) != size ||
            ce_unicode_grapheme(text, size) != size)
            fail_msg("case %zu: %zu bytes", i, ce_unicode_grapheme(text, size + behind));
    }
    assert_int_equal(ce_unicode_grapheme("a\xCC", 2), 1);
    assert_int_equal(ce_unicode_grapheme("\xCC", 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_and_places),  cmocka_unit_test(test_texts_are_appended),
        cmocka_unit_test(test_long_run_of_marks), cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_grapheme_clusters),
    };
    return cmocka_run_group_tests_name("normal_form", tests, NULL, NULL);
}
