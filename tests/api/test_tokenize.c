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
enum { QUERY = 10, COLON = 11, QUICK = 13, S = 20, A = 21, B, C, D, E, F, PRIVET, EAST, CAPITAL };
enum { PASSAGE = 30, COMMA = 32 };

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

/* What tokenizers 0.23.3 gives for the same tokenizer.json, its offsets turned into bytes. */
typedef struct tokens_of {
    const char *text, *pair, *prompt;
    uint32_t flags, max_tokens;
    size_t count;
    int32_t ids[10];
    citadel_span offsets[10];
    int32_t type_ids[10];
} tokens_of;

static void expect_tokens(const tokens_of *t)
{
    int32_t ids[10], alone[10], type_ids[10];
    citadel_span offsets[10];
    citadel_tokenize_options options = CITADEL_TOKENIZE_OPTIONS_INIT;
    citadel_tokens tokens = {sizeof tokens, ids, offsets, type_ids, 10, 0, 0, 0};
    options.flags = t->flags;
    options.max_tokens = t->max_tokens;
    options.prompt = t->prompt;
    options.pair = t->pair;
    options.pair_length = t->pair ? CITADEL_NUL_TERMINATED : 0;
    assert_ok(citadel_tokenize(tiny, t->text, CITADEL_NUL_TERMINATED, &options, &tokens, &error));
    assert_int_equal(tokens.count, t->count);
    assert_int_equal(tokens.truncated, t->max_tokens != 0);
    assert_memory_equal(ids, t->ids, t->count * sizeof *ids);
    assert_memory_equal(offsets, t->offsets, t->count * sizeof *offsets);
    assert_memory_equal(type_ids, t->type_ids, t->count * sizeof *type_ids);

    tokens = (citadel_tokens){sizeof tokens, alone, NULL, NULL, 10, 0, 0, 0};
    assert_ok(citadel_tokenize(tiny, t->text, CITADEL_NUL_TERMINATED, &options, &tokens, &error));
    assert_int_equal(tokens.count, t->count);
    assert_memory_equal(alone, t->ids, t->count * sizeof *alone);
}

#define expect_all(cases)                                         \
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases)[0]; i++) \
    expect_tokens(&(cases)[i])

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

/* ---- Offsets and pairs -------------------------------------------------------------------- */

static void test_offsets_are_bytes_of_the_text(void **state)
{
    (void)state;
    static const tokens_of cases[] = {
        {.text = "the QUICK foxs",
         .count = 6,
         .ids = {CLS, THE, QUICK, FOX, S, SEP},
         .offsets = {{0, 0}, {0, 3}, {4, 9}, {10, 13}, {13, 14}, {0, 0}}},
        {.text = "Th\xC3\xA9 fox",
         .count = 4,
         .ids = {CLS, THE, FOX, SEP},
         .offsets = {{0, 0}, {0, 4}, {5, 8}, {0, 0}}},
        {.text = "the\xCC\x81 fox",
         .count = 4,
         .ids = {CLS, THE, FOX, SEP},
         .offsets = {{0, 0}, {0, 3}, {6, 9}, {0, 0}}},
        {.text = "\xE6\x9D\xB1\xE4\xBA\xAC fox",
         .count = 5,
         .ids = {CLS, EAST, CAPITAL, FOX, SEP},
         .offsets = {{0, 0}, {0, 3}, {3, 6}, {7, 10}, {0, 0}}},
        {.text = "\xD0\xBF\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 \xF0\x9F\x98\x80, a",
         .count = 6,
         .ids = {CLS, PRIVET, UNK, COMMA, A, SEP},
         .offsets = {{0, 0}, {0, 12}, {13, 17}, {17, 18}, {19, 20}, {0, 0}}},
        {.text = "[SEP] a",
         .count = 4,
         .ids = {CLS, SEP, A, SEP},
         .offsets = {{0, 0}, {0, 5}, {6, 7}, {0, 0}}},
    };
    expect_all(cases);
}

static void test_offsets_leave_out_the_prompt(void **state)
{
    (void)state;
    static const tokens_of cases[] = {
        {.text = "fox",
         .prompt = "query: ",
         .count = 5,
         .ids = {CLS, QUERY, COLON, FOX, SEP},
         .offsets = {{0, 0}, {0, 0}, {0, 0}, {0, 3}, {0, 0}}},
        {.text = "x a",
         .prompt = "fo",
         .count = 4,
         .ids = {CLS, FOX, A, SEP},
         .offsets = {{0, 0}, {0, 1}, {2, 3}, {0, 0}}},
    };
    expect_all(cases);
}

static void test_truncation_on_either_side(void **state)
{
    (void)state;
    static const tokens_of cases[] = {
        {.text = "a b c d e f",
         .max_tokens = 5,
         .count = 5,
         .ids = {CLS, A, B, C, SEP},
         .offsets = {{0, 0}, {0, 1}, {2, 3}, {4, 5}, {0, 0}}},
        {.text = "a b c d e f",
         .max_tokens = 5,
         .flags = CITADEL_TOKENIZE_TRUNCATE_LEFT,
         .count = 5,
         .ids = {CLS, D, E, F, SEP},
         .offsets = {{0, 0}, {6, 7}, {8, 9}, {10, 11}, {0, 0}}},
        {.text = "a b c d e f",
         .max_tokens = 3,
         .flags = CITADEL_TOKENIZE_TRUNCATE_LEFT | CITADEL_TOKENIZE_NO_SPECIALS,
         .count = 3,
         .ids = {D, E, F},
         .offsets = {{6, 7}, {8, 9}, {10, 11}}},
    };
    expect_all(cases);
}

static void test_pairs(void **state)
{
    (void)state;
    static const tokens_of cases[] = {
        {.text = "a b",
         .pair = "c foxs",
         .count = 8,
         .ids = {CLS, A, B, SEP, C, FOX, S, SEP},
         .offsets = {{0, 0}, {0, 1}, {2, 3}, {0, 0}, {0, 1}, {2, 5}, {5, 6}, {0, 0}},
         .type_ids = {0, 0, 0, 0, 1, 1, 1, 1}},
        {.text = "",
         .pair = "\xC3\xA9",
         .count = 4,
         .ids = {CLS, SEP, E, SEP},
         .offsets = {{0, 0}, {0, 0}, {0, 2}, {0, 0}},
         .type_ids = {0, 0, 1, 1}},
        {.text = "a",
         .pair = "",
         .count = 4,
         .ids = {CLS, A, SEP, SEP},
         .offsets = {{0, 0}, {0, 1}, {0, 0}, {0, 0}},
         .type_ids = {0, 0, 0, 1}},
        {.text = "a b",
         .pair = "c",
         .flags = CITADEL_TOKENIZE_NO_SPECIALS,
         .count = 3,
         .ids = {A, B, C},
         .offsets = {{0, 1}, {2, 3}, {0, 1}},
         .type_ids = {0, 0, 1}},
        {.text = "a b",
         .pair = "c d e",
         .prompt = "query: ",
         .max_tokens = 8,
         .count = 8,
         .ids = {CLS, QUERY, COLON, A, SEP, C, D, SEP},
         .offsets = {{0, 0}, {0, 0}, {0, 0}, {0, 1}, {0, 0}, {0, 1}, {2, 3}, {0, 0}},
         .type_ids = {0, 0, 0, 0, 0, 1, 1, 1}},
    };
    expect_all(cases);
}

static void test_the_longer_of_a_pair_is_cut_first(void **state)
{
    (void)state;
    static const tokens_of cases[] = {
        {.text = "a b c d e",
         .pair = "\xE6\x9D\xB1 fox",
         .max_tokens = 7,
         .count = 7,
         .ids = {CLS, A, B, SEP, EAST, FOX, SEP},
         .offsets = {{0, 0}, {0, 1}, {2, 3}, {0, 0}, {0, 3}, {4, 7}, {0, 0}},
         .type_ids = {0, 0, 0, 0, 1, 1, 1}},
        {.text = "a b c d e",
         .pair = "\xE6\x9D\xB1 fox",
         .max_tokens = 7,
         .flags = CITADEL_TOKENIZE_TRUNCATE_LEFT,
         .count = 7,
         .ids = {CLS, D, E, SEP, EAST, FOX, SEP},
         .offsets = {{0, 0}, {6, 7}, {8, 9}, {0, 0}, {0, 3}, {4, 7}, {0, 0}},
         .type_ids = {0, 0, 0, 0, 1, 1, 1}},
        {.text = "a b c d e",
         .pair = "f e d c b a",
         .max_tokens = 9,
         .flags = CITADEL_TOKENIZE_TRUNCATE_LEFT,
         .count = 9,
         .ids = {CLS, C, D, E, SEP, C, B, A, SEP},
         .offsets = {{0, 0}, {4, 5}, {6, 7}, {8, 9}, {0, 0}, {6, 7}, {8, 9}, {10, 11}, {0, 0}},
         .type_ids = {0, 0, 0, 0, 0, 1, 1, 1, 1}},
        {.text = "a b c d e",
         .pair = "f e d c b a",
         .max_tokens = 3,
         .count = 3,
         .ids = {CLS, SEP, SEP},
         .type_ids = {0, 0, 1}},
    };
    expect_all(cases);
}

static void test_a_pair_is_checked_like_a_text(void **state)
{
    (void)state;
    citadel_tokenize_options options = CITADEL_TOKENIZE_OPTIONS_INIT;
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    const size_t lengths[] = {1, CITADEL_NUL_TERMINATED};
    for (size_t i = 0; i < 2; i++) {
        options.pair_length = lengths[i];
        expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "pair is NULL");
    }
    options.pair = "b\xFF";
    options.pair_length = SIZE_MAX - 1;
    expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "pair: length is");
    options.pair_length = (size_t)PTRDIFF_MAX + 1;
    expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "pair: length is");
    options.pair_length = 2;
    expect_refused(&options, CITADEL_E_INVALID_UTF8, "byte 1 of the pair");
    options.pair_length = 1;
    options.max_tokens = 2;
    expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "max_tokens is 2, expected 3");
    options.max_tokens = 3;
    assert_ok(citadel_tokenize(tiny, "a", 1, &options, &tokens, &error));
    assert_int_equal(tokens.count, 3);
}

static void test_a_model_without_a_template_refuses_pairs(void **state)
{
    (void)state;
    citadel_tokenize_options options = CITADEL_TOKENIZE_OPTIONS_INIT;
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    citadel_model *model = load(engine, "no-pairs");
    options.pair = "b";
    options.pair_length = 1;
    assert_fails(CITADEL_E_UNSUPPORTED, "no template for pairs",
                 citadel_tokenize(model, "a", 1, &options, &tokens, &error));
    options.pair = NULL;
    options.pair_length = 0;
    assert_ok(citadel_tokenize(model, "a", 1, &options, &tokens, &error));
    citadel_model_unload(model);
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
    options.flags = 8 | CITADEL_TOKENIZE_TRUNCATE_LEFT;
    expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "unknown flags 0x8");
    options.flags = CITADEL_TOKENIZE_NO_TRUNCATION | CITADEL_TOKENIZE_TRUNCATE_LEFT;
    expect_refused(&options, CITADEL_E_INVALID_ARGUMENT, "TRUNCATE_LEFT together with");
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
    large.newer[3] = 1;
    assert_fails(CITADEL_E_ABI, "citadel_tokens sets a field at byte",
                 citadel_tokenize(tiny, "a", 1, NULL, &large.known, &error));
    assert_int_equal(large.newer[3], 1);
}

static void test_options_of_a_newer_caller(void **state)
{
    (void)state;
    struct {
        citadel_tokenize_options known;
        char newer[16];
    } large = {.known = CITADEL_TOKENIZE_OPTIONS_INIT};
    const ids pair = {5, {CLS, A, SEP, B, SEP}};
    large.known.size = sizeof large;
    large.known.pair = "b";
    large.known.pair_length = 1;
    expect_ids(tiny, "a", 1, &large.known, &pair);
    large.newer[0] = 1;
    expect_refused(&large.known, CITADEL_E_ABI, "citadel_tokenize_options sets a field at byte 48");
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

static void test_each_array_is_of_the_callers_choice(void **state)
{
    (void)state;
    const citadel_span none = {77, 77}, offsets[4] = {{0, 0}, {0, 3}, {4, 7}, {0, 0}};
    for (unsigned chosen = 1; chosen < 8; chosen++) {
        int32_t ids[4] = {77, 77, 77, 77}, types[4] = {77, 77, 77, 77};
        citadel_span spans[4] = {none, none, none, none};
        citadel_tokens tokens = CITADEL_TOKENS_INIT;
        tokens.ids = chosen & 1 ? ids : NULL;
        tokens.offsets = chosen & 2 ? spans : NULL;
        tokens.type_ids = chosen & 4 ? types : NULL;
        tokens.capacity = 3;
        assert_fails(CITADEL_E_CAPACITY, "room for 3 tokens, the text has 4",
                     citadel_tokenize(tiny, "the fox", 7, NULL, &tokens, &error));
        assert_int_equal(tokens.count, 4);
        assert_true(ids[0] == 77 && types[0] == 77 && spans[0].end == 77);
        tokens.capacity = 4;
        assert_ok(citadel_tokenize(tiny, "the fox", 7, NULL, &tokens, &error));
        assert_int_equal(ids[3], chosen & 1 ? SEP : 77);
        assert_int_equal(types[3], chosen & 4 ? 0 : 77);
        assert_int_equal(spans[2].end, chosen & 2 ? 7 : 77);
        assert_ptr_equal(tokens.ids, chosen & 1 ? ids : NULL);
        if (chosen & 2)
            assert_memory_equal(spans, offsets, sizeof offsets);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_are_those_of_the_vocabulary),
        cmocka_unit_test(test_arguments_are_checked),
        cmocka_unit_test(test_invalid_utf8_is_placed),
        cmocka_unit_test(test_offsets_are_bytes_of_the_text),
        cmocka_unit_test(test_offsets_leave_out_the_prompt),
        cmocka_unit_test(test_truncation_on_either_side),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_the_longer_of_a_pair_is_cut_first),
        cmocka_unit_test(test_a_pair_is_checked_like_a_text),
        cmocka_unit_test(test_a_model_without_a_template_refuses_pairs),
        cmocka_unit_test(test_flags_leave_out_specials_and_the_limit),
        cmocka_unit_test(test_max_tokens_cuts),
        cmocka_unit_test(test_an_option_out_of_range_is_named),
        cmocka_unit_test(test_a_prompt_is_used_only_when_asked_for),
        cmocka_unit_test(test_structs_of_impossible_size_are_refused),
        cmocka_unit_test(test_options_of_a_newer_caller),
        cmocka_unit_test(test_each_array_is_of_the_callers_choice),
        cmocka_unit_test(test_without_room_the_count_is_told),
    };
    return cmocka_run_group_tests_name("tokenize", tests, set_up, tear_down);
}
