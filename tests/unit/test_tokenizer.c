#include "cmocka_all.h"

#include "small_tokenizer.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

enum { CLS = 2, SEP = 3 };

static ce_error error;
static ce_tokenizer_scratch *scratch;
static ce_tokenizer *plain, *with_normalized;

static ce_tokenizer *create(const char *json)
{
    ce_tokenizer *tokenizer;
    int status = ce_tokenizer_create(json, strlen(json), &tokenizer, &error);
    if (status != CE_OK)
        fail_msg("%d %s", status, error.message);
    return tokenizer;
}

static int set_up(void **state)
{
    (void)state;
    plain = create(SMALL_TOKENIZER(SMALL_ADDED_RAW));
    with_normalized = create(SMALL_TOKENIZER(SMALL_ADDED_RAW SMALL_ADDED_NORMALIZED));
    return ce_tokenizer_scratch_create(&scratch, &error);
}

static int tear_down(void **state)
{
    (void)state;
    ce_tokenizer_destroy(plain);
    ce_tokenizer_destroy(with_normalized);
    ce_tokenizer_scratch_destroy(scratch);
    return 0;
}

static ce_encoding encode(const ce_tokenizer *tokenizer, const char *text, size_t size,
                          ce_encode_options options)
{
    ce_encoding encoding;
    int status = ce_tokenizer_encode(tokenizer, scratch, text, size, &options, &encoding, &error);
    if (status != CE_OK)
        fail_msg("%zu bytes: %d %s", size, status, error.message);
    return encoding;
}

/* ---- Ids ---------------------------------------------------------------------------------- */

typedef struct vector {
    const char *text;
    size_t size;
    int32_t ids[20]; /* between [CLS] and [SEP] */
    size_t count;
} vector;

/* What tokenizers 0.23.3 gives for SMALL_TOKENIZER(SMALL_ADDED_RAW). */
static const vector vectors[] = {
    {"", 0, {0}, 0},
    {" \t\n", 3, {0}, 0},
    {"the quick brown foxes jumped over the lazy dogs.",
     48,
     {5, 6, 7, 8, 9, 10, 11, 12, 5, 13, 14, 15, 31},
     13},
    {"Unaffable", 9, {16, 17, 18}, 3},
    {"UNAFFABLE!", 10, {16, 17, 18, 32}, 4},
    {"Caf\xC3\xA9, na\xC3\xAFve", 13, {19, 30, 20, 21}, 4},
    {"cafe\xCC\x81", 6, {19}, 1},
    {"the\xE2\x80\x8B"
     "fox",
     9,
     {1},
     1},
    {"the\xC2\xA0"
     "fox",
     8,
     {5, 8},
     2},
    {"\xE6\x9D\xB1\xE4\xBA\xAC\xE3\x81\xAE", 9, {40, 41, 1}, 3},
    {"\xD0\xBF\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82", 12, {42, 43}, 2},
    {"\xCE\xA3\xCE\xA3 \xCF\x82 \xCF\x83\xCF\x82", 12, {1, 1, 44, 45}, 4},
    {"\xC3\x9F", 2, {46}, 1},
    {"\xED\x95\x9C", 3, {47, 48, 49}, 3},
    {"\xF0\x9F\x98\x80\xF0\x9F\x98\x80", 8, {50, 51}, 2},
    {"123 12 1a", 9, {29, 28, 29, 26, 23}, 5},
    {"aaa aaaa", 8, {24, 23, 24, 23, 23}, 5},
    {"aaaaaaaaaaaaaaaaaaaa",
     20,
     {24, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23},
     19},
    {"aaaaaaaaaaaaaaaaaaaaa", 21, {1}, 1},
    {"xyz", 3, {1}, 1},
    {"[MASK] the [SEP]", 16, {4, 5, 3}, 3},
    {"the  [MASK]fox", 14, {5, 4, 8}, 3},
    {"[mask]", 6, {37, 53, 38}, 3},
    {"## #", 4, {35, 35, 35}, 3},
    {"fox-dog's", 9, {8, 33, 14, 34, 1}, 5},
    {"a\x00"
     "b",
     3,
     {1},
     1},
    {"<raw> fox", 9, {55, 8}, 2},
    {"a<raw>fox", 9, {22, 1, 1, 1, 8}, 5},
    {"fox <raw>   fox", 15, {8, 55, 8}, 3},
    {"<raw>", 5, {55}, 1},
    {"\xC3\xA9mile \xC3\x89MILE Emile", 19, {54, 54, 54}, 3},
    {"E\xCC\x81mile", 7, {54}, 1},
    {"foxemilefox", 11, {1}, 1},
    {"\xC4\xB0 i\xCC\x87", 6, {52, 52}, 2},
    {"\xEF\xBF\xBD", 3, {0}, 0},
    {"a_b", 3, {22, 39, 25}, 3},
    {"the\xCC\x81\xCC\xA3"
     "fox",
     10,
     {1},
     1},
};

/* Where SMALL_ADDED_NORMALIZED is there too. */
static const vector normalized_vectors[] = {
    {"<raw> fox", 9, {55, 8}, 2},
    {"\xC3\xA9mile \xC3\x89MILE Emile", 19, {56, 56, 56}, 3},
    {"E\xCC\x81mile", 7, {56}, 1},
    {"foxemilefox", 11, {8, 56, 8}, 3},
    {"the\xCC\x81\xCC\xA3"
     "fox",
     10,
     {1},
     1},
};

static void check(const ce_tokenizer *tokenizer, const vector *v)
{
    ce_encoding e = encode(tokenizer, v->text, v->size, (ce_encode_options){0});
    int same = e.count == v->count + 2 && e.ids[0] == CLS && e.ids[e.count - 1] == SEP &&
               memcmp(e.ids + 1, v->ids, v->count * sizeof *v->ids) == 0;
    if (!same)
        fail_msg("\"%s\" gives %zu ids, the first being %d, expected %zu and %d", v->text, e.count,
                 (int)e.ids[1], v->count + 2, (int)v->ids[0]);
    assert_false(e.truncated);
}

static void test_ids_are_those_of_tokenizers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check(plain, &vectors[i]);
    for (size_t i = 0; i < sizeof normalized_vectors / sizeof *normalized_vectors; i++)
        check(with_normalized, &normalized_vectors[i]);
}

static void test_sizes_of_the_tokenizer(void **state)
{
    (void)state;
    assert_int_equal(ce_tokenizer_vocab_size(plain), 56);
    assert_int_equal(ce_tokenizer_vocab_size(with_normalized), 57);
    assert_int_equal(ce_tokenizer_special_count(plain), 2);
}

static void test_specials_can_be_left_out(void **state)
{
    (void)state;
    ce_encoding e = encode(plain, "the fox", 7, (ce_encode_options){.no_specials = 1});
    assert_int_equal(e.count, 2);
    assert_int_equal(e.ids[0], 5);
    assert_int_equal(e.ids[1], 8);
    assert_int_equal(encode(plain, NULL, 0, (ce_encode_options){.no_specials = 1}).count, 0);
}

/* Bytes are read in chunks; what lies across their edge must not change. */
static void test_long_texts_are_the_sum_of_their_words(void **state)
{
    (void)state;
    enum { WORDS = 2000 };
    static const char word[] = "Unaff\xC3\xA4"
                               "ble ";
    static char text[WORDS * sizeof word + 8];
    for (size_t shift = 0; shift < 8; shift++) {
        size_t size = 0;
        for (; size < shift; size++)
            text[size] = ' ';
        for (size_t i = 0; i < WORDS; i++, size += sizeof word - 1)
            memcpy(text + size, word, sizeof word - 1);
        const ce_tokenizer *both[] = {plain, with_normalized};
        for (size_t t = 0; t < 2; t++) {
            ce_encoding e = encode(both[t], text, size, (ce_encode_options){.no_specials = 1});
            assert_int_equal(e.count, 3 * WORDS);
            for (size_t i = 0; i < e.count; i++)
                assert_int_equal(e.ids[i], 16 + i % 3);
        }
    }
}

/* ---- Limits and prompts ------------------------------------------------------------------- */

static void test_truncation_keeps_the_beginning(void **state)
{
    (void)state;
    static const char text[] = "the <raw> unaffable [MASK] fox!";
    const ce_tokenizer *both[] = {plain, with_normalized};
    for (size_t t = 0; t < 2; t++) {
        int32_t whole[64];
        ce_encoding e = encode(both[t], text, sizeof text - 1, (ce_encode_options){0});
        size_t count = e.count;
        memcpy(whole, e.ids, count * sizeof *whole);
        for (size_t limit = 2; limit <= count + 2; limit++) {
            e = encode(both[t], text, sizeof text - 1, (ce_encode_options){.max_tokens = limit});
            size_t expected = limit < count ? limit : count;
            assert_int_equal(e.count, expected);
            assert_int_equal(e.truncated, limit < count);
            assert_memory_equal(e.ids, whole, (expected - 1) * sizeof *whole);
            assert_int_equal(e.ids[expected - 1], SEP);
        }
    }
}

/* The only token of its kind, so that its first byte is searched for: what begins before the end of what can be searched,
 * and stands in a word, ends behind it. */
static void test_an_added_token_in_a_word_across_windows(void **state)
{
    (void)state;
    ce_tokenizer *alone = create(SMALL_TOKENIZER(SMALL_ADDED_ALONE));
    for (size_t at = 990; at < 1024; at++) {
        char *text = malloc(2048);
        memset(text, 'a', 2048);
        for (size_t i = 10; i < at; i += 20)
            text[i] = ' ';
        memcpy(text + at, "foxes", 5);
        assert_true(encode(alone, text, 2048, (ce_encode_options){0}).count > 10);
        free(text);
    }
    ce_tokenizer_destroy(alone);
}

static void test_limit_below_the_specials_is_refused(void **state)
{
    (void)state;
    ce_encode_options options = {.max_tokens = 1};
    ce_encoding e;
    assert_int_equal(ce_tokenizer_encode(plain, scratch, "fox", 3, &options, &e, &error),
                     CE_E_INVALID_ARGUMENT);
    assert_string_equal(error.message, "max_tokens is 1, below the 2 special tokens");
    options.no_specials = 1;
    assert_int_equal(ce_tokenizer_encode(plain, scratch, "fox", 3, &options, &e, &error), CE_OK);
}

static void test_prompt_and_text_are_one_string(void **state)
{
    (void)state;
    static const char whole[] = "the <raw>\xC3\xA9mile unaffable";
    for (size_t cut = 0; cut < sizeof whole - 1; cut++) {
        if (((unsigned char)whole[cut] & 0xC0) == 0x80)
            continue;
        int32_t ids[64];
        ce_encoding e = encode(with_normalized, whole, sizeof whole - 1, (ce_encode_options){0});
        size_t count = e.count;
        memcpy(ids, e.ids, count * sizeof *ids);
        e = encode(with_normalized, whole + cut, sizeof whole - 1 - cut,
                   (ce_encode_options){.prompt = whole, .prompt_length = cut});
        assert_int_equal(e.count, count);
        assert_memory_equal(e.ids, ids, count * sizeof *ids);
    }
    assert_int_equal(
        encode(plain, NULL, 0, (ce_encode_options){.prompt = "fox", .prompt_length = 3}).count, 3);
}

/* ---- Invalid UTF-8 ------------------------------------------------------------------------ */

static void refuse_text(const char *text, size_t size, ce_encode_options options,
                        const char *message)
{
    const ce_tokenizer *both[] = {plain, with_normalized};
    for (size_t t = 0; t < 2; t++) {
        ce_encoding e;
        assert_int_equal(ce_tokenizer_encode(both[t], scratch, text, size, &options, &e, &error),
                         CE_E_INVALID_UTF8);
        assert_string_equal(error.message, message);
    }
}

static void test_invalid_utf8_is_named_by_its_place(void **state)
{
    (void)state;
    static const ce_encode_options none = {0};
    refuse_text("\xFF", 1, none, "invalid UTF-8 at byte 0");
    refuse_text("fox \xC3", 5, none, "invalid UTF-8 at byte 4");
    refuse_text("fox \xED\xA0\x80", 7, none, "invalid UTF-8 at byte 4");
    refuse_text("[MASK]<raw> \x80", 13, none, "invalid UTF-8 at byte 12");
    refuse_text("fox \xFF", 5, (ce_encode_options){.prompt = "the ", .prompt_length = 4},
                "invalid UTF-8 at byte 4");
    refuse_text("fox", 3, (ce_encode_options){.prompt = "\xC3 ", .prompt_length = 2},
                "invalid UTF-8 at byte 0 of the prompt");
    static char text[5000];
    for (size_t place = 500; place < sizeof text; place += 499) {
        char message[64];
        memset(text, ' ', sizeof text);
        text[place] = '\xC3';
        snprintf(message, sizeof message, "invalid UTF-8 at byte %zu", place);
        refuse_text(text, sizeof text, none, message);
    }
}

static void test_nothing_is_read_far_behind_the_limit(void **state)
{
    (void)state;
    static char text[100000];
    memset(text, '!', sizeof text);
    text[sizeof text - 1] = '\xFF';
    ce_encoding e = encode(plain, text, sizeof text, (ce_encode_options){.max_tokens = 10});
    assert_int_equal(e.count, 10);
    assert_true(e.truncated);
}

static void expect_same(const ce_tokenizer *tokenizer, const char *text, size_t size, size_t prompt)
{
    ce_encode_options options = {.max_tokens = 4};
    ce_encoding whole = encode(tokenizer, text, size, options);
    const int32_t ids[2] = {whole.ids[1], whole.ids[2]};
    assert_true(whole.count == 4 && whole.truncated);
    options.prompt = text;
    options.prompt_length = prompt;
    ce_encoding split = encode(tokenizer, text + prompt, size - prompt, options);
    assert_true(split.count == 4 && split.truncated);
    assert_memory_equal(split.ids + 1, ids, sizeof ids);
}

/* A word or an added token that is one token, and many tokens where it is cut, lies round the end of the part of the
 * text that is joined to the prompt first, and of a window there. */
static void test_a_limit_behind_a_prompt_cuts_where_it_does_without(void **state)
{
    (void)state;
    static const char *const pieces[] = {"foxesesz a a a", "<raw>",
                                         "!!!!!!!!!!!!!!!!!!!!!!!! a a a"};
    static char text[12000];
    ce_tokenizer *marked =
        create(SMALL_TOKENIZER(SMALL_ADDED_RAW SMALL_ADDED_NORMALIZED SMALL_ADDED_MARKS));
    for (size_t prompt = 984; prompt < 1004; prompt++)
        for (size_t i = 0; i < 3; i++)
            for (size_t at = prompt + 4100; at < prompt + 4150; at++) {
                memset(text, ' ', sizeof text);
                memcpy(text + at, pieces[i], strlen(pieces[i]));
                memcpy(text + sizeof text - 6, " a a a", 6);
                expect_same(marked, text, sizeof text, prompt);
            }
    ce_tokenizer_destroy(marked);
}

static void test_a_long_text_behind_a_prompt_is_not_copied(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    ce_tokenizer_scratch *shared = scratch;
    char *text = malloc(SIZE);
    memset(text, '!', SIZE);
    assert_int_equal(ce_tokenizer_scratch_create(&scratch, &error), CE_OK);
    ce_encoding e =
        encode(plain, text, SIZE,
               (ce_encode_options){.max_tokens = 512, .prompt = "fox", .prompt_length = 3});
    assert_int_equal(e.count, 512);
    assert_true(ce_tokenizer_scratch_bytes(scratch) < 1 << 20);
    ce_tokenizer_scratch_destroy(scratch);
    scratch = shared;
    free(text);
}

/* ---- Bad files ---------------------------------------------------------------------------- */

static void refuse(const char *json, int expected, const char *message)
{
    ce_tokenizer *tokenizer = plain;
    int status = ce_tokenizer_create(json, strlen(json), &tokenizer, &error);
    assert_null(tokenizer);
    if (status != expected || !strstr(error.message, message))
        fail_msg("%d \"%s\", expected %d \"%s\"", status, error.message, expected, message);
}

#define BERT "{\"type\":\"BertPreTokenizer\"}"

static void test_components_that_are_not_implemented_are_refused_by_name(void **state)
{
    (void)state;
    refuse(SMALL_TOKENIZER_OF("", "{\"type\":\"NoSuchNormalizer\"}", BERT, SMALL_POST_PROCESSOR,
                              SMALL_MODEL),
           CE_E_UNSUPPORTED, "NoSuchNormalizer");
    refuse(SMALL_TOKENIZER_OF("", SMALL_NORMALIZER, "{\"type\":\"NoSuchSplit\"}",
                              SMALL_POST_PROCESSOR, SMALL_MODEL),
           CE_E_UNSUPPORTED, "NoSuchSplit");
    refuse(SMALL_TOKENIZER_OF("", SMALL_NORMALIZER, BERT, "{\"type\":\"NoSuchTemplate\"}",
                              SMALL_MODEL),
           CE_E_UNSUPPORTED, "NoSuchTemplate");
    refuse(SMALL_TOKENIZER_OF("", SMALL_NORMALIZER, BERT, SMALL_POST_PROCESSOR,
                              "{\"type\":\"NoSuchModel\"}"),
           CE_E_UNSUPPORTED, "NoSuchModel");
}

static void test_malformed_files_are_refused_with_the_reason(void **state)
{
    (void)state;
    refuse("", CE_E_BAD_MODEL, "line 1, column 1: expected an object");
    refuse("{}", CE_E_BAD_MODEL, "model is missing");
    refuse(SMALL_TOKENIZER("") "x", CE_E_BAD_MODEL, "more text after the end");
    refuse(SMALL_TOKENIZER(",{\"id\":60}"), CE_E_BAD_MODEL, "an added token needs");
    refuse(SMALL_TOKENIZER(",{\"id\":-1,\"content\":\"x\"}"), CE_E_BAD_MODEL,
           "-1 is not a whole number");
    refuse(SMALL_TOKENIZER(",{\"id\":99,\"content\":\"fox\"}"), CE_E_BAD_MODEL,
           "added token 'fox' has id 99, but model.vocab says 8");
    refuse(SMALL_TOKENIZER_OF("", SMALL_NORMALIZER, BERT, SMALL_POST_PROCESSOR,
                              "{\"type\":\"WordPiece\",\"unk_token\":\"[NO]\","
                              "\"continuing_subword_prefix\":\"##\",\"vocab\":" SMALL_VOCAB "}"),
           CE_E_BAD_MODEL, "model.unk_token '[NO]' is not in model.vocab");
    refuse(SMALL_TOKENIZER_OF("", SMALL_NORMALIZER, BERT, SMALL_POST_PROCESSOR,
                              "{\"type\":\"WordPiece\",\"unk_token\":\"a\","
                              "\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":1.5}}"),
           CE_E_BAD_MODEL, "1.5 is not a whole number");
    refuse(SMALL_TOKENIZER_OF("", SMALL_NORMALIZER, BERT,
                              "{\"type\":\"TemplateProcessing\",\"single\":"
                              "[{\"SpecialToken\":{\"id\":\"[X]\",\"type_id\":0}},"
                              "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{}}",
                              SMALL_MODEL),
           CE_E_BAD_MODEL, "post_processor.special_tokens has no '[X]'");
}

/* What is cut anywhere is refused, and no byte behind the end is looked at. */
static void test_every_prefix_of_a_file_is_refused(void **state)
{
    (void)state;
    static const char json[] = SMALL_TOKENIZER(SMALL_ADDED_RAW SMALL_ADDED_NORMALIZED);
    for (size_t size = 0; size < sizeof json - 3; size += 3) {
        ce_tokenizer *tokenizer;
        char *cut = malloc(size ? size : 1);
        memcpy(cut, json, size);
        assert_int_equal(ce_tokenizer_create(cut, size, &tokenizer, &error), CE_E_BAD_MODEL);
        assert_null(tokenizer);
        free(cut);
    }
}

/* ---- Hostile files and texts ------------------------------------------------------------------ */

#define BARE(PRE_TOKENIZER, MODEL) \
    "{\"version\":\"1.0\",\"pre_tokenizer\":" PRE_TOKENIZER ",\"model\":" MODEL "}"

/* Nothing is left of such a word, however long it is. */
static void test_a_long_word_of_characters_that_are_left_out(void **state)
{
    (void)state;
    enum { SIZE = 10000 };
    char *text = malloc(SIZE);
    memset(text, 'x', SIZE);
    ce_tokenizer *tokenizer =
        create(BARE("null", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}"));
    ce_encoding encoding = encode(tokenizer, text, SIZE, (ce_encode_options){.max_tokens = 5});
    assert_int_equal(encoding.count, 0);
    assert_false(encoding.truncated);
    free(text);
    ce_tokenizer_destroy(tokenizer);
}

/* tokenizers 0.23.3 merges all of the letters to one. */
static void test_two_entries_of_one_id(void **state)
{
    (void)state;
    ce_tokenizer *tokenizer =
        create(BARE("null", "{\"type\":\"BPE\",\"unk_token\":\"u\",\"merges\":[\"a a\"],"
                            "\"vocab\":{\"u\":7,\"a\":0,\"aa\":0,\"b\":1}}"));
    ce_encoding encoding = encode(tokenizer, "aaaab", 5, (ce_encode_options){0});
    const int32_t expected[] = {0, 1};
    assert_int_equal(encoding.count, 2);
    assert_memory_equal(encoding.ids, expected, sizeof expected);
    ce_tokenizer_destroy(tokenizer);
}

#define TENFOLD "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaaaaaaaa\"}"

static void test_a_file_cannot_make_a_text_fill_the_memory(void **state)
{
    (void)state;
    refuse(SMALL_TOKENIZER_OF("",
                              "{\"type\":\"Sequence\",\"normalizers\":[" TENFOLD "," TENFOLD
                              "," TENFOLD "," TENFOLD "]}",
                              BERT, SMALL_POST_PROCESSOR, SMALL_MODEL),
           CE_E_UNSUPPORTED, "a text 10000 times as long is not supported");
}

static void test_a_nul_in_a_name_does_not_end_it(void **state)
{
    (void)state;
    refuse(BARE("null", "{\"type\":\"WordPiece\",\"unk_token\":\"a\\u0000b\","
                        "\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0}}"),
           CE_E_UNSUPPORTED, "a NUL in a name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_are_those_of_tokenizers),
        cmocka_unit_test(test_sizes_of_the_tokenizer),
        cmocka_unit_test(test_specials_can_be_left_out),
        cmocka_unit_test(test_long_texts_are_the_sum_of_their_words),
        cmocka_unit_test(test_truncation_keeps_the_beginning),
        cmocka_unit_test(test_an_added_token_in_a_word_across_windows),
        cmocka_unit_test(test_limit_below_the_specials_is_refused),
        cmocka_unit_test(test_prompt_and_text_are_one_string),
        cmocka_unit_test(test_invalid_utf8_is_named_by_its_place),
        cmocka_unit_test(test_nothing_is_read_far_behind_the_limit),
        cmocka_unit_test(test_a_limit_behind_a_prompt_cuts_where_it_does_without),
        cmocka_unit_test(test_a_long_text_behind_a_prompt_is_not_copied),
        cmocka_unit_test(test_components_that_are_not_implemented_are_refused_by_name),
        cmocka_unit_test(test_malformed_files_are_refused_with_the_reason),
        cmocka_unit_test(test_every_prefix_of_a_file_is_refused),
        cmocka_unit_test(test_a_long_word_of_characters_that_are_left_out),
        cmocka_unit_test(test_two_entries_of_one_id),
        cmocka_unit_test(test_a_file_cannot_make_a_text_fill_the_memory),
        cmocka_unit_test(test_a_nul_in_a_name_does_not_end_it),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, set_up, tear_down);
}
