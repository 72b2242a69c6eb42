#include "cmocka_all.h"

#include "small_charsmap.h"
#include "tokenizer/base64.h"
#include "tokenizer/charsmap.h"

static const small_charsmap_entry entries[] = {
    {'x', ""}, {'y', "abc"}, {0xC3, "\u00E9\u00E9"}, {0xCC, ""}, {0xE0, "1"}, {'z', "2"},
};
enum { ENTRIES = sizeof entries / sizeof *entries };

typedef struct example {
    const char *text;
    size_t count;
    ce_unicode_change items[5];
} example;

/* What Hugging Face tokenizers makes of them with these entries, and where it places each scalar. */
static const example examples[] = {
    {"ab", 2, {{'a', 0}, {'b', 0}}},
    {"ayb", 5, {{'a', 0}, {'a', 0}, {'b', 1}, {'c', 1}, {'b', 0}}},
    {"axxb", 2, {{'a', -2}, {'b', 0}}},
    {"xab", 2, {{'a', 0}, {'b', 0}}}, /* nothing before it that it could count for */
    {"yxb", 4, {{'a', 0}, {'b', 1}, {'c', 0}, {'b', 0}}},
    {"\u00DF", 2, {{0xE9, 0}, {0xE9, 1}}},
    {"z\u0301", 1, {{'2', -1}}},             /* the cluster's rest is dropped, */
    {"z\u0301\u0301\u0301", 1, {{'2', -3}}}, /* and here each mark is deleted */
    {"\u0915\u0903\u0301", 2, {{'1', 0}, {'1', -1}}},
    {"\u0915\u0903", 2, {{'1', 0}, {'1', 0}}}, /* of 6 bytes */
    {"\u0915\u0301", 1, {{'1', -1}}},
};

static ce_charsmap *create(const small_charsmap_entry *list, size_t count)
{
    unsigned char blob[SMALL_CHARSMAP_TRIE + 2048];
    ce_charsmap *charsmap = NULL;
    ce_error error;
    size_t size = small_charsmap(list, count, blob);
    if (ce_charsmap_create(blob, size, &charsmap, &error) != CE_OK)
        fail_msg("%s", error.message);
    return charsmap;
}

static void test_replacements_and_places(void **state)
{
    (void)state;
    ce_charsmap *charsmap = create(entries, ENTRIES);
    ce_unicode_changes changes = {0};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const example *e = &examples[i];
        changes.count = 0;
        assert_int_equal(ce_charsmap_apply(charsmap, e->text, strlen(e->text), &changes), CE_OK);
        if (changes.count != e->count ||
            memcmp(changes.items, e->items, e->count * sizeof *e->items) != 0)
            fail_msg("example %zu: %zu scalars, U+%04X first, change %d", i, changes.count,
                     (unsigned)changes.items[0].scalar, (int)changes.items[0].change);
    }
    changes.count = 0;
    assert_int_equal(ce_charsmap_apply(charsmap, "ab\xFF", 3, &changes), CE_E_INVALID_UTF8);
    ce_unicode_changes_free(&changes);
    ce_charsmap_destroy(charsmap);
}

static void test_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t prefix;
    } cases[] = {
        {"", 0},
        {"abc", 3},
        {"\uD55C\uAD6D a", 8},
        {"abcy", 2},
        {"abc\u0302", 2},
        {"ab\n", 1}, /* a control is looked at */
        {"ab\u3042\xFF", 2},
        {"ab\u0915", 1},
    };
    ce_charsmap *charsmap = create(entries, ENTRIES);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(ce_charsmap_prefix(charsmap, cases[i].text, strlen(cases[i].text)),
                         cases[i].prefix);
    ce_charsmap_destroy(charsmap);
}

static void check_refused(const unsigned char *blob, size_t size, int status, const char *reason)
{
    ce_charsmap *charsmap = NULL;
    ce_error error;
    assert_int_equal(ce_charsmap_create(blob, size, &charsmap, &error), status);
    assert_null(charsmap);
    if (!strstr(error.message, reason))
        fail_msg("%s", error.message);
}

static void test_blobs_that_are_refused(void **state)
{
    (void)state;
    unsigned char blob[SMALL_CHARSMAP_TRIE + 2048];
    size_t size = small_charsmap(entries, ENTRIES, blob);
    check_refused(blob, 3, CE_E_BAD_MODEL, "shorter than 4 bytes");
    check_refused(blob, SMALL_CHARSMAP_TRIE - 1, CE_E_BAD_MODEL, "shorter than its trie");
    check_refused(blob, size - 6, CE_E_BAD_MODEL, "no replacement begins at byte 11 of 9");
    small_charsmap_unit(blob, 0x100 | 'x', 0x400 << 10 | 'x');
    check_refused(blob, size, CE_E_BAD_MODEL,
                  "unit 376 has children at 1400, beyond the last of 512");
    char long_replacement[1025];
    memset(long_replacement, 'a', sizeof long_replacement);
    long_replacement[1024] = 0;
    small_charsmap_entry entry = {'x', long_replacement};
    check_refused(blob, small_charsmap(&entry, 1, blob), CE_E_UNSUPPORTED, "1024 bytes or more");
    entry.replacement = long_replacement + 1;
    ce_charsmap_destroy(create(&entry, 1));
}

/* A unit that is its own child, for every byte that it is asked for. */
static void test_a_trie_without_an_end(void **state)
{
    (void)state;
    unsigned char blob[SMALL_CHARSMAP_TRIE];
    small_charsmap(NULL, 0, blob);
    small_charsmap_unit(blob, 0x100 | 'a', 'a' << 10 | 'a'); /* its child for 'a' is itself */
    ce_charsmap *charsmap = NULL;
    ce_unicode_changes changes = {0};
    assert_int_equal(ce_charsmap_create(blob, sizeof blob, &charsmap, NULL), CE_OK);
    assert_int_equal(ce_charsmap_apply(charsmap, "aaaaaaaa", 8, &changes), CE_OK);
    assert_int_equal(changes.count, 8);
    ce_unicode_changes_free(&changes);
    ce_charsmap_destroy(charsmap);
}

/* A NUL ends a key, as in the C strings that SentencePiece made the trie for. */
static void test_nul_is_never_replaced(void **state)
{
    (void)state;
    unsigned char blob[SMALL_CHARSMAP_TRIE + 16];
    size_t size = small_charsmap(entries + 4, 1, blob);
    small_charsmap_unit(blob, 0x100, 0x101 << 10 | 1 << 8); /* the root's child for NUL */
    small_charsmap_unit(blob, 0x001, 1u << 31);
    ce_charsmap *charsmap = NULL;
    ce_unicode_changes changes = {0};
    assert_int_equal(ce_charsmap_create(blob, size, &charsmap, NULL), CE_OK);
    assert_int_equal(ce_charsmap_apply(charsmap, "\0a", 2, &changes), CE_OK);
    assert_int_equal(changes.count, 2);
    assert_int_equal(changes.items[0].scalar, 0);
    ce_unicode_changes_free(&changes);
    ce_charsmap_destroy(charsmap);
}

static void test_base64(void **state)
{
    (void)state;
    /* RFC 4648, 10, and both digits that are no letters. */
    static const char *const good[][2] = {
        {"", ""},
        {"Zg==", "f"},
        {"Zm8=", "fo"},
        {"Zm9v", "foo"},
        {"Zm9vYg==", "foob"},
        {"Zm9vYmE=", "fooba"},
        {"Zm9vYmFy", "foobar"},
        {"++//", "\xFB\xEF\xFF"},
    };
    static const char *const bad[] = {
        "A", "AA", "A===", "====", "AB==", "AAB=", "AA=A", "AA A", "_-8=", "AA==AAAA", "AAA\n"};
    unsigned char out[16];
    size_t decoded;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t size = strlen(good[i][0]);
        assert_true(ce_base64_room(size) >= strlen(good[i][1]));
        assert_true(ce_base64_decode(good[i][0], size, out, &decoded));
        assert_int_equal(decoded, strlen(good[i][1]));
        assert_memory_equal(out, good[i][1], decoded);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(ce_base64_decode(bad[i], strlen(bad[i]), out, &decoded));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replacements_and_places),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_blobs_that_are_refused),
        cmocka_unit_test(test_a_trie_without_an_end),
        cmocka_unit_test(test_nul_is_never_replaced),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests_name("charsmap", tests, NULL, NULL);
}
