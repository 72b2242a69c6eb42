#include "tokenizer/pipeline.h"

#include "base/mem.h"
#include "unicode/unicode.h"
#include "unicode/utf8.h"

#include <string.h>

/* Bytes of text that are normalized at a time: so much is read beyond the limit of tokens at most. */
enum { CHUNK = 512 };

struct ce_tokenizer_scratch {
    int32_t *ids;
    size_t id_capacity;
    ce_buffer joined;     /* prompt and text */
    ce_buffer normalized; /* from the word that is still open on */
    ce_normalizing normalizing;
};

typedef struct encoder {
    const ce_tokenizer *tokenizer;
    ce_tokenizer_scratch *scratch;
    size_t count;      /* ids so far, those before the text included */
    size_t limit;      /* one id more than this is enough to know */
    size_t scanned;    /* of `normalized`: looked at, the open word included */
    size_t word_chars; /* of the open word; its bytes are the first ones, unless it is too long */
    int too_long;      /* the open word has more characters than a word may have */
    size_t bad;        /* where invalid UTF-8 was found */
} encoder;

static int full(const encoder *e)
{
    return e->count > e->limit;
}

static int add_id(encoder *e, int32_t id)
{
    ce_tokenizer_scratch *scratch = e->scratch;
    if (e->count == scratch->id_capacity) {
        size_t capacity = scratch->id_capacity ? 2 * scratch->id_capacity : 512;
        int32_t *ids = ce_reallocarray(scratch->ids, capacity, sizeof *ids);
        if (!ids)
            return CE_E_NO_MEMORY;
        scratch->ids = ids;
        scratch->id_capacity = capacity;
    }
    scratch->ids[e->count++] = id;
    return CE_OK;
}

/* ---- WordPiece ---------------------------------------------------------------------------- */

/* Greedy: the longest entry that begins the word, then the longest that continue it; one unknown token if that fails. */
static int add_word(encoder *e, const char *word, size_t size)
{
    const ce_wordpiece *model = &e->tokenizer->model;
    size_t before = e->count;
    const ce_trie *trie = &model->first;
    for (size_t at = 0; at < size && !e->too_long;) {
        int32_t id;
        size_t matched = ce_trie_longest(trie, word + at, size - at, &id);
        if (matched == 0) {
            e->count = before;
            return add_id(e, model->unk);
        }
        int status = add_id(e, id);
        if (status != CE_OK)
            return status;
        at += matched;
        trie = &model->continuation;
    }
    return e->too_long ? add_id(e, model->unk) : CE_OK;
}

/* ---- BertPreTokenizer --------------------------------------------------------------------- */

enum { LETTER, WHITE, PUNCTUATION };

static int class_of(uint32_t scalar)
{
    if (scalar < 0x80) {
        if (scalar == ' ' || (scalar >= '\t' && scalar <= '\r'))
            return WHITE;
        int alphanumeric = (scalar >= '0' && scalar <= '9') || (scalar >= 'a' && scalar <= 'z') ||
                           (scalar >= 'A' && scalar <= 'Z');
        return alphanumeric || scalar < ' ' || scalar == 0x7F ? LETTER : PUNCTUATION;
    }
    uint32_t flags = ce_unicode_find(scalar)->flags;
    return flags & CE_UNICODE_WHITE ? WHITE : flags & CE_UNICODE_PUNCTUATION ? PUNCTUATION : LETTER;
}

static int end_word(encoder *e, const char *word, size_t size)
{
    int status = e->word_chars > 0 ? add_word(e, word, size) : CE_OK;
    e->word_chars = 0;
    e->too_long = 0;
    return status;
}

/* Split data[at .. size) into words and punctuation. `*word` is where the open word begins. */
static int split(encoder *e, const char *data, size_t at, size_t size, size_t *word)
{
    int status = CE_OK;
    while (at < size && status == CE_OK && !full(e)) {
        uint32_t scalar = 0;
        size_t bytes = ce_utf8_decode(data + at, size - at, &scalar);
        int class = class_of(scalar);
        if (class == LETTER) {
            if (e->word_chars == 0)
                *word = at;
            if (++e->word_chars > e->tokenizer->model.max_chars)
                e->too_long = 1;
        } else {
            status = end_word(e, data + *word, at - *word);
            if (class == PUNCTUATION && status == CE_OK && !full(e))
                status = add_word(e, data + at, bytes);
        }
        at += bytes;
    }
    return status;
}

/* Take in what was normalized since the last time, and keep the bytes of the open word alone. */
static int split_new(encoder *e)
{
    ce_buffer *buffer = &e->scratch->normalized;
    size_t word = 0;
    int status = split(e, buffer->data, e->scanned, buffer->size, &word);
    size_t kept = e->word_chars > 0 && !e->too_long ? buffer->size - word : 0;
    memmove(buffer->data, buffer->data + word, kept);
    buffer->size = e->scanned = kept;
    return status;
}

/* A boundary: the end of the text, or an added token. */
static int end_segment(encoder *e)
{
    ce_buffer *buffer = &e->scratch->normalized;
    int status = ce_normalize_end(&e->scratch->normalizing, buffer);
    if (status == CE_OK && buffer->size > e->scanned)
        status = split_new(e);
    if (status == CE_OK)
        status = end_word(e, buffer->data, buffer->size);
    buffer->size = e->scanned = 0;
    return status;
}

/* ---- Added tokens ------------------------------------------------------------------------- */

typedef struct match {
    size_t start, end; /* of the token with the white space that it swallows */
    size_t resume;     /* where the search goes on: behind the token itself */
    const ce_added_token *token;
} match;

static int has(uint32_t scalar, uint8_t flag)
{
    return (ce_unicode_find(scalar)->flags & flag) != 0;
}

static int stands_alone(const char *text, size_t size, size_t start, size_t end)
{
    uint32_t next;
    if (start > 0 && has(ce_utf8_last(text, start), CE_UNICODE_WORD))
        return 0;
    return end == size || ce_utf8_decode(text + end, size - end, &next) == 0 ||
           !has(next, CE_UNICODE_WORD);
}

static size_t white_before(const char *text, size_t start)
{
    while (start > 0) {
        uint32_t scalar = ce_utf8_last(text, start);
        char ignored[4];
        if (!has(scalar, CE_UNICODE_WHITE))
            break;
        start -= ce_utf8_encode(scalar, ignored);
    }
    return start;
}

static size_t white_after(const char *text, size_t size, size_t end)
{
    uint32_t scalar;
    size_t bytes;
    while (end < size && (bytes = ce_utf8_decode(text + end, size - end, &scalar)) > 0 &&
           has(scalar, CE_UNICODE_WHITE))
        end += bytes;
    return end;
}

/* The first added token that starts in text[from .. to); text before `from` belongs to what came earlier. */
static int find_added(const encoder *e, int normalized, const char *text, size_t size, size_t from,
                      size_t to, size_t floor, match *found)
{
    const ce_added *added = &e->tokenizer->added;
    const ce_trie *trie = normalized ? &added->normalized : &added->raw;
    const unsigned char *starts = normalized ? added->starts_normalized : added->starts_raw;
    for (size_t at = from; at < to;) {
        int32_t index;
        size_t length = starts[(unsigned char)text[at]]
                            ? ce_trie_longest(trie, text + at, size - at, &index)
                            : 0;
        if (length == 0) {
            at++;
            continue;
        }
        const ce_added_token *token = &added->tokens[index];
        size_t end = at + length;
        if (token->single_word && !stands_alone(text, size, at, end)) {
            at = end;
            continue;
        }
        size_t start = token->lstrip ? white_before(text, at) : at;
        found->start = start > floor ? start : floor;
        found->resume = end;
        found->end = token->rstrip ? white_after(text, size, end) : end;
        found->token = token;
        return 1;
    }
    return 0;
}

static int normalize_piece(encoder *e, const char *text, size_t size)
{
    return ce_normalize(&e->tokenizer->normalizer, &e->scratch->normalizing, text, size,
                        &e->scratch->normalized, &e->bad);
}

/* Tokens that are looked for in normalized text: the segment is normalized whole, and its pieces are split. */
static int encode_normalized_tokens(encoder *e, const char *text, size_t size)
{
    ce_buffer *buffer = &e->scratch->normalized;
    int status = normalize_piece(e, text, size);
    if (status == CE_OK)
        status = ce_normalize_end(&e->scratch->normalizing, buffer);
    size_t done = 0, from = 0, word = 0;
    while (status == CE_OK && !full(e)) {
        match found;
        int any = find_added(e, 1, buffer->data, buffer->size, from, buffer->size, done, &found);
        size_t until = any ? found.start : buffer->size;
        if (until > done)
            status = split(e, buffer->data, done, until, &word);
        if (status == CE_OK)
            status = end_word(e, buffer->data + word, until > word ? until - word : 0);
        if (!any)
            break;
        if (status == CE_OK && !full(e))
            status = add_id(e, found.token->id);
        done = found.end;
        from = found.resume;
    }
    buffer->size = 0;
    return status;
}

/* A stretch of text without raw added tokens. */
static int encode_stretch(encoder *e, const char *text, size_t size)
{
    int status = normalize_piece(e, text, size);
    return status == CE_OK ? split_new(e) : status;
}

/* The end of a chunk that starts at `at`, moved to the end of a character. */
static size_t chunk_end(const char *text, size_t size, size_t at)
{
    size_t end = size - at > CHUNK ? at + CHUNK : size;
    while (end < size && ((unsigned char)text[end] & 0xC0) == 0x80 && end - at < CHUNK + 4)
        end++;
    return end;
}

static int encode_text(encoder *e, const char *text, size_t size)
{
    int whole_segments = e->tokenizer->added.any_normalized;
    size_t at = 0, from = 0;
    int status = CE_OK;
    while (at < size && status == CE_OK && !full(e)) {
        size_t end = whole_segments ? size : chunk_end(text, size, at);
        match found;
        int any = from < end && find_added(e, 0, text, size, from, end, at, &found);
        size_t until = any ? found.start : end;
        if (until > at) {
            status = whole_segments ? encode_normalized_tokens(e, text + at, until - at)
                                    : encode_stretch(e, text + at, until - at);
            if (status == CE_E_INVALID_UTF8)
                e->bad += at;
        }
        at = until;
        if (from < at)
            from = at;
        if (any && status == CE_OK) {
            status = end_segment(e);
            if (status == CE_OK && !full(e))
                status = add_id(e, found.token->id);
            at = found.end;
            from = found.resume;
        }
    }
    return status == CE_OK && !full(e) ? end_segment(e) : status;
}

/* ---- Public ------------------------------------------------------------------------------- */

int ce_tokenizer_scratch_create(ce_tokenizer_scratch **out, ce_error *error)
{
    *out = ce_calloc(1, sizeof **out);
    return *out ? CE_OK : ce_fail(error, CE_E_NO_MEMORY, "no memory for a tokenizer's work space");
}

void ce_tokenizer_scratch_destroy(ce_tokenizer_scratch *scratch)
{
    if (!scratch)
        return;
    ce_free(scratch->ids);
    ce_free(scratch->joined.data);
    ce_free(scratch->normalized.data);
    ce_free(scratch->normalizing.marks.data);
    ce_free(scratch);
}

size_t ce_tokenizer_scratch_bytes(const ce_tokenizer_scratch *scratch)
{
    return scratch->id_capacity * sizeof *scratch->ids + scratch->joined.capacity +
           scratch->normalized.capacity + scratch->normalizing.marks.capacity;
}

static int join_prompt(ce_tokenizer_scratch *scratch, const ce_encode_options *options,
                       const char **text, size_t *length)
{
    ce_buffer *joined = &scratch->joined;
    joined->size = 0;
    if (*length > SIZE_MAX / 4 || !ce_buffer_reserve(joined, options->prompt_length + *length))
        return CE_E_NO_MEMORY;
    memcpy(joined->data, options->prompt, options->prompt_length);
    if (*length > 0) /* an empty text may be NULL */
        memcpy(joined->data + options->prompt_length, *text, *length);
    *text = joined->data;
    *length += options->prompt_length;
    return CE_OK;
}

static int add_all(encoder *e, const int32_t *ids, size_t count)
{
    int status = CE_OK;
    for (size_t i = 0; i < count && status == CE_OK; i++)
        status = add_id(e, ids[i]);
    return status;
}

static int invalid_utf8(const encoder *e, const ce_encode_options *options, ce_error *error)
{
    if (e->bad < options->prompt_length)
        return ce_fail(error, CE_E_INVALID_UTF8, "invalid UTF-8 at byte %zu of the prompt", e->bad);
    return ce_fail(error, CE_E_INVALID_UTF8, "invalid UTF-8 at byte %zu",
                   e->bad - options->prompt_length);
}

int ce_tokenizer_encode(const ce_tokenizer *tokenizer, ce_tokenizer_scratch *scratch,
                        const char *text, size_t length, const ce_encode_options *options,
                        ce_encoding *out, ce_error *error)
{
    const ce_template *post = &tokenizer->post;
    size_t before = options->no_specials ? 0 : post->before_count;
    size_t after = options->no_specials ? 0 : post->after_count;
    size_t limit = options->max_tokens;
    if (limit && limit < before + after)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "max_tokens is %zu, below the %zu special tokens", limit, before + after);
    encoder e = {
        .tokenizer = tokenizer, .scratch = scratch, .limit = limit ? limit - after : SIZE_MAX - 1};
    scratch->normalized.size = scratch->normalizing.marks.size = 0;
    int status = CE_OK;
    if (options->prompt_length > 0)
        status = join_prompt(scratch, options, &text, &length);
    if (status == CE_OK)
        status = add_all(&e, post->before, before);
    if (status == CE_OK)
        status = encode_text(&e, text, length);
    int truncated = full(&e);
    if (truncated)
        e.count = e.limit;
    if (status == CE_OK)
        status = add_all(&e, post->after, after);
    if (status == CE_E_INVALID_UTF8)
        return invalid_utf8(&e, options, error);
    if (status != CE_OK)
        return ce_fail(error, status, "no memory to tokenize a text of %zu bytes", length);
    *out = (ce_encoding){scratch->ids, e.count, truncated};
    return CE_OK;
}
