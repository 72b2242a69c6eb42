#include "harness.h"

static citadel_engine *engine;
static citadel_model *tiny;

static int set_up(void **state)
{
    (void)state;
    engine = new_engine(1, 2);
    tiny = load(engine, "tiny");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    citadel_model_unload(tiny);
    citadel_engine_destroy(engine);
    return 0;
}

/* Positions in the vocabulary of tests/fake/make_packs.py. */
enum { QUERY = 10, COLON = 11, QUICK = 13, S = 20, A = 21, B = 22, PASSAGE = 30 };

typedef struct ids {
    size_t count;
    int32_t of[MAX_TOKENS];
} ids;

static void expect_ids(const citadel_model *model, const char *text, size_t length,
                       const citadel_tokenize_options *options, const ids *expected)
{
    int32_t got[64];
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    tokens.ids = got;
    tokens.capacity = 64;
    assert_ok(citadel_tokenize(model, text, length, options, &tokens, &error));
    assert_int_equal(tokens.count, expected->count);
    assert_memory_equal(got, expected->of, expected->count * sizeof got[0]);
}

static void expect_refused(const citadel_tokenize_options *options, citadel_status status,
                           const char *piece)
{
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    assert_fails(status, piece, citadel_tokenize(tiny, "a", 1, options, &tokens, &error));
}

/* ---- Text --------------------------------------------------------------------------------- */

static void test_ids_are_those_of_the_vocabulary(void **state)
{
    (void)state;
    const ids sentence = {5, {CLS, THE, QUICK, FOX, SEP}}, empty = {2, {CLS, SEP}};
    const ids pieces = {4, {CLS, FOX, S, SEP}}, unknown = {3, {CLS, UNK, SEP}};
    expect_ids(tiny, "The QUICK fox", CITADEL_NUL_TERMINATED, NULL, &sentence);
    expect_ids(tiny, "the quick foxes", 13, NULL, &sentence);
    expect_ids(tiny, "the\0 quick fox", 14, NULL, &sentence);
    expect_ids(tiny, "foxs", 4, NULL, &pieces);
    expect_ids(tiny, "xyz", 3, NULL, &unknown);
    expect_ids(tiny, "", 0, NULL, &empty);
    expect_ids(tiny, "", CITADEL_NUL_TERMINATED, NULL, &empty);
    expect_ids(tiny, "fox", 0, NULL, &empty);
    expect_ids(tiny, NULL, 0, NULL, &empty);
}

static void test_arguments_are_checked(void **state)
{
    (void)state;
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    const size_t lengths[] = {1, CITADEL_NUL_TERMINATED};
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "model is NULL",
                 citadel_tokenize(NULL, "a", 1, NULL, &tokens, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "citadel_tokens is NULL",
                 citadel_tokenize(tiny, "a", 1, NULL, NULL, &error));
    for (size_t i = 0; i < 2; i++)
        assert_fails(CITADEL_E_INVALID_ARGUMENT, "text is NULL",
                     citadel_tokenize(tiny, NULL, lengths[i], NULL, &tokens, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "length is",
                 citadel_tokenize(tiny, "a", SIZE_MAX - 1, NULL, &tokens, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "length is",
                 citadel_tokenize(tiny, "a", (size_t)PTRDIFF_MAX + 1, NULL, &tokens, &error));
}

static void test_invalid_utf8_is_placed(void **state)
{
    (void)state;
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    assert_fails(CITADEL_E_INVALID_UTF8, "invalid UTF-8 at byte 4",
                 citadel_tokenize(tiny, "fox \xFF", 5, NULL, &tokens, &error));
    /* A character that the length cuts through. */
    assert_fails(CITADEL_E_INVALID_UTF8, "byte 0",
                 citadel_tokenize(tiny, "\xE6\x9D\xB1", 2, NULL, &tokens, &error));
}

/* ---- Options ------------------------------------------------------------------------------ */

static void test_flags_leave_out_specials_and_the_limit(void **state)
{
    (void)state;
    const char *text = "a b a b a b a b a b a b a b a b a b";
    const ids bare = {2, {A, B}};
    citadel_tokenize_options options = CITADEL_TOKENIZE_OPTIONS_INIT;
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    const struct {
        uint32_t flags;
        size_t count;
        uint32_t limit;
    } cases[] = {
        {0, MAX_TOKENS, CITADEL_LIMIT_MODEL},
        {CITADEL_TOKENIZE_NO_SPECIALS, MAX_TOKENS, CITADEL_LIMIT_MODEL},
        {CITADEL_TOKENIZE_NO_TRUNCATION, 20, CITADEL_LIMIT_NONE},
        {CITADEL_TOKENIZE_NO_TRUNCATION | CITADEL_TOKENIZE_NO_SPECIALS, 18, CITADEL_LIMIT_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        options.flags = cases[i].flags;
        assert_ok(citadel_tokenize(tiny, text, CITADEL_NUL_TERMINATED, &options, &tokens, &error));
        assert_int_equal(tokens.count, cases[i].count);
        assert_int_equal(tokens.limit, cases[i].limit);
        assert_int_equal(tokens.truncated, cases[i].limit != CITADEL_LIMIT_NONE);
    }
    options.flags = CITADEL_TOKENIZE_NO_SPECIALS;
    expect_ids(tiny, "a b", 3, &options, &bare);
}

static void test_max_tokens_cuts(void **state)
{
    (void)state;
    citadel_tokenize_options options = CITADEL_TOKENIZE_OPTIONS_INIT;
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    const ids cut = {3, {CLS, A, SEP}};
    options.max_tokens = 3;
    expect_ids(tiny, "a b", 3, &options, &cut);
    assert_ok(citadel_tokenize(tiny, "a b", 3, &options, &tokens, &error));
    assert_int_equal(tokens.truncated, 1);
    assert_int_equal(tokens.limit, CITADEL_LIMIT_OPTION);
    assert_ok(citadel_tokenize(tiny, "a", 1, &options, &tokens, &error));
    assert_int_equal(tokens.truncated, 0);
    assert_int_equal(tokens.limit, CITADEL_LIMIT_NONE);
}

static void test_an_option_out_of_range_is_named(void **state)
{
    (void)state;
    citadel_tokenize_options options = CITADEL_TOKENIZE_OPTIONS_INIT;
    options.flags = 4;
    expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "unknown flags 0x4");
    options.flags = CITADEL_TOKENIZE_NO_TRUNCATION;
    options.max_tokens = 5;
    expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "max_tokens is 5 together with");
    options.flags = 0;
    options.max_tokens = 1;
    expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "max_tokens is 1, expected 2");
    options.max_tokens = MAX_TOKENS + 1;
    expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "max_tokens is 17");
    options.max_tokens = 0;
    options.prompt_name = "absent";
    expect_refused(&options, CITADEL_E_NOT_FOUND, "no prompt is named 'absent'");
    options.prompt = "";
    expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "prompt_name and prompt");
    options.prompt_name = NULL;
    options.prompt = "\xFF";
    expect_refused(&options, CITADEL_E_INVALID_UTF8, "byte 0 of the prompt");
}

static void test_a_prompt_is_used_only_when_asked_for(void **state)
{
    (void)state;
    citadel_tokenize_options options = CITADEL_TOKENIZE_OPTIONS_INIT;
    citadel_model *prompted = load(engine, "prompted");
    const ids plain = {3, {CLS, A, SEP}}, query = {5, {CLS, QUERY, COLON, A, SEP}};
    const ids passage = {4, {CLS, PASSAGE, A, SEP}};
    expect_ids(prompted, "a", 1, NULL, &plain);
    expect_ids(prompted, "a", 1, &options, &plain);
    options.prompt_name = "query";
    expect_ids(prompted, "a", 1, &options, &query);
    expect_ids(tiny, "a", 1, &options, &query);
    options.prompt_name = "nothing";
    expect_ids(prompted, "a", 1, &options, &plain);
    options.prompt_name = NULL;
    options.prompt = "passage ";
    expect_ids(prompted, "a", 1, &options, &passage);
    citadel_model_unload(prompted);
}

static void test_structs_of_impossible_size_are_refused(void **state)
{
    (void)state;
    struct {
        citadel_tokens known;
        char newer[16];
    } large = {.known = CITADEL_TOKENS_INIT};
    const size_t sizes[] = {0, sizeof large.known - 1, 4097, SIZE_MAX};
    citadel_tokenize_options options = CITADEL_TOKENIZE_OPTIONS_INIT;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        large.known.size = sizes[i];
        assert_fails(CITADEL_E_ABI, "citadel_tokens.size",
                     citadel_tokenize(tiny, "a", 1, NULL, &large.known, &error));
    }
    const size_t option_sizes[] = {0, sizeof options - 1, 4097, SIZE_MAX};
    for (size_t i = 0; i < sizeof option_sizes / sizeof option_sizes[0]; i++) {
        options.size = option_sizes[i];
        expect_refused(&options, CITADEL_E_ABI, "citadel_tokenize_options.size");
    }
    large.known.size = sizeof large;
    assert_ok(citadel_tokenize(tiny, "a", 1, NULL, &large.known, &error));
    assert_int_equal(large.known.size, sizeof large);
    assert_int_equal(large.known.count, 3);
}

/* ---- Room --------------------------------------------------------------------------------- */

static void test_without_room_the_count_is_told(void **state)
{
    (void)state;
    int32_t ids[4];
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    tokens.capacity = 100;
    assert_ok(citadel_tokenize(tiny, "the fox", 7, NULL, &tokens, &error));
    assert_int_equal(tokens.count, 4);
    tokens.ids = ids;
    for (tokens.capacity = 0; tokens.capacity < 4; tokens.capacity++) {
        memset(ids, 0x5A, sizeof ids);
        tokens.count = 77;
        assert_fails(CITADEL_E_CAPACITY, "the text has 4",
                     citadel_tokenize(tiny, "the fox", 7, NULL, &tokens, &error));
        assert_int_equal(tokens.count, 4);
        assert_ptr_equal(tokens.ids, ids);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(ids[i], 0x5A5A5A5A);
    }
    assert_ok(citadel_tokenize(tiny, "the fox", 7, NULL, &tokens, &error));
    assert_int_equal(ids[3], SEP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_are_those_of_the_vocabulary),
        cmocka_unit_test(test_arguments_are_checked),
        cmocka_unit_test(test_invalid_utf8_is_placed),
        cmocka_unit_test(test_flags_leave_out_specials_and_the_limit),
        cmocka_unit_test(test_max_tokens_cuts),
        cmocka_unit_test(test_an_option_out_of_range_is_named),
        cmocka_unit_test(test_a_prompt_is_used_only_when_asked_for),
        cmocka_unit_test(test_structs_of_impossible_size_are_refused),
        cmocka_unit_test(test_without_room_the_count_is_told),
    };
    return cmocka_run_group_tests_name("tokenize", tests, set_up, tear_down);
}
