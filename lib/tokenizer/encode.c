#include "tokenizer/pipeline.h"
#include "tokenizer/word_cache.h"

#include "base/mem.h"
#include "unicode/utf8.h"

/* Bytes of text that are looked at in one go: so much is read beyond the limit of tokens at most. */
enum { WINDOW = 1024 };

/* A limit that is none, and that other counts can be added to. */
#define UNLIMITED (SIZE_MAX / 2)

struct ce_tokenizer_scratch {
    uint64_t serial; /* of the tokenizer that the cache is for */
    ce_word_cache *cache;
    ce_tokens tokens;  /* of the text, then of its pair */
    ce_blanks *blanks; /* of each token, if offsets are trimmed */
    size_t blank_capacity;
    ce_tokens result;
    int32_t *type_ids;
    size_t type_capacity;
    ce_text joined;     /* prompt and text */
    ce_text source;     /* a part of the text with its origins */
    ce_text normalized; /* where added tokens are looked for in it: from the last one on */
    ce_text piece;      /* what is to be split, from the word that is still open on */
    ce_text levels[CE_PRE_TOKENIZERS_MOST];
    ce_normalizing normalizing;
    ce_bpe_work bpe;
    ce_lattice lattice;
};

/* One text on its way. */
typedef struct encoder {
    const ce_tokenizer *tokenizer;
    ce_tokenizer_scratch *scratch;
    const char *text;
    size_t size;
    size_t first; /* where its tokens begin */
    size_t limit; /* one token more than this is enough to know */
    int tracked, trimmed;
    int stopped; /* there are enough tokens */

    /* The piece between two added tokens. */
    int starts;                  /* it is where the text begins */
    uint32_t begun, entry_begun; /* of ce_part */
    size_t normalized_from;      /* in `normalized`: where the search for added tokens goes on */
    size_t normalized_floor;     /* and what is done with */
    int word_before;             /* a character of a word was dropped from there last */
    size_t read;                 /* where the last window ended */
    size_t bad;                  /* where invalid UTF-8 was found */
} encoder;

/* ---- Tokens ------------------------------------------------------------------------------- */

static size_t token_count(const encoder *e)
{
    return e->scratch->tokens.count - e->first;
}

static int set_blanks(encoder *e, size_t token, ce_blanks blanks)
{
    ce_tokenizer_scratch *scratch = e->scratch;
    if (token >= scratch->blank_capacity) {
        size_t capacity = 2 * token + 64;
        ce_blanks *grown = ce_reallocarray(scratch->blanks, capacity, sizeof *grown);
        if (!grown)
            return CE_E_NO_MEMORY;
        scratch->blanks = grown;
        scratch->blank_capacity = capacity;
    }
    scratch->blanks[token] = blanks;
    return CE_OK;
}

static int run_model(encoder *e, const char *word, size_t size, int whole)
{
    const ce_tokenizer *t = e->tokenizer;
    ce_tokenizer_scratch *scratch = e->scratch;
    switch (t->model) {
    case CE_MODEL_WORDPIECE:
        /* Too long a word is unknown, where it ends is not. */
        return whole ? ce_wordpiece_add(&t->wordpiece, word, size, &scratch->tokens) : CE_OK;
    case CE_MODEL_BPE:
        return (whole ? ce_bpe_add : ce_bpe_add_beginning)(&t->bpe, &scratch->bpe, word, size,
                                                           &scratch->tokens);
    default:
        return (whole ? ce_unigram_add : ce_unigram_add_beginning)(&t->unigram, &scratch->lattice,
                                                                   word, size, &scratch->tokens);
    }
}

static int add_tracked(encoder *e, const ce_view *word, int whole)
{
    ce_tokens *tokens = &e->scratch->tokens;
    size_t before = tokens->count;
    int status = run_model(e, word->data, word->size, whole);
    for (size_t i = before; i < tokens->count && status == CE_OK; i++) {
        ce_span *span = &tokens->spans[i];
        *span = (ce_span){word->origins[span->start].start, word->origins[span->end - 1].end};
        const ce_post *post = &e->tokenizer->post;
        size_t id = (size_t)tokens->ids[i];
        if (e->trimmed)
            status = set_blanks(e, i,
                                id < post->blank_count
                                    ? (ce_blanks){post->blanks[id][0], post->blanks[id][1]}
                                    : (ce_blanks){0, 0});
    }
    return status;
}

static int add_cached(encoder *e, const ce_view *word, size_t readable)
{
    ce_tokens *tokens = &e->scratch->tokens;
    ce_word_key key = ce_word_key_of(word->data, word->size, readable);
    ce_word_slot *slot = ce_word_slot_of(e->scratch->cache, &key);
    if (ce_word_slot_has(slot, &key, word->size)) {
        if (!ce_tokens_reserve(tokens, CE_WORD_IDS))
            return CE_E_NO_MEMORY;
        memcpy(tokens->ids + tokens->count, slot->ids, sizeof slot->ids);
        tokens->count += slot->count;
        return CE_OK;
    }
    size_t before = tokens->count;
    int status = run_model(e, word->data, word->size, 1);
    size_t count = tokens->count - before;
    if (status == CE_OK && count <= CE_WORD_IDS) {
        memcpy(slot->key, key.parts, sizeof slot->key);
        memcpy(slot->ids, tokens->ids + before, count * sizeof *slot->ids);
        slot->size = (uint8_t)word->size;
        slot->count = (uint8_t)count;
    }
    return status;
}

/* `readable` bytes can be read from the word's beginning on. */
static int add_word(encoder *e, const ce_view *word, size_t readable)
{
    int status;
    if (e->tracked)
        status = add_tracked(e, word, 1);
    else if (word->size <= CE_WORD_MOST)
        status = add_cached(e, word, readable);
    else
        status = run_model(e, word->data, word->size, 1);
    if (token_count(e) > e->limit)
        e->stopped = 1;
    return status;
}

/* ---- Pre-tokenizers ----------------------------------------------------------------------- */

static int split_words(encoder *e, size_t level, ce_view text, size_t readable, int more,
                       size_t *done);

/* What a pre-tokenizer behind the first does to a text before it splits it. */
static int enter(encoder *e, size_t level, int last, ce_view *text, size_t *readable)
{
    const ce_pre_tokenizer *pre = &e->tokenizer->pre_tokenizers[level];
    ce_text *copy = &e->scratch->levels[level];
    ce_part part = {.text = *text, .last = last};
    if (level == 0 || pre->entry_count == 0)
        return CE_OK;
    copy->size = 0;
    copy->tracked = e->tracked;
    int status =
        ce_normalize(pre->entries, pre->entry_count, &e->scratch->normalizing, &part, copy);
    if (status == CE_OK) {
        *text = ce_view_of(copy, 0, copy->size);
        *readable = copy->capacity;
    }
    return status;
}

static int split_whole(encoder *e, size_t level, const ce_view *word, size_t readable)
{
    const ce_tokenizer *t = e->tokenizer;
    if (word->size == 0)
        return CE_OK;
    size_t done;
    if (level == t->pre_tokenizer_count)
        return add_word(e, word, readable);
    ce_view text = *word;
    int status = enter(e, level, 1, &text, &readable);
    return status == CE_OK ? split_words(e, level, text, readable, 0, &done) : status;
}

/* Split the text and add its words; with `more` text to come only those that this cannot change. `*done`: bytes that
 * need not be given again. */
static int split_words(encoder *e, size_t level, ce_view text, size_t readable, int more,
                       size_t *done)
{
    const ce_pre_tokenizer *pre = &e->tokenizer->pre_tokenizers[level];
    size_t at = 0, start, end;
    int status = CE_OK;
    while (status == CE_OK && !e->stopped &&
           ce_pre_tokenize(pre, text.data, text.size, more, &at, &start, &end)) {
        const ce_view word = {text.data + start, end - start,
                              text.origins ? text.origins + start : NULL};
        status = split_whole(e, level + 1, &word, readable - start);
    }
    *done = at;
    return status;
}

/* The text is the beginning of one word of a pre-tokenizer, but its end is not in sight. Whether it has enough tokens in it
 * can be known all the same; if not, nothing is added. */
static int add_beginning(encoder *e, size_t level, const ce_view *text)
{
    const ce_tokenizer *t = e->tokenizer;
    if (level < t->pre_tokenizer_count) {
        const ce_pre_tokenizer *pre = &t->pre_tokenizers[level];
        ce_view split = *text;
        size_t done, readable = text->size;
        int status = enter(e, level, 0, &split, &readable);
        if (status != CE_OK)
            return status == CE_UNDECIDED ? CE_OK : status;
        status = split_words(e, level, split, readable, 1, &done);
        if (status != CE_OK || e->stopped || done == split.size)
            return status;
        const ce_view open = {split.data + done, split.size - done,
                              split.origins ? split.origins + done : NULL};
        if (!ce_pre_tokenize_is_word(pre, open.data, open.size))
            return CE_OK;
        return add_beginning(e, level + 1, &open);
    }
    int status = e->tracked ? add_tracked(e, text, 0) : run_model(e, text->data, text->size, 0);
    e->stopped |= token_count(e) > e->limit;
    return status;
}

/* A word that is longer than this is looked into before its end is known. */
enum { LONG_WORD = 4096 };

static int look_into(encoder *e, const ce_view *open)
{
    const ce_tokenizer *t = e->tokenizer;
    size_t before = e->scratch->tokens.count;
    if (open->size < LONG_WORD || e->limit >= UNLIMITED)
        return CE_OK;
    if (t->pre_tokenizer_count > 0 &&
        !ce_pre_tokenize_is_word(&t->pre_tokenizers[0], open->data, open->size))
        return CE_OK;
    int status = add_beginning(e, t->pre_tokenizer_count > 0, open);
    if (!e->stopped)
        e->scratch->tokens.count = before;
    return status;
}

/* The first pre-tokenizer's text: what there is of it, or all. */
static int split_piece(encoder *e, const ce_view *text, size_t readable, int last, size_t *done)
{
    const ce_tokenizer *t = e->tokenizer;
    int status = CE_OK;
    *done = 0;
    if (t->is_bert && !e->tracked) {
        status = ce_wordpiece_add_bert(&t->wordpiece, text->data, text->size, !last,
                                       e->first + e->limit, done, &e->scratch->tokens);
        e->stopped |= token_count(e) > e->limit;
        return status;
    }
    if (t->pre_tokenizer_count > 0)
        status = split_words(e, 0, *text, readable, !last, done);
    else if (last)
        status = split_whole(e, 0, text, readable);
    if (status == CE_OK && !last && !e->stopped) {
        const ce_view open = {text->data + *done, text->size - *done,
                              text->origins ? text->origins + *done : NULL};
        status = look_into(e, &open);
    }
    return status;
}

static int split_buffered(encoder *e, int last)
{
    ce_text *piece = &e->scratch->piece;
    size_t done;
    const ce_view text = ce_view_of(piece, 0, piece->size);
    int status = split_piece(e, &text, piece->capacity, last, &done);
    ce_text_drop(piece, last ? piece->size : done);
    return status;
}

/* ---- Added tokens ------------------------------------------------------------------------- */

static int add_added(encoder *e, const char *text, const ce_found *found, ce_span span)
{
    int status = ce_tokens_add(&e->scratch->tokens, found->token->id, span.start, span.end);
    if (status == CE_OK && e->trimmed) {
        ce_blanks blanks;
        ce_added_blanks(text + found->start, found->end - found->start, &blanks.leading,
                        &blanks.trailing);
        status = set_blanks(e, e->scratch->tokens.count - 1, blanks);
    }
    if (token_count(e) > e->limit)
        e->stopped = 1;
    return status;
}

static void begin_piece(encoder *e, int starts)
{
    ce_tokenizer_scratch *scratch = e->scratch;
    e->starts = starts;
    e->begun = e->entry_begun = 0;
    e->normalized_from = e->normalized_floor = 0;
    e->word_before = 0;
    scratch->piece.size = scratch->normalized.size = 0;
    scratch->piece.tracked = scratch->normalized.tracked = scratch->source.tracked = e->tracked;
}

/* ---- Added tokens in normalized text ---------------------------------------------------------- */

/* normalized[floor .. end) holds no added token: hand it to the pre-tokenizers. */
static int release(encoder *e, size_t end, int last)
{
    const ce_tokenizer *t = e->tokenizer;
    ce_text *normalized = &e->scratch->normalized;
    ce_part part = {.text = ce_view_of(normalized, e->normalized_floor, end),
                    .last = last,
                    .begun = e->entry_begun};
    int status = ce_normalize(t->normalizers + t->normalizer_count, t->entry_count,
                              &e->scratch->normalizing, &part, &e->scratch->piece);
    e->entry_begun = part.begun;
    if (status == CE_OK)
        status = split_buffered(e, last);
    return status;
}

static void drop_normalized(encoder *e, size_t bytes)
{
    ce_text *normalized = &e->scratch->normalized;
    if (bytes > 0)
        e->word_before = ce_added_word_at_end(normalized->data, bytes);
    ce_text_drop(normalized, bytes);
}

/* What has been normalized so far, or all of the piece. */
static int search_normalized(encoder *e, int last)
{
    const ce_added *added = &e->tokenizer->added;
    ce_text *normalized = &e->scratch->normalized;
    int status = CE_OK;
    while (status == CE_OK && !e->stopped) {
        /* A token that begins further behind may be longer than what there is, and is looked around. */
        size_t margin = last ? 0 : added->normalized.longest + 4;
        size_t to = normalized->size > margin ? normalized->size - margin : 0;
        ce_found found;
        if (!ce_added_find(added, &added->normalized, normalized->data, normalized->size,
                           e->normalized_from, to, e->normalized_floor, e->word_before, &found)) {
            if (!last && added->normalized.any_lstrip)
                to = ce_added_white_at_end(normalized->data, e->normalized_floor, to);
            while (to < normalized->size && ce_utf8_continues(normalized->data[to]))
                to--;
            if (!last && to <= e->normalized_floor)
                return CE_OK;
            status = release(e, last ? normalized->size : to, last);
            if (status == CE_UNDECIDED)
                return CE_OK;
            drop_normalized(e, to);
            e->normalized_from = e->normalized_floor = 0;
            return status;
        }
        if (!last && found.end == normalized->size)
            return CE_OK;
        status =
            release(e, found.start > e->normalized_floor ? found.start : e->normalized_floor, 1);
        const ce_view text = ce_view_of(normalized, 0, normalized->size);
        if (status == CE_OK && !e->stopped) {
            ce_span span = {0, 0};
            if (e->tracked)
                span = (ce_span){text.origins[found.start].start, text.origins[found.end - 1].end};
            status = add_added(e, text.data, &found, span);
        }
        drop_normalized(e, found.resume);
        e->normalized_from = 0;
        e->normalized_floor = found.end - found.resume;
        e->entry_begun = 0;
    }
    return status;
}

/* ---- Raw text ----------------------------------------------------------------------------- */

/* The raw text[from .. to) with its origins. */
static int load_source(encoder *e, size_t from, size_t to)
{
    ce_text *source = &e->scratch->source;
    source->size = 0;
    if (!ce_text_reserve(source, to - from))
        return CE_E_NO_MEMORY;
    for (size_t at = from; at < to;) {
        uint32_t scalar;
        size_t bytes = ce_utf8_decode(e->text + at, to - at, &scalar);
        ce_text_put(source, scalar, (ce_span){at, at + bytes});
        at += bytes;
    }
    return CE_OK;
}

/* Nothing is done to the text before it is split, so it can be split where it lies. */
static int splits_in_place(const encoder *e)
{
    const ce_tokenizer *t = e->tokenizer;
    return t->normalizer_count + t->entry_count + t->added.normalized.count == 0 && !e->tracked;
}

static int normalize(encoder *e, size_t from, size_t to, int last)
{
    const ce_tokenizer *t = e->tokenizer;
    int search = t->added.normalized.count > 0;
    size_t count = t->normalizer_count + (search ? 0 : t->entry_count);
    ce_part part = {.text = {e->text + from, to - from, NULL},
                    .starts = e->starts,
                    .last = last,
                    .begun = e->begun};
    if (e->tracked) {
        int status = load_source(e, from, to);
        if (status != CE_OK)
            return status;
        part.text = ce_view_of(&e->scratch->source, 0, e->scratch->source.size);
    }
    int status = ce_normalize(t->normalizers, count, &e->scratch->normalizing, &part,
                              search ? &e->scratch->normalized : &e->scratch->piece);
    e->begun = part.begun;
    return status;
}

/* Take in text[*at .. until), which holds no raw added token, as far as that can be done before the rest is known; with
 * `last` all of it, and the piece ends there. */
static int take_in(encoder *e, size_t *at, size_t until, int last)
{
    const ce_tokenizer *t = e->tokenizer;
    size_t cut = until;
    if (splits_in_place(e)) {
        if (!last && t->added.raw.any_lstrip)
            cut = ce_added_white_at_end(e->text, *at, until);
        const ce_view text = {e->text + *at, cut - *at, NULL};
        size_t done;
        int status = split_piece(e, &text, e->size - *at, last, &done);
        *at = last ? until : *at + done;
        return status;
    }
    if (!last)
        cut = ce_normalize_cut(t->normalizers, t->normalizer_count + t->entry_count,
                               &e->scratch->normalizing, e->text, *at, until, e->size);
    if (cut == *at && !last)
        return CE_OK;
    int status = normalize(e, *at, cut, last);
    if (status == CE_UNDECIDED)
        return CE_OK;
    *at = cut;
    if (status != CE_OK)
        return status;
    return t->added.normalized.count > 0 ? search_normalized(e, last) : split_buffered(e, last);
}

/* Text that has been read but waits for more. */
static size_t pending(const encoder *e, size_t at, size_t end)
{
    return end - at + e->scratch->piece.size + e->scratch->normalized.size;
}

/* The end of the window that starts at `at`, moved to the end of a character. */
static size_t window_end(const encoder *e, size_t at, size_t window)
{
    size_t end = e->size - at > window ? at + window : e->size;
    while (end < e->size && ce_utf8_continues(e->text[end]) && end - at < window + 4)
        end++;
    return end;
}

/* Behind what is well-formed from `at` on. */
static size_t check_utf8(const char *text, size_t at, size_t end)
{
    while (at < end) {
        while (end - at >= 8) {
            uint64_t eight;
            memcpy(&eight, text + at, 8);
            eight &= 0x8080808080808080u;
            at += eight ? (size_t)__builtin_ctzll(eight) / 8 : 8;
            if (eight)
                break;
        }
        if (at < end && (unsigned char)text[at] < 0x80) {
            at++;
            continue;
        }
        /* Nearly all characters of two and of three bytes need no more than this. */
        while (end - at >= 2 && (unsigned char)(text[at] - 0xC2) < 0x1E &&
               ce_utf8_continues(text[at + 1]))
            at += 2;
        while (end - at >= 3 && (unsigned char)(text[at] - 0xE1) < 0x0C &&
               ce_utf8_continues(text[at + 1]) && ce_utf8_continues(text[at + 2]))
            at += 3;
        if (at == end || (unsigned char)text[at] < 0x80)
            continue;
        uint32_t scalar;
        size_t bytes = ce_utf8_decode(text + at, end - at, &scalar);
        if (bytes == 0)
            break;
        at += bytes;
    }
    return at;
}

static int encode_text(encoder *e)
{
    const ce_added *added = &e->tokenizer->added;
    size_t at = 0, end = 0, from = 0, floor = 0;
    int status = CE_OK;
    begin_piece(e, 1);
    while (status == CE_OK && !e->stopped && at < e->size) {
        if (from >= end) {
            size_t waiting = pending(e, at, end), checked = end;
            end = window_end(e, end, waiting > WINDOW ? waiting : WINDOW);
            e->bad = check_utf8(e->text, checked, end);
            if (e->bad < end)
                return CE_E_INVALID_UTF8;
        }
        ce_found found;
        int any = ce_added_find(added, &added->raw, e->text, e->size, from, end, floor, 0, &found);
        /* It swallows white space that has not been looked at: with the text up to there it is found again. */
        if (any && found.end > end) {
            size_t checked = end;
            end = found.end;
            e->bad = check_utf8(e->text, checked, end);
            if (e->bad < end)
                return CE_E_INVALID_UTF8;
        }
        size_t until = any ? (found.start > at ? found.start : at) : end;
        status = take_in(e, &at, until, any || end == e->size);
        from = end;
        if (!any || status != CE_OK || e->stopped)
            continue;
        status = add_added(e, e->text, &found, (ce_span){found.start, found.end});
        at = floor = found.end;
        from = found.resume;
        begin_piece(e, 0);
    }
    e->read = end;
    return status;
}

/* ---- Result ------------------------------------------------------------------------------- */

/* The tokens of one text that are left of it. */
typedef struct kept {
    size_t first, count;
} kept;

static int reserve_types(ce_tokenizer_scratch *scratch, size_t count)
{
    if (count <= scratch->type_capacity)
        return 1;
    int32_t *grown = ce_reallocarray(scratch->type_ids, 2 * count, sizeof *grown);
    if (!grown)
        return 0;
    scratch->type_ids = grown;
    scratch->type_capacity = 2 * count;
    return 1;
}

static void put_text(ce_tokenizer_scratch *scratch, kept text)
{
    ce_tokens *result = &scratch->result;
    const ce_tokens *tokens = &scratch->tokens;
    if (text.count > 0)
        memcpy(result->ids + result->count, tokens->ids + text.first,
               text.count * sizeof *result->ids);
    if (result->tracked && text.count > 0)
        memcpy(result->spans + result->count, tokens->spans + text.first,
               text.count * sizeof *result->spans);
    result->count += text.count;
}

static int fill_in(ce_tokenizer_scratch *scratch, const ce_template *template, int specials,
                   int types, const kept texts[2])
{
    ce_tokens *result = &scratch->result;
    size_t most = texts[0].count + texts[1].count + template->specials;
    result->count = 0;
    if (!ce_tokens_reserve(result, most) || (types && !reserve_types(scratch, most)))
        return CE_E_NO_MEMORY;
    for (size_t i = 0; i < template->count; i++) {
        const ce_piece *piece = &template->pieces[i];
        size_t before = result->count;
        if (piece->kind != CE_PIECE_TOKEN)
            put_text(scratch, texts[piece->kind == CE_PIECE_PAIR]);
        else if (specials)
            ce_tokens_put(result, piece->id, 0, 0);
        for (size_t k = before; k < result->count && types; k++)
            scratch->type_ids[k] = piece->type_id;
    }
    return CE_OK;
}

/* Offsets count from the beginning of the text, not of the prompt. */
static void leave_out_prompt(ce_span *spans, size_t count, size_t prompt)
{
    for (size_t i = 0; i < count && prompt > 0; i++) {
        ce_span *span = &spans[i];
        span->start = span->start > prompt ? span->start - prompt : 0;
        span->end = span->end > prompt ? span->end - prompt : 0;
    }
}

/* ---- Public ------------------------------------------------------------------------------- */

int ce_tokenizer_scratch_create(ce_tokenizer_scratch **out, ce_error *error)
{
    ce_tokenizer_scratch *scratch = ce_calloc(1, sizeof *scratch);
    if (scratch)
        scratch->cache = ce_aligned_alloc(64, sizeof *scratch->cache);
    *out = scratch;
    if (scratch && scratch->cache)
        return CE_OK;
    ce_free(scratch);
    *out = NULL;
    return ce_fail(error, CE_E_NO_MEMORY, "no memory for a tokenizer's work space");
}

void ce_tokenizer_scratch_destroy(ce_tokenizer_scratch *scratch)
{
    if (!scratch)
        return;
    ce_free(scratch->cache);
    ce_tokens_free(&scratch->tokens);
    ce_tokens_free(&scratch->result);
    ce_free(scratch->blanks);
    ce_free(scratch->type_ids);
    ce_text_free(&scratch->joined);
    ce_text_free(&scratch->source);
    ce_text_free(&scratch->normalized);
    ce_text_free(&scratch->piece);
    for (size_t i = 0; i < CE_PRE_TOKENIZERS_MOST; i++)
        ce_text_free(&scratch->levels[i]);
    ce_normalizing_free(&scratch->normalizing);
    ce_bpe_work_free(&scratch->bpe);
    ce_lattice_free(&scratch->lattice);
    ce_free(scratch);
}

size_t ce_tokenizer_scratch_bytes(const ce_tokenizer_scratch *s)
{
    size_t bytes = ce_tokens_bytes(&s->tokens) + ce_tokens_bytes(&s->result) +
                   s->blank_capacity * sizeof *s->blanks + s->type_capacity * sizeof *s->type_ids +
                   ce_text_bytes(&s->joined) + ce_text_bytes(&s->source) +
                   ce_text_bytes(&s->normalized) + ce_text_bytes(&s->piece) +
                   ce_normalizing_bytes(&s->normalizing) + ce_bpe_work_bytes(&s->bpe) +
                   ce_lattice_bytes(&s->lattice);
    for (size_t i = 0; i < CE_PRE_TOKENIZERS_MOST; i++)
        bytes += ce_text_bytes(&s->levels[i]);
    return bytes;
}

static int join_prompt(ce_tokenizer_scratch *scratch, const ce_encode_options *options,
                       const char **text, size_t *length)
{
    ce_text *joined = &scratch->joined;
    joined->size = 0;
    if (*length > SIZE_MAX / 8 || !ce_text_reserve(joined, options->prompt_length + *length))
        return CE_E_NO_MEMORY;
    ce_text_append(joined, options->prompt, options->prompt_length, NULL);
    ce_text_append(joined, *text, *length, NULL); /* an empty text may be NULL */
    *text = joined->data;
    *length = joined->size;
    return CE_OK;
}

static int invalid_utf8(const encoder *e, size_t prompt, const char *which, ce_error *error)
{
    if (e->bad < prompt)
        return ce_fail(error, CE_E_INVALID_UTF8, "invalid UTF-8 at byte %zu of the prompt", e->bad);
    return ce_fail(error, CE_E_INVALID_UTF8, "invalid UTF-8 at byte %zu%s", e->bad - prompt, which);
}

/* The cache holds tokens of one tokenizer. */
static void begin(const ce_tokenizer *tokenizer, ce_tokenizer_scratch *scratch, int tracked)
{
    if (scratch->serial != tokenizer->serial) {
        memset(scratch->cache, 0, sizeof *scratch->cache);
        scratch->serial = tokenizer->serial;
    }
    scratch->tokens.count = scratch->result.count = 0;
    scratch->tokens.tracked = tracked;
}

/* Whether it ended too early to see where its text ends: round the end of a window no more is looked at than an added
 * token and two characters. */
static int is_cut_early(const encoder *e)
{
    size_t margin = e->tokenizer->added.raw.longest + 8;
    return e->stopped && e->size > margin && e->read <= e->size - margin;
}

/* Most of a long text lies behind the limit: a first part is joined to the prompt, then twice as much for as long as it
 * shows that this is not all. */
static int encode_behind_prompt(encoder *e, const ce_encode_options *options)
{
    const encoder fresh = *e;
    size_t part = e->limit > e->size / 8 ? e->size : 8 * e->limit + 4 * WINDOW;
    for (;; part *= 2) {
        *e = fresh;
        if (part < fresh.size)
            e->size = part;
        begin(e->tokenizer, e->scratch, e->tracked);
        int status = join_prompt(e->scratch, options, &e->text, &e->size);
        if (status == CE_OK)
            status = encode_text(e);
        if (part >= fresh.size || status == CE_E_NO_MEMORY || (status == CE_OK && is_cut_early(e)))
            return status;
    }
}

static void cut_text(const ce_encode_options *options, size_t budget, kept *text)
{
    if (text->count <= budget)
        return;
    text->first += options->truncate_left ? text->count - budget : 0;
    text->count = budget;
}

static void cut_pair(const ce_encode_options *options, size_t budget, kept texts[2])
{
    size_t counts[2] = {texts[0].count, texts[1].count};
    ce_post_share(budget, &counts[0], &counts[1]);
    cut_text(options, counts[0], &texts[0]);
    cut_text(options, counts[1], &texts[1]);
}

/* Tokens of both texts; the encoders say where each one's text lies. */
static int encode_texts(encoder *text, encoder *pair, const ce_encode_options *options,
                        kept texts[2], ce_error *error)
{
    ce_tokens *tokens = &text->scratch->tokens;
    size_t prompt = options->prompt_length;
    int status = prompt > 0 ? encode_behind_prompt(text, options) : encode_text(text);
    if (status == CE_E_INVALID_UTF8)
        return invalid_utf8(text, prompt, "", error);
    texts[0] = (kept){0, tokens->count};
    texts[1] = (kept){tokens->count, 0};
    if (status == CE_OK && options->pair) {
        pair->first = tokens->count;
        status = encode_text(pair);
        if (status == CE_E_INVALID_UTF8)
            return invalid_utf8(pair, 0, " of the pair", error);
        texts[1].count = tokens->count - texts[1].first;
    }
    return status == CE_OK ? CE_OK
                           : ce_fail(error, status, "no memory to tokenize a text of %zu bytes",
                                     text->size - prompt);
}

static void trim(const encoder *e, const kept *text)
{
    const ce_tokenizer_scratch *scratch = e->scratch;
    if (e->trimmed)
        ce_post_trim(&e->tokenizer->post, e->text, e->size, scratch->tokens.spans + text->first,
                     scratch->blanks + text->first, text->count);
}

int ce_tokenizer_encode(const ce_tokenizer *tokenizer, ce_tokenizer_scratch *scratch,
                        const char *text, size_t length, const ce_encode_options *options,
                        ce_encoding *out, ce_error *error)
{
    const ce_post *post = &tokenizer->post;
    const ce_template *template = options->pair ? &post->pair : &post->single;
    size_t specials = options->no_specials ? 0 : template->specials;
    size_t limit = options->max_tokens, budget = limit ? limit - specials : UNLIMITED;
    if (template->count == 0)
        return ce_fail(error, CE_E_UNSUPPORTED,
                       "the tokenizer's post_processor has no template for pairs");
    if (limit && limit < specials)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "max_tokens is %zu, below the %zu special tokens", limit, specials);
    /* Of a pair, which one is longer must be known. */
    int to_the_end = options->truncate_left || options->pair;
    encoder first = {.tokenizer = tokenizer,
                     .scratch = scratch,
                     .text = text,
                     .size = length,
                     .limit = to_the_end ? UNLIMITED : budget,
                     .tracked = options->offsets || tokenizer->needs_origins,
                     .trimmed = options->offsets && post->trim_offsets};
    encoder second = first;
    second.text = options->pair;
    second.size = options->pair_length;
    begin(tokenizer, scratch, first.tracked);
    kept texts[2];
    int status = encode_texts(&first, &second, options, texts, error);
    if (status != CE_OK)
        return status;
    size_t found = texts[0].count + texts[1].count;
    if (options->pair)
        cut_pair(options, budget, texts);
    else
        cut_text(options, budget, &texts[0]);
    trim(&first, &texts[0]);
    trim(&second, &texts[1]);
    if (options->offsets)
        leave_out_prompt(scratch->tokens.spans, texts[0].first + texts[0].count,
                         options->prompt_length);
    scratch->result.tracked = options->offsets;
    if (fill_in(scratch, template, !options->no_specials, options->pair != NULL, texts) != CE_OK)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for %zu tokens", found);
    *out = (ce_encoding){.ids = scratch->result.ids,
                         .type_ids = options->pair ? scratch->type_ids : NULL,
                         .offsets = options->offsets ? scratch->result.spans : NULL,
                         .count = scratch->result.count,
                         .truncated = texts[0].count + texts[1].count < found};
    return CE_OK;
}
