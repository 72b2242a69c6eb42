#include "cmocka_all.h"

#include "unicode/unicode.h"
#include "unicode/utf8.h"

enum { SCALARS = 0x110000 };

static int is_scalar(uint32_t code)
{
    return code < SCALARS && (code < 0xD800 || code > 0xDFFF);
}

static void test_every_scalar_survives_encoding(void **state)
{
    (void)state;
    for (uint32_t scalar = 0; scalar < SCALARS; scalar++) {
        if (!is_scalar(scalar))
            continue;
        char text[4];
        uint32_t decoded = SCALARS;
        size_t bytes = ce_utf8_encode(scalar, text);
        if (ce_utf8_decode(text, bytes, &decoded) != bytes || decoded != scalar ||
            ce_utf8_last(text, bytes) != scalar)
            fail_msg("U+%04X becomes U+%04X", (unsigned)scalar, (unsigned)decoded);
        for (size_t cut = 1; cut < bytes; cut++)
            assert_int_equal(ce_utf8_decode(text, cut, &decoded), 0);
    }
}

/* Among all sequences of two bytes, and of three and four with the edges of each range behind them, those that decode
 * are those that encoding makes. */
static void test_nothing_else_is_well_formed(void **state)
{
    (void)state;
    static const unsigned char edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90,
                                          0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    for (unsigned first = 0x80; first < 0x100; first++) {
        for (unsigned second = 0; second < 0x100; second++) {
            for (unsigned rest = 0; rest < sizeof edges * sizeof edges; rest++) {
                const unsigned char bytes[4] = {(unsigned char)first, (unsigned char)second,
                                                edges[rest % sizeof edges],
                                                edges[rest / sizeof edges]};
                char again[4];
                uint32_t scalar = 0;
                size_t size = ce_utf8_decode((const char *)bytes, 4, &scalar);
                if (size > 0 && (!is_scalar(scalar) || ce_utf8_encode(scalar, again) != size ||
                                 memcmp(again, bytes, size) != 0))
                    fail_msg("%02X %02X %02X %02X was read as U+%04X", bytes[0], bytes[1], bytes[2],
                             bytes[3], (unsigned)scalar);
            }
        }
    }
}

static void test_last_character_of_a_text(void **state)
{
    (void)state;
    assert_int_equal(ce_utf8_last("", 0), 0xFFFD);
    assert_int_equal(ce_utf8_last("ab", 2), 'b');
    assert_int_equal(ce_utf8_last("a\xC3\xA9", 3), 0xE9);
    assert_int_equal(ce_utf8_last("a\xC3", 2), 0xFFFD);
    assert_int_equal(ce_utf8_last("\xA9", 1), 0xFFFD);
    assert_int_equal(ce_utf8_last("\x80\x80\x80\x80\x80", 5), 0xFFFD);
}

static uint32_t flags(uint32_t scalar)
{
    return ce_unicode_find(scalar)->flags;
}

static void test_flags_of_known_scalars(void **state)
{
    (void)state;
    static const struct {
        uint32_t scalar;
        uint32_t set, clear;
    } cases[] = {
        {0x0000, CE_UNICODE_CONTROL, CE_UNICODE_WHITE | CE_UNICODE_WORD},
        {'\t', CE_UNICODE_WHITE, CE_UNICODE_CONTROL}, /* white space for the tokenizers */
        {0x200B, CE_UNICODE_CONTROL, CE_UNICODE_WHITE},
        {0x00A0, CE_UNICODE_WHITE, CE_UNICODE_WORD},
        {0x3000, CE_UNICODE_WHITE, CE_UNICODE_CJK},
        {'a', CE_UNICODE_WORD, CE_UNICODE_PUNCTUATION | CE_UNICODE_WHITE},
        {'_', CE_UNICODE_WORD | CE_UNICODE_PUNCTUATION, 0},
        {'$', CE_UNICODE_PUNCTUATION, CE_UNICODE_WORD},
        {0x201C, CE_UNICODE_PUNCTUATION, CE_UNICODE_WORD},
        {0x4E00, CE_UNICODE_CJK | CE_UNICODE_WORD, CE_UNICODE_PUNCTUATION},
        {0x20000, CE_UNICODE_CJK, 0},
        {0x3042, CE_UNICODE_WORD, CE_UNICODE_CJK}, /* Hiragana is no ideograph */
        {0xAC00, CE_UNICODE_WORD, CE_UNICODE_CJK},
        {0x0301, CE_UNICODE_MARK, CE_UNICODE_WHITE},
        {0x10FFFF, 0, CE_UNICODE_WHITE | CE_UNICODE_WORD | CE_UNICODE_CJK},
        {'A', CE_UNICODE_UPPERCASE | CE_UNICODE_SAFE, CE_UNICODE_LOWERCASE},
        {0x00DF, CE_UNICODE_LOWERCASE, CE_UNICODE_UPPERCASE},
        {0x01C5, CE_UNICODE_TITLECASE, CE_UNICODE_UPPERCASE | CE_UNICODE_LOWERCASE},
        {0x02B0, CE_UNICODE_MODIFIER, CE_UNICODE_OTHER_LETTER},
        {0x4E00, CE_UNICODE_OTHER_LETTER | CE_UNICODE_SAFE, CE_UNICODE_MODIFIER},
        {0x0903, CE_UNICODE_COMBINING | CE_UNICODE_ACCENT, CE_UNICODE_MARK | CE_UNICODE_LETTER},
        {0x00BD, CE_UNICODE_NUMBER | CE_UNICODE_NUMERIC, CE_UNICODE_LETTER},
        {0x11DE0, CE_UNICODE_NUMERIC, CE_UNICODE_NUMBER}, /* newer than the patterns */
        {'$', CE_UNICODE_SYMBOL, CE_UNICODE_PUNCTUATION_CLASS},
        {'_', CE_UNICODE_PUNCTUATION_CLASS, CE_UNICODE_SYMBOL | CE_UNICODE_SAFE},
        {0x00E9, CE_UNICODE_NOT_NFD | CE_UNICODE_NOT_NFKD, CE_UNICODE_NOT_NFC | CE_UNICODE_SAFE},
        {0xFB01, CE_UNICODE_NOT_NFKC, CE_UNICODE_NOT_NFC | CE_UNICODE_NOT_NFD},
        {0x0958, CE_UNICODE_NOT_NFC, CE_UNICODE_SAFE}, /* excluded from composition */
        {0x0301, CE_UNICODE_SECOND, CE_UNICODE_NOT_NFC | CE_UNICODE_SAFE},
        {0x1161, CE_UNICODE_SECOND, CE_UNICODE_SAFE},
        {0xAC00, CE_UNICODE_SAFE | CE_UNICODE_NOT_NFD, CE_UNICODE_NOT_NFC},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t found = flags(cases[i].scalar);
        if ((found & cases[i].set) != cases[i].set || found & cases[i].clear)
            fail_msg("U+%04X has flags 0x%06x", (unsigned)cases[i].scalar, (unsigned)found);
    }
}

static size_t form_bytes(uint16_t form)
{
    const uint32_t *sequence = ce_unicode_sequences + form;
    size_t bytes = 0;
    for (uint32_t i = 1; form && i <= sequence[0]; i++) {
        char text[4];
        assert_true(is_scalar(sequence[i]));
        bytes += ce_utf8_encode(sequence[i], text);
    }
    return bytes;
}

/* The normalizer makes room for 16 bytes a scalar and for no more. */
static void test_forms_are_at_most_16_bytes(void **state)
{
    (void)state;
    for (uint32_t scalar = 0; scalar < SCALARS; scalar++) {
        const ce_unicode_record *record = ce_unicode_find(scalar);
        assert_true(form_bytes(record->lower) <= 16);
        assert_true(form_bytes(record->stripped) <= 16);
        assert_true(form_bytes(record->stripped_lower) <= 16);
    }
}

static void check_form(uint16_t form, const uint32_t *expected, uint32_t count)
{
    assert_true(form);
    assert_int_equal(ce_unicode_sequences[form], count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(ce_unicode_sequences[form + 1 + i], expected[i]);
}

static void test_forms_of_known_scalars(void **state)
{
    (void)state;
    check_form(ce_unicode_find('A')->lower, (const uint32_t[]){'a'}, 1);
    check_form(ce_unicode_find(0x0130)->lower, (const uint32_t[]){'i', 0x0307}, 2);
    check_form(ce_unicode_find(0x00C9)->stripped, (const uint32_t[]){'E'}, 1);
    check_form(ce_unicode_find(0x00C9)->stripped_lower, (const uint32_t[]){'e'}, 1);
    check_form(ce_unicode_find(0x10400)->lower, (const uint32_t[]){0x10428}, 1);
    assert_int_equal(ce_unicode_find('a')->lower, 0);
    assert_int_equal(ce_unicode_find('a')->stripped, 0);
}

/* The standard's example, both kinds of syllable, and the scalars beside the block. */
static void test_hangul_syllables_decompose(void **state)
{
    (void)state;
    uint32_t jamo[3];
    assert_int_equal(ce_unicode_hangul(0xD4DB, jamo), 3);
    assert_int_equal(jamo[0], 0x1111);
    assert_int_equal(jamo[1], 0x1171);
    assert_int_equal(jamo[2], 0x11B6);
    assert_int_equal(ce_unicode_hangul(0xAC00, jamo), 2);
    assert_int_equal(jamo[0], 0x1100);
    assert_int_equal(jamo[1], 0x1161);
    assert_int_equal(ce_unicode_hangul(0xD7A3, jamo), 3);
    assert_int_equal(ce_unicode_hangul(0xABFF, jamo), 0);
    assert_int_equal(ce_unicode_hangul(0xD7A4, jamo), 0);
}

static void test_pairs_compose(void **state)
{
    (void)state;
    assert_int_equal(ce_unicode_compose('e', 0x0301), 0xE9);
    assert_int_equal(ce_unicode_compose(0x00FC, 0x0304), 0x01D6);
    assert_int_equal(ce_unicode_compose(0x11131, 0x11127), 0x1112E);
    assert_int_equal(ce_unicode_compose(0x0915, 0x093C), 0);   /* U+0958 is excluded */
    assert_int_equal(ce_unicode_compose(0x11935, 0x11930), 0); /* U+11938 is too new */
    assert_int_equal(ce_unicode_compose('b', 0x0301), 0);
    assert_int_equal(ce_unicode_compose(0x1111, 0x1171), 0xD4CC);
    assert_int_equal(ce_unicode_compose(0xD4CC, 0x11B6), 0xD4DB);
    assert_int_equal(ce_unicode_compose(0xD4CC, 0x11A7), 0);
    assert_int_equal(ce_unicode_compose(0xD4DB, 0x11B6), 0);
    assert_int_equal(ce_unicode_compose(0x1113, 0x1161), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_scalar_survives_encoding),
        cmocka_unit_test(test_nothing_else_is_well_formed),
        cmocka_unit_test(test_last_character_of_a_text),
        cmocka_unit_test(test_flags_of_known_scalars),
        cmocka_unit_test(test_forms_are_at_most_16_bytes),
        cmocka_unit_test(test_forms_of_known_scalars),
        cmocka_unit_test(test_hangul_syllables_decompose),
        cmocka_unit_test(test_pairs_compose),
    };
    return cmocka_run_group_tests_name("unicode", tests, NULL, NULL);
}
