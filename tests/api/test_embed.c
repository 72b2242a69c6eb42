#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

static citadel_engine *engine;
static citadel_model *tiny, *raw, *moody;

static int set_up(void **state)
{
    (void)state;
    engine = new_engine(2, 8);
    tiny = load(engine, "tiny");
    raw = load(engine, "raw");
    moody = load(engine, "moody");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    citadel_model_unload(tiny);
    citadel_model_unload(raw);
    citadel_model_unload(moody);
    citadel_engine_destroy(engine);
    reset_probe(); /* nothing is left loaded */
    return 0;
}

static void embed_one(const citadel_model *model, const char *text,
                      const citadel_embed_options *options, float out[DIM])
{
    assert_ok(citadel_model_embed(model, &text, NULL, 1, options, out, DIM, NULL, &error));
}

static void expect_text(const citadel_model *model, const char *text,
                        const citadel_embed_options *options, const char *same_as)
{
    float out[DIM], expected[DIM];
    embed_one(model, text, options, out);
    reference(model, same_as, 0, expected);
    assert_vector(out, expected, DIM);
}

static void expect_refused(const citadel_model *model, const citadel_embed_options *options,
                           citadel_status status, const char *piece)
{
    const char *texts[] = {"the fox", "a"};
    float out[2 * DIM];
    citadel_text_result results[2];
    memset(results, 0x5A, sizeof results);
    assert_fails(
        status, piece,
        citadel_model_embed(model, texts, NULL, 2, options, out, 2 * DIM, results, &error));
    for (int i = 0; i < 2; i++) {
        const citadel_text_result expected = {.status = status};
        assert_memory_equal(&results[i], &expected, sizeof expected);
    }
}

/* ---- Arguments ---------------------------------------------------------------------------- */

static void test_null_arguments_are_named(void **state)
{
    (void)state;
    const char *texts[] = {"a", NULL};
    const size_t lengths[] = {1, 1};
    float out[2 * DIM];
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "engine is NULL",
                 citadel_embed(NULL, "tiny", texts, NULL, 1, NULL, out, DIM, NULL, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "name is NULL",
                 citadel_embed(engine, NULL, texts, NULL, 1, NULL, out, DIM, NULL, &error));
    expect_refused(NULL, NULL, CITADEL_E_INVALID_ARGUMENT, "model is NULL");
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "texts is NULL, but count is 1",
                 citadel_model_embed(tiny, NULL, NULL, 1, NULL, out, DIM, NULL, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "out is NULL, but count is 1",
                 citadel_model_embed(tiny, texts, NULL, 1, NULL, NULL, DIM, NULL, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "texts[1] is NULL",
                 citadel_model_embed(tiny, texts, NULL, 2, NULL, out, 2 * DIM, NULL, &error));
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "texts[1] is NULL",
                 citadel_model_embed(tiny, texts, lengths, 2, NULL, out, 2 * DIM, NULL, &error));
}

static void test_no_texts_do_nothing(void **state)
{
    (void)state;
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    assert_ok(citadel_model_embed(tiny, NULL, NULL, 0, NULL, NULL, 0, NULL, &error));
    assert_ok(citadel_embed(engine, "tiny", NULL, NULL, 0, &options, NULL, 0, NULL, &error));
    options.normalize = 3;
    assert_fails(CITADEL_E_INVALID_ARGUMENT, "normalize is 3",
                 citadel_model_embed(tiny, NULL, NULL, 0, &options, NULL, 0, NULL, &error));
}

static void test_an_option_out_of_range_is_named(void **state)
{
    (void)state;
    citadel_embed_options o;
#define refuse(field, value, status, piece)        \
    do {                                           \
        citadel_embed_options_init(&o, sizeof o);  \
        o.field = (value);                         \
        expect_refused(tiny, &o, (status), piece); \
    } while (0)
#define refuse_argument(field, value, piece) refuse(field, value, CITADEL_E_INVALID_ARGUMENT, piece)
    refuse_argument(flags, 1, "unknown flags 0x1");
    refuse_argument(reserved0, 1, "reserved0");
    refuse_argument(precision, 6, "precision is 6");
    refuse_argument(precision, -1, "precision is -1");
    refuse_argument(normalize, 3, "normalize is 3");
    refuse_argument(normalize, -1, "normalize is -1");
    refuse_argument(truncate_dim, DIM + 1, "truncate_dim is 9, but the model has 8");
    refuse_argument(truncate_dim, UINT32_MAX, "truncate_dim is 4294967295");
    refuse_argument(row_stride, DIM - 1, "row_stride is 7, but a row has 8");
    refuse_argument(max_tokens, 1, "max_tokens is 1, expected 2");
    refuse_argument(max_tokens, MAX_TOKENS + 1, "max_tokens is 17, expected 2");
    refuse_argument(max_tokens, UINT32_MAX, "max_tokens is 4294967295");
    refuse(precision, CITADEL_PRECISION_BF16, CITADEL_E_UNSUPPORTED,
           "precision bf16 was asked for, but the model is fp32");
    refuse(prompt_name, "absent", CITADEL_E_NOT_FOUND,
           "no prompt is named 'absent'; the model has 'query', 'passage', 'nothing'");
    o.prompt = "";
    o.prompt_name = "query";
    expect_refused(tiny, &o, CITADEL_E_INVALID_ARGUMENT, "prompt_name and prompt");
}

static void test_options_of_impossible_size_are_refused(void **state)
{
    (void)state;
    struct {
        citadel_embed_options known;
        char newer[16];
    } large = {.known = CITADEL_EMBED_OPTIONS_INIT};
    const size_t sizes[] = {0, sizeof large.known - 1, 4097, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        large.known.size = sizes[i];
        expect_refused(tiny, &large.known, CITADEL_E_ABI, "citadel_embed_options.size");
    }
    large.known.size = sizeof large;
    expect_text(tiny, "fox", &large.known, "fox");
    large.newer[15] = 1;
    expect_refused(tiny, &large.known, CITADEL_E_ABI, "citadel_embed_options sets a field");
}

static void test_the_length_of_a_text_is_possible(void **state)
{
    (void)state;
    const char *texts[] = {"fox", "the fox"};
    const size_t lengths[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1};
    float out[2 * DIM];
    for (size_t i = 0; i < 2; i++) {
        const size_t given[] = {3, lengths[i]};
        assert_fails(CITADEL_E_INVALID_ARGUMENT, "lengths[1] is",
                     citadel_model_embed(tiny, texts, given, 2, NULL, out, 2 * DIM, NULL, &error));
    }
}

/* ---- Texts -------------------------------------------------------------------------------- */

static void test_vectors_are_those_of_the_backend(void **state)
{
    (void)state;
    const char *texts[] = {"",
                           "fox",
                           "the quick brown fox",
                           "foxes",
                           "Fox!",
                           "\xD0\x9F\xD0\xA0\xD0\x98\xD0\x92\xD0\x95\xD0\xA2 "
                           "\xE6\x9D\xB1\xE4\xBA\xAC"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        expect_text(tiny, texts[i], NULL, texts[i]);
        expect_text(raw, texts[i], NULL, texts[i]);
    }
}

static void test_lengths_bound_the_texts(void **state)
{
    (void)state;
    const char *texts[] = {"fox the", "fox\0 the", "", NULL, "fox"};
    const size_t lengths[] = {3, 8, 0, 0, 0};
    const char *same_as[] = {"fox", "fox the", "", "", ""};
    float out[5 * DIM], expected[DIM];
    assert_ok(citadel_model_embed(tiny, texts, lengths, 5, NULL, out, 5 * DIM, NULL, &error));
    for (size_t i = 0; i < 5; i++) {
        reference(tiny, same_as[i], 0, expected);
        assert_vector(out + i * DIM, expected, DIM);
    }
}

/* The text lies in memory of exactly its size, for the sanitizers. */
static void test_nothing_is_read_behind_a_text(void **state)
{
    (void)state;
    char *text = malloc(3);
    assert_non_null(text);
    memcpy(text, "fox", 3);
    const char *given = text;
    const size_t length = 3;
    float out[DIM], expected[DIM];
    assert_ok(citadel_model_embed(tiny, &given, &length, 1, NULL, out, DIM, NULL, &error));
    reference(tiny, "fox", 0, expected);
    assert_vector(out, expected, DIM);
    free(text);
}

/* ---- Rows --------------------------------------------------------------------------------- */

static void test_truncate_dim_and_normalize_combine(void **state)
{
    (void)state;
    const char *text = "the quick brown fox";
    for (int which = 0; which < 2; which++) {
        for (int32_t mode = CITADEL_NORMALIZE_MODEL; mode <= CITADEL_NORMALIZE_NEVER; mode++) {
            for (uint32_t dim = 0; dim <= DIM; dim++) {
                citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
                float out[DIM + 1], expected[DIM];
                uint32_t kept = dim ? dim : DIM;
                options.normalize = mode;
                options.truncate_dim = dim;
                out[kept] = 77;
                assert_ok(citadel_model_embed(which ? raw : tiny, &text, NULL, 1, &options, out,
                                              kept, NULL, &error));
                reference(raw, text, 0, expected); /* as pooled */
                if (!which && mode != CITADEL_NORMALIZE_NEVER)
                    normalize(expected, DIM);
                if (mode == CITADEL_NORMALIZE_ALWAYS)
                    normalize(expected, kept);
                assert_vector(out, expected, kept);
                assert_true(out[kept] == 77);
            }
        }
    }
}

static void test_rows_lie_a_stride_apart(void **state)
{
    (void)state;
    enum { STRIDE = 11, TEXTS = 40 };
    const char *texts[TEXTS];
    float out[TEXTS * STRIDE], expected[DIM];
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.row_stride = STRIDE;
    for (int i = 0; i < TEXTS; i++)
        texts[i] = i % 2 ? "the quick brown fox" : "a b";
    for (int i = 0; i < TEXTS * STRIDE; i++)
        out[i] = 77;
    const size_t need = (TEXTS - 1) * STRIDE + DIM;
    assert_ok(citadel_model_embed(tiny, texts, NULL, TEXTS, &options, out, need, NULL, &error));
    for (int i = 0; i < TEXTS; i++) {
        reference(tiny, texts[i], 0, expected);
        assert_vector(out + i * STRIDE, expected, DIM);
        for (int gap = DIM; gap < STRIDE; gap++)
            assert_true(out[i * STRIDE + gap] == 77);
    }
}

static void expect_capacity(size_t count, uint32_t dim, size_t stride, size_t capacity,
                            const char *piece)
{
    const char *texts[] = {"a", "b", "c"};
    float out[3 * DIM];
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.truncate_dim = dim;
    options.row_stride = stride;
    out[0] = 77;
    citadel_status status =
        citadel_model_embed(tiny, texts, NULL, count, &options, out, capacity, NULL, &error);
    if (piece)
        assert_fails(CITADEL_E_CAPACITY, piece, status);
    else
        assert_ok(status);
    assert_true((out[0] == 77) == (piece != NULL));
}

static void test_a_small_buffer_is_refused_with_what_is_needed(void **state)
{
    (void)state;
    expect_capacity(1, 0, 0, DIM, NULL);
    expect_capacity(1, 0, 0, DIM - 1, "out has room for 7 floats");
    expect_capacity(1, 0, 0, 0, "need 8");
    expect_capacity(3, 0, 0, 3 * DIM, NULL);
    expect_capacity(3, 0, 0, 3 * DIM - 1, "need 24");
    expect_capacity(3, 2, 0, 6, NULL);
    expect_capacity(3, 2, 0, 5, "need 6");
    expect_capacity(3, 2, 5, 12, NULL);
    expect_capacity(3, 2, 5, 11, "need 12");
}

static void test_a_stride_that_overflows_is_refused(void **state)
{
    (void)state;
    const size_t half = SIZE_MAX / 2;
    expect_capacity(1, 0, SIZE_MAX, DIM, NULL); /* one row has no next one */
    expect_capacity(2, 0, SIZE_MAX, SIZE_MAX, "out has room for");
    expect_capacity(2, 0, SIZE_MAX - DIM + 1, 3 * DIM, "out has room for");
    expect_capacity(3, 0, half + 1, 3 * DIM, "out has room for");
    expect_capacity(3, 0, half - DIM, 3 * DIM, "out has room for");
}

static void test_a_count_that_overflows_is_refused(void **state)
{
    (void)state;
    const char *text = "a";
    float out[DIM];
    const size_t counts[] = {SIZE_MAX, SIZE_MAX / DIM, SIZE_MAX / DIM + 2,
                             SIZE_MAX / (DIM * sizeof *out) + 1};
    citadel_text_result result = {.status = 77};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        assert_fails(
            CITADEL_E_CAPACITY, "out has room for 8 floats",
            citadel_model_embed(tiny, &text, NULL, counts[i], NULL, out, DIM, NULL, &error));
    assert_fails(CITADEL_E_CAPACITY, "out has room for 8 floats",
                 citadel_model_embed(tiny, &text, NULL, SIZE_MAX, NULL, out, DIM, &result, &error));
    assert_int_equal(result.status, 77);
}

/* ---- Prompts ------------------------------------------------------------------------------ */

static void expect_prompt(const citadel_model *model, const char *name, const char *text,
                          const char *same_as)
{
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.prompt_name = name;
    options.prompt = text;
    expect_text(model, "the fox", &options, same_as);
}

static void test_a_prompt_stands_in_front_of_the_text(void **state)
{
    (void)state;
    citadel_model *prompted = load(engine, "prompted");
    expect_text(tiny, "the fox", NULL, "the fox");
    expect_prompt(tiny, "query", NULL, "query: the fox");
    expect_prompt(tiny, "passage", NULL, "passage the fox");
    expect_prompt(tiny, "nothing", NULL, "the fox");
    expect_prompt(tiny, NULL, "quick a ", "quick a the fox");
    expect_prompt(tiny, NULL, "fox", "foxthe fox"); /* not even a space between */
    expect_text(prompted, "the fox", NULL, "query: the fox");
    expect_prompt(prompted, "passage", NULL, "passage the fox");
    expect_prompt(prompted, NULL, "", "the fox");
    expect_prompt(prompted, NULL, "a ", "a the fox");
    citadel_model_unload(prompted);
}

static void test_a_prompt_counts_against_the_limit(void **state)
{
    (void)state;
    const char *text = "a b c d e f a b c d e f";
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    citadel_text_result result;
    float out[DIM], expected[DIM];
    options.prompt = "the quick brown fox ";
    assert_ok(citadel_model_embed(tiny, &text, NULL, 1, &options, out, DIM, &result, &error));
    assert_int_equal(result.tokens, MAX_TOKENS);
    assert_int_equal(result.truncated, 1);
    reference(tiny, "the quick brown fox a b c d e f a b c d", 0, expected);
    assert_vector(out, expected, DIM);
}

static void test_a_prompt_that_is_not_utf8_is_named(void **state)
{
    (void)state;
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.prompt = "a \xFF";
    expect_refused(tiny, &options, CITADEL_E_INVALID_UTF8, "byte 2 of the prompt");
}

/* ---- Limits ------------------------------------------------------------------------------- */

static void expect_result(const char *text, uint32_t max_tokens, uint32_t tokens, uint32_t limit,
                          const char *same_as)
{
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    citadel_text_result result;
    const citadel_text_result expected_result = {
        .tokens = tokens, .truncated = limit != CITADEL_LIMIT_NONE, .limit = limit};
    float out[DIM], expected[DIM];
    memset(&result, 0x5A, sizeof result);
    options.max_tokens = max_tokens;
    assert_ok(citadel_model_embed(tiny, &text, NULL, 1, &options, out, DIM, &result, &error));
    assert_memory_equal(&result, &expected_result, sizeof result);
    reference(tiny, same_as, 0, expected);
    assert_vector(out, expected, DIM);
}

static void test_a_long_text_is_cut_and_results_tell(void **state)
{
    (void)state;
    const char *fits = "a b c d e f a b c d e f a b", *longer = "a b c d e f a b c d e f a b c";
    expect_result("", 0, 2, CITADEL_LIMIT_NONE, "");
    expect_result("foxs", 0, 4, CITADEL_LIMIT_NONE, "foxs");
    expect_result(fits, 0, 16, CITADEL_LIMIT_NONE, fits);
    expect_result(longer, 0, 16, CITADEL_LIMIT_MODEL, fits);
    expect_result(fits, 16, 16, CITADEL_LIMIT_NONE, fits);
    expect_result(longer, 16, 16, CITADEL_LIMIT_MODEL, fits);
    expect_result(longer, 15, 15, CITADEL_LIMIT_OPTION, "a b c d e f a b c d e f a");
    expect_result("a b", 3, 3, CITADEL_LIMIT_OPTION, "a");
    expect_result("a b", 4, 4, CITADEL_LIMIT_NONE, "a b");
    expect_result("a", 2, 2, CITADEL_LIMIT_OPTION, "");
    expect_result("", 2, 2, CITADEL_LIMIT_NONE, "");
}

/* ---- Bad texts ---------------------------------------------------------------------------- */

static void test_a_bad_text_fails_the_call_by_number_and_place(void **state)
{
    (void)state;
    const char *texts[] = {"fox", "the \xFF", "\xC3"};
    float out[3 * DIM];
    assert_fails(CITADEL_E_INVALID_UTF8, "model 'tiny': texts[1]: invalid UTF-8 at byte 4",
                 citadel_model_embed(tiny, texts, NULL, 3, NULL, out, 3 * DIM, NULL, &error));
    assert_fails(CITADEL_E_INVALID_UTF8, "texts[0]: invalid UTF-8 at byte 0",
                 citadel_model_embed(tiny, texts + 2, NULL, 1, NULL, out, DIM, NULL, &error));
}

static void test_nothing_is_computed_once_a_text_is_bad(void **state)
{
    (void)state;
    const char *texts[] = {"\xFF", "fox"};
    float out[2 * DIM];
    fake_probe *probe = the_probe();
    int runs = read_probe(probe, &probe->runs);
    assert_fails(CITADEL_E_INVALID_UTF8, "texts[0]",
                 citadel_model_embed(tiny, texts, NULL, 2, NULL, out, 2 * DIM, NULL, &error));
    assert_int_equal(read_probe(probe, &probe->runs), runs);
}

/* Every kind of bad text among good ones, far enough apart that each meets other batches. */
static void expect_others_computed(const citadel_model *model, const char *first_failure)
{
    enum { TEXTS = 600 };
    const char *texts[TEXTS];
    citadel_text_result results[TEXTS];
    float *out = malloc(TEXTS * DIM * sizeof *out), expected[DIM];
    assert_non_null(out);
    memset(results, 0x5A, sizeof results);
    memset(out, 0x5A, TEXTS * DIM * sizeof *out);
    for (int i = 0; i < TEXTS; i++)
        texts[i] = i % 3 ? "the quick brown fox" : "a b";
    texts[7] = "the nan";
    texts[8] = "b \xFF";
    texts[300] = "inf";
    texts[599] = "\xC3";
    const struct {
        int index;
        citadel_status status;
    } bad[] = {{7, CITADEL_E_NOT_FINITE},
               {8, CITADEL_E_INVALID_UTF8},
               {300, CITADEL_E_NOT_FINITE},
               {599, CITADEL_E_INVALID_UTF8}};
    assert_fails(
        CITADEL_E_NOT_FINITE, first_failure,
        citadel_model_embed(model, texts, NULL, TEXTS, NULL, out, TEXTS * DIM, results, &error));
    for (int i = 0, next = 0; i < TEXTS; i++) {
        if (next < 4 && i == bad[next].index) {
            const citadel_text_result failed = {.status = bad[next++].status};
            assert_memory_equal(&results[i], &failed, sizeof failed);
            memset(expected, 0, sizeof expected);
        } else {
            assert_int_equal(results[i].status, CITADEL_OK);
            assert_int_equal(results[i].tokens, i % 3 ? 6 : 4);
            reference(model, texts[i], 0, expected);
        }
        assert_vector(out + i * DIM, expected, DIM);
    }
    free(out);
}

static void test_with_results_the_other_texts_are_computed(void **state)
{
    (void)state;
    citadel_engine_options options = test_options(1, 2);
    citadel_engine *small;
    options.batch_tokens = 16;
    assert_ok(citadel_engine_create(&options, &small, &error));
    citadel_model *packed = load(small, "moody"), *padded = load(small, "moody-padded");
    expect_others_computed(moody, "model 'moody': texts[7]: the vector has NaN or infinity");
    expect_others_computed(packed, "texts[7]: the vector has NaN or infinity (4 tokens)");
    expect_others_computed(padded, "texts[7]: the vector has NaN or infinity (4 tokens)");
    citadel_model_unload(packed);
    citadel_model_unload(padded);
    citadel_engine_destroy(small);
}

/* The fake's NaN is in the last number, so that a cut would hide it. */
static void test_a_vector_that_is_not_finite_is_an_error_in_every_form(void **state)
{
    (void)state;
    const char *texts[] = {"nan", "inf"};
    for (int32_t mode = CITADEL_NORMALIZE_MODEL; mode <= CITADEL_NORMALIZE_NEVER; mode++) {
        for (uint32_t dim = 1; dim <= DIM; dim++) {
            citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
            float out[DIM];
            options.normalize = mode;
            options.truncate_dim = dim;
            for (int i = 0; i < 2; i++)
                assert_fails(CITADEL_E_NOT_FINITE, "texts[0]: the vector has NaN or infinity",
                             citadel_model_embed(moody, texts + i, NULL, 1, &options, out, dim,
                                                 NULL, &error));
        }
    }
}

static void expect_call_failure(const char *word, citadel_status status)
{
    const char *texts[] = {"fox", word, "\xFF"};
    citadel_text_result results[3];
    float out[3 * DIM];
    assert_fails(status, "fake: the batch has id",
                 citadel_model_embed(moody, texts, NULL, 2, NULL, out, 2 * DIM, NULL, &error));
    assert_fails(status, "model 'moody': fake: the batch has id",
                 citadel_model_embed(moody, texts, NULL, 3, NULL, out, 3 * DIM, results, &error));
    for (int i = 0; i < 3; i++) {
        const citadel_text_result failed = {.status = status};
        assert_memory_equal(&results[i], &failed, sizeof failed);
    }
    expect_text(moody, "fox", NULL, "fox");
}

static void test_a_failure_of_the_call_is_every_texts_status(void **state)
{
    (void)state;
    expect_call_failure("fail", CITADEL_E_BACKEND);
    expect_call_failure("oom", CITADEL_E_NO_MEMORY);
}

/* ---- Many texts --------------------------------------------------------------------------- */

/* Texts of 0 to 13 words in no order. */
static void make_texts(size_t count, char (*texts)[64], const char **pointers)
{
    static const char *const words[] = {"the ", "fox ", "a ", "quick ", "dog "};
    uint32_t random = 1;
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        random = random * 1664525u + 1013904223u;
        for (uint32_t left = (random >> 20) % 11; left > 0; left--)
            length += (size_t)sprintf(texts[i] + length, "%s", words[(random >> left) % 5]);
        texts[i][length] = '\0';
        pointers[i] = texts[i];
    }
}

static void expect_batch_equals_alone(const char *pack, uint32_t threads, uint32_t batch_tokens)
{
    enum { TEXTS = 300 };
    static char texts[TEXTS][64];
    const char *pointers[TEXTS];
    static float out[TEXTS * DIM];
    citadel_engine_options options = test_options(threads, 1);
    citadel_engine *own;
    options.batch_tokens = batch_tokens;
    assert_ok(citadel_engine_create(&options, &own, &error));
    citadel_model *model = load(own, pack);
    fake_probe *probe = the_probe();
    make_texts(TEXTS, texts, pointers);
    const size_t counts[] = {TEXTS, 2, 17, 1};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        pthread_mutex_lock(&probe->lock);
        probe->most_tokens = probe->most_threads = 0;
        pthread_mutex_unlock(&probe->lock);
        memset(out, 0x5A, sizeof out);
        assert_ok(citadel_model_embed(model, pointers, NULL, counts[c], NULL, out, TEXTS * DIM,
                                      NULL, &error));
        assert_in_range(read_probe(probe, &probe->most_tokens), 2,
                        batch_tokens ? batch_tokens : 1024);
        assert_in_range(read_probe(probe, &probe->most_threads), 1, threads);
        for (size_t i = 0; i < counts[c]; i++) {
            float expected[DIM];
            reference(model, texts[i], 0, expected);
            assert_vector(out + i * DIM, expected, DIM);
        }
    }
    citadel_model_unload(model);
    citadel_engine_destroy(own);
}

static void test_vectors_lie_in_the_callers_order_whatever_the_batches(void **state)
{
    (void)state;
    const char *const packs[] = {"tiny", "raw", "padded"};
    for (size_t p = 0; p < 3; p++) {
        expect_batch_equals_alone(packs[p], 1, 16);
        expect_batch_equals_alone(packs[p], 3, 33);
        expect_batch_equals_alone(packs[p], 2, 0);
    }
}

static void test_texts_share_a_batch_up_to_batch_tokens(void **state)
{
    (void)state;
    enum { TEXTS = 64 };
    const char *texts[TEXTS];
    float out[TEXTS * DIM];
    fake_probe *probe = the_probe();
    for (int i = 0; i < TEXTS; i++)
        texts[i] = "a b";
    int before = read_probe(probe, &probe->runs);
    assert_ok(citadel_model_embed(tiny, texts, NULL, TEXTS, NULL, out, TEXTS * DIM, NULL, &error));
    assert_int_equal(read_probe(probe, &probe->runs), before + 1);
}

/* ---- By name ------------------------------------------------------------------------------ */

static void embed_named(citadel_engine *own, const char *name, int32_t precision)
{
    const char *text = "the quick brown fox";
    float out[DIM], expected[DIM];
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.precision = precision;
    assert_ok(citadel_embed(own, name, &text, NULL, 1, &options, out, DIM, NULL, &error));
    reference(tiny, text, 0, expected);
    assert_vector(out, expected, DIM);
}

static void test_a_model_is_loaded_by_name_and_kept(void **state)
{
    (void)state;
    citadel_engine *own = new_engine(1, 2);
    fake_probe *probe = the_probe();
    int before = read_probe(probe, &probe->loads);
    for (int i = 0; i < 3; i++)
        embed_named(own, "tiny", CITADEL_PRECISION_AUTO);
    assert_int_equal(read_probe(probe, &probe->loads), before + 1);
    for (int i = 0; i < 2; i++) {
        embed_named(own, "two-forms", CITADEL_PRECISION_FP32);
        embed_named(own, "two-forms", CITADEL_PRECISION_AUTO);
    }
    assert_int_equal(read_probe(probe, &probe->loads), before + 2);
    embed_named(own, "two-forms", CITADEL_PRECISION_BF16);
    assert_int_equal(read_probe(probe, &probe->loads), before + 3);
    citadel_engine_destroy(own);
}

static void test_a_failed_load_by_name_is_every_texts_status(void **state)
{
    (void)state;
    const char *texts[] = {"a", "b"};
    citadel_text_result results[2];
    float out[2 * DIM];
    const struct {
        const char *name;
        int32_t precision;
        citadel_status status;
    } cases[] = {
        {"absent", 0, CITADEL_E_NOT_FOUND},
        {FAKE_PACKS "/bad/weights-flip", 0, CITADEL_E_BAD_MODEL},
        {"tiny", CITADEL_PRECISION_INT8, CITADEL_E_UNSUPPORTED},
        {"tiny", 6, CITADEL_E_INVALID_ARGUMENT},
        {"", 0, CITADEL_E_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
        options.precision = cases[i].precision;
        memset(results, 0x5A, sizeof results);
        assert_fails(cases[i].status, "",
                     citadel_embed(engine, cases[i].name, texts, NULL, 2, &options, out, 2 * DIM,
                                   results, &error));
        for (int t = 0; t < 2; t++) {
            const citadel_text_result failed = {.status = cases[i].status};
            assert_memory_equal(&results[t], &failed, sizeof failed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_arguments_are_named),
        cmocka_unit_test(test_no_texts_do_nothing),
        cmocka_unit_test(test_an_option_out_of_range_is_named),
        cmocka_unit_test(test_options_of_impossible_size_are_refused),
        cmocka_unit_test(test_the_length_of_a_text_is_possible),
        cmocka_unit_test(test_vectors_are_those_of_the_backend),
        cmocka_unit_test(test_lengths_bound_the_texts),
        cmocka_unit_test(test_nothing_is_read_behind_a_text),
        cmocka_unit_test(test_truncate_dim_and_normalize_combine),
        cmocka_unit_test(test_rows_lie_a_stride_apart),
        cmocka_unit_test(test_a_small_buffer_is_refused_with_what_is_needed),
        cmocka_unit_test(test_a_stride_that_overflows_is_refused),
        cmocka_unit_test(test_a_count_that_overflows_is_refused),
        cmocka_unit_test(test_a_prompt_stands_in_front_of_the_text),
        cmocka_unit_test(test_a_prompt_counts_against_the_limit),
        cmocka_unit_test(test_a_prompt_that_is_not_utf8_is_named),
        cmocka_unit_test(test_a_long_text_is_cut_and_results_tell),
        cmocka_unit_test(test_a_bad_text_fails_the_call_by_number_and_place),
        cmocka_unit_test(test_nothing_is_computed_once_a_text_is_bad),
        cmocka_unit_test(test_with_results_the_other_texts_are_computed),
        cmocka_unit_test(test_a_vector_that_is_not_finite_is_an_error_in_every_form),
        cmocka_unit_test(test_a_failure_of_the_call_is_every_texts_status),
        cmocka_unit_test(test_vectors_lie_in_the_callers_order_whatever_the_batches),
        cmocka_unit_test(test_texts_share_a_batch_up_to_batch_tokens),
        cmocka_unit_test(test_a_model_is_loaded_by_name_and_kept),
        cmocka_unit_test(test_a_failed_load_by_name_is_every_texts_status),
    };
    return cmocka_run_group_tests_name("embed", tests, set_up, tear_down);
}
