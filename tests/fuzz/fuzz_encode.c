/* Any bytes as a text. The first byte chooses the tokenizer, the prompt's share of the text and the limit. */
#include "fuzz.h"
#include "small_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "unicode/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Every place that a token can be found in, and every switch of the normalizer. */
static const char *const files[] = {
    SMALL_TOKENIZER(""),
    SMALL_TOKENIZER(SMALL_ADDED_RAW),
    SMALL_TOKENIZER(SMALL_ADDED_RAW SMALL_ADDED_NORMALIZED),
    SMALL_TOKENIZER_OF(SMALL_ADDED_RAW, "null", "{\"type\":\"BertPreTokenizer\"}",
                       SMALL_POST_PROCESSOR, SMALL_MODEL),
    SMALL_TOKENIZER(SMALL_ADDED_ALONE),
    SMALL_TOKENIZER_OF("", "{\"type\":\"NFKC\"}", SMALL_METASPACE, SMALL_POST_PROCESSOR, SMALL_BPE),
    SMALL_TOKENIZER_OF("", "null", SMALL_BYTE_LEVEL, SMALL_POST_PROCESSOR, SMALL_BYTE_BPE),
    SMALL_TOKENIZER_OF("", "{\"type\":\"NFD\"}", SMALL_METASPACE, SMALL_POST_PROCESSOR,
                       SMALL_UNIGRAM),
};
enum { FILES = sizeof files / sizeof *files };

static ce_tokenizer *tokenizers[FILES];
static ce_tokenizer_scratch *scratch;

static void set_up(void)
{
    ce_error error = {0};
    for (size_t i = 0; i < FILES; i++)
        MUST(ce_tokenizer_create(files[i], strlen(files[i]), &tokenizers[i], &error) == CE_OK);
    MUST(ce_tokenizer_scratch_create(&scratch, &error) == CE_OK);
}

/* Ids in memory of their own, as the scratch is used again. */
typedef struct result {
    int status;
    int32_t *ids;
    size_t count;
    int truncated;
    ce_error error;
} result;

/* In the text, in order, and not through a character. */
static void check_span(ce_span span, const char *text, size_t size)
{
    MUST(span.start <= span.end && span.end <= size);
    MUST(span.start == size || ((unsigned char)text[span.start] & 0xC0) != 0x80);
    MUST(span.end == size || ((unsigned char)text[span.end] & 0xC0) != 0x80);
}

static result encode(const ce_tokenizer *tokenizer, const char *text, size_t size,
                     ce_encode_options options)
{
    result r = {0};
    ce_encoding encoding = {0};
    r.status = ce_tokenizer_encode(tokenizer, scratch, text, size, &options, &encoding, &r.error);
    fuzz_check_error(r.status, &r.error);
    r.count = encoding.count;
    r.truncated = encoding.truncated;
    r.ids = fuzz_copy(encoding.ids, r.count * sizeof *r.ids);
    for (size_t i = 0; i < r.count; i++) {
        MUST(r.ids[i] >= 0 && (size_t)r.ids[i] < ce_tokenizer_vocab_size(tokenizer));
        if (options.offsets && !options.pair && !options.prompt_length)
            check_span(encoding.offsets[i], text, size);
    }
    return r;
}

static size_t valid_bytes(const char *text, size_t size)
{
    size_t at = 0, bytes = 1;
    for (uint32_t scalar; at < size && bytes > 0; at += bytes)
        bytes = ce_utf8_decode(text + at, size - at, &scalar);
    return at;
}

/* A prompt is text in front of the text. */
static void check_prompt(const ce_tokenizer *tokenizer, const char *text, size_t size, size_t cut,
                         const result *whole)
{
    char *rest = fuzz_copy(text + cut, size - cut);
    ce_encode_options options = {.prompt = text, .prompt_length = cut};
    result split = encode(tokenizer, size > cut ? rest : NULL, size - cut, options);
    MUST(split.status == whole->status);
    MUST(split.count == whole->count);
    MUST(memcmp(split.ids, whole->ids, whole->count * sizeof *whole->ids) == 0);
    free(split.ids);
    free(rest);
}

/* A limit keeps the beginning and what surrounds the text; it may save the look at bytes that are not UTF-8. */
static void check_limit(const ce_tokenizer *tokenizer, const char *text, size_t size, size_t limit,
                        const result *whole)
{
    size_t specials = ce_tokenizer_special_count(tokenizer);
    result cut = encode(tokenizer, text, size, (ce_encode_options){.max_tokens = limit});
    if (limit && limit < specials) {
        MUST(cut.status == CE_E_INVALID_ARGUMENT);
    } else if (whole->status == CE_OK) {
        size_t expected = limit && limit < whole->count ? limit : whole->count;
        MUST(cut.status == CE_OK);
        MUST(cut.count == expected);
        MUST(cut.truncated == (expected < whole->count));
        /* One special token stands before the text and one behind it. */
        MUST(memcmp(cut.ids, whole->ids, (expected - 1) * sizeof *cut.ids) == 0);
        MUST(cut.ids[expected - 1] == whole->ids[whole->count - 1]);
    } else {
        MUST(cut.status == whole->status || (cut.status == CE_OK && cut.truncated));
    }
    free(cut.ids);
}

static void check_without_specials(const ce_tokenizer *tokenizer, const char *text, size_t size,
                                   const result *whole)
{
    result bare = encode(tokenizer, text, size, (ce_encode_options){.no_specials = 1});
    MUST(bare.status == whole->status);
    if (bare.status == CE_OK) {
        MUST(bare.count + 2 == whole->count);
        MUST(memcmp(bare.ids, whole->ids + 1, bare.count * sizeof *bare.ids) == 0);
    }
    free(bare.ids);
}

/* Offsets change no id. A limit on the left keeps the end. */
static void check_left(const ce_tokenizer *tokenizer, const char *text, size_t size, size_t limit,
                       const result *whole)
{
    result cut =
        encode(tokenizer, text, size,
               (ce_encode_options){
                   .max_tokens = limit, .no_specials = 1, .truncate_left = 1, .offsets = 1});
    MUST(cut.status == whole->status);
    if (cut.status == CE_OK) {
        size_t body = whole->count - 2, expected = limit && limit < body ? limit : body;
        MUST(cut.count == expected && cut.truncated == (expected < body));
        MUST(memcmp(cut.ids, whole->ids + 1 + body - expected, expected * sizeof *cut.ids) == 0);
    }
    free(cut.ids);
}

/* Two texts have the tokens of each; cut, they have the beginnings or the ends of these. */
static void check_pair(const ce_tokenizer *tokenizer, const char *text, size_t size, size_t cut,
                       size_t limit, int left)
{
    const ce_encode_options bare = {.no_specials = 1};
    char *second = fuzz_copy(text + cut, size - cut), *first = fuzz_copy(text, cut);
    result a = encode(tokenizer, first, cut, bare), b = encode(tokenizer, second, size - cut, bare);
    result both = encode(tokenizer, first, cut,
                         (ce_encode_options){.no_specials = 1,
                                             .max_tokens = limit,
                                             .truncate_left = left,
                                             .offsets = left,
                                             .pair = second,
                                             .pair_length = size - cut});
    MUST((both.status == CE_OK) == (a.status == CE_OK && b.status == CE_OK));
    if (both.status == CE_OK) {
        size_t all = a.count + b.count, expected = limit && limit < all ? limit : all, of_a = 0;
        MUST(both.count == expected && both.truncated == (expected < all));
        const int32_t *a_end = a.ids + a.count, *b_end = b.ids + b.count;
        for (; of_a <= expected; of_a++) {
            size_t of_b = expected - of_a;
            if (of_a <= a.count && of_b <= b.count &&
                memcmp(both.ids, left ? a_end - of_a : a.ids, of_a * sizeof *a.ids) == 0 &&
                memcmp(both.ids + of_a, left ? b_end - of_b : b.ids, of_b * sizeof *b.ids) == 0)
                break;
        }
        MUST(of_a <= expected);
    }
    free(a.ids);
    free(b.ids);
    free(both.ids);
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!scratch)
        set_up();
    if (size == 0)
        return 0;
    const ce_tokenizer *tokenizer = tokenizers[data[0] % FILES];
    size_t limit = data[0] / FILES % 16;
    char *text = fuzz_copy(data + 1, size - 1);
    size--;
    size_t valid = valid_bytes(text, size);

    result whole = encode(tokenizer, text, size, (ce_encode_options){0});
    MUST((whole.status == CE_OK) == (valid == size));
    MUST(whole.status == CE_OK || whole.status == CE_E_INVALID_UTF8);
    MUST(!whole.truncated);
    check_prompt(tokenizer, text, size, size * (data[0] / (FILES * 16)) / 2, &whole);
    check_limit(tokenizer, text, size, limit, &whole);
    check_without_specials(tokenizer, text, size, &whole);
    check_left(tokenizer, text, size, limit, &whole);
    check_pair(tokenizer, text, size, size / 2, limit, size & 1);
    free(whole.ids);
    free(text);
    return 0;
}
