#include "tokenizer/bpe.h"

#include "base/mem.h"
#include "unicode/utf8.h"

#include <string.h>

/* ---- Splitting into characters -------------------------------------------------------------- */

/* A run of unknown characters that has not been added yet, as the reference keeps it: bytes that a fallback adds
 * meanwhile come to stand before it. */
static void flush(const ce_bpe *model, ce_merging *work, size_t *pending)
{
    if (*pending > 0)
        ce_merging_add(work, model->unk, *pending);
    *pending = 0;
}

static void add_unknown(const ce_bpe *model, ce_merging *work, size_t size, size_t *pending)
{
    if (model->unk < 0)
        return;
    if (!model->fuse_unk)
        flush(model, work, pending);
    *pending += size;
}

static int fall_back(const ce_bpe *model, ce_merging *work, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (model->bytes[(unsigned char)text[i]] < 0)
            return 0;
    for (size_t i = 0; i < size; i++)
        ce_merging_add(work, model->bytes[(unsigned char)text[i]], 1);
    return 1;
}

/* The token of the one character; -1 if there is none. */
static int32_t find_char(const ce_bpe *model, const char *text, size_t size)
{
    return model->byte_level ? model->bytes[(unsigned char)*text]
                             : ce_trie_exact(&model->vocab, text, size);
}

static size_t char_size(const ce_bpe *model, const char *text, size_t size)
{
    uint32_t scalar;
    return model->byte_level ? 1 : ce_utf8_decode(text, size, &scalar);
}

static void split(const ce_bpe *model, ce_merging *work, const char *word, size_t size)
{
    size_t pending = 0;
    for (size_t at = 0; at < size;) {
        size_t bytes = char_size(model, word + at, size - at);
        int32_t id = find_char(model, word + at, bytes);
        if (id >= 0) {
            flush(model, work, &pending);
            ce_merging_add(work, id, bytes);
        } else if (!model->byte_fallback || !fall_back(model, work, word + at, bytes)) {
            add_unknown(model, work, bytes, &pending);
        }
        at += bytes;
    }
    flush(model, work, &pending);
}

static int add_merged(const ce_bpe *model, ce_bpe_work *work, const char *word, size_t size,
                      ce_tokens *out)
{
    ce_merging *merging = &work->merging;
    if (!ce_merging_begin(merging, size))
        return CE_E_NO_MEMORY;
    split(model, merging, word, size);
    if (!ce_merging_run(&model->merges, merging) || !ce_tokens_reserve(out, merging->count))
        return CE_E_NO_MEMORY;
    size_t start = 0;
    for (size_t i = 0; i < merging->count; i++) {
        const ce_symbol *s = &merging->symbols[i];
        if (s->size > 0)
            ce_tokens_put(out, s->id, start, start + s->size);
        start += s->size;
    }
    return CE_OK;
}

/* ---- Searching ------------------------------------------------------------------------------ */

/* What merging ends with is the one sequence of tokens in which every two neighbours, merged anew from their characters,
 * end as these two again. For as long as no merge reaches over the border of two tokens, those within go on as if each
 * token stood alone; so the first one to do that would do it to these two neighbours alone as well. That sequence can be
 * searched for, from longest matches on, which takes a look at few pairs where merging takes one at all of them. */

/* Whether the two stay two. Undoes the merges on both sides of their border, the latest first, and asks each time whether
 * the merge over the border would have come before the one just undone. Ranks grow from the parts of a token to the whole,
 * so their order is the order in time; of equal ones the left comes first. */
static int stay_apart(const ce_bpe *model, int32_t left, int32_t right, int64_t limit)
{
    for (;;) {
        const ce_merge *merge = ce_merges_find(&model->merges, left, right);
        if (merge && merge->rank < limit)
            return 0;
        const ce_bpe_token *l = &model->tokens[left], *r = &model->tokens[right];
        if (l->rank > r->rank) {
            limit = l->rank;
            left = l->right;
        } else if (r->rank >= 0) {
            limit = (int64_t)r->rank + 1;
            right = r->left;
        } else {
            return 1;
        }
    }
}

static int is_dead(const ce_bpe_work *work, size_t place)
{
    return work->dead[place >> 6] >> (place & 63) & 1;
}

static int reserve_dead(ce_bpe_work *work, size_t size)
{
    size_t words = size / 64 + 1;
    if (words > work->dead_capacity) {
        uint64_t *dead = ce_reallocarray(work->dead, 2 * words, sizeof *dead);
        if (!dead)
            return 0;
        work->dead = dead;
        work->dead_capacity = 2 * words;
    }
    memset(work->dead, 0, words * sizeof *work->dead);
    return 1;
}

/* Put the tokens of word[at ..) as far as its characters are known; returns where that ends, SIZE_MAX if there is no way,
 * which cannot be. `offset` is where the tokens' spans begin. */
static size_t search(const ce_bpe *model, ce_bpe_work *work, const char *word, size_t at,
                     size_t size, size_t offset, ce_tokens *out)
{
    size_t first = out->count, start = at;
    while (at < size) {
        int32_t token = -1;
        size_t end = at + ce_trie_longest(&model->trie, word + at, size - at, &token);
        if (end == at)
            break;
        int32_t last = out->count > first ? out->ids[out->count - 1] : -1;
        for (;;) {
            if (token < 0) { /* no way on from here, and there is but one way to here */
                if (out->count == first)
                    return SIZE_MAX;
                work->dead[at >> 6] |= (uint64_t)1 << (at & 63);
                token = out->ids[--out->count];
                at -= model->tokens[token].size;
                token = model->tokens[token].prefix;
                last = out->count > first ? out->ids[out->count - 1] : -1;
                end = token < 0 ? at : at + model->tokens[token].size;
                continue;
            }
            if (!is_dead(work, end) && (last < 0 || stay_apart(model, last, token, INT64_MAX))) {
                ce_tokens_put(out, token, offset + at - start, offset + end - start);
                at = end;
                break;
            }
            token = model->tokens[token].prefix;
            end = token < 0 ? at : at + model->tokens[token].size;
        }
    }
    return at;
}

/* The unknown characters at `at`; returns where they end. */
static size_t put_unknown(const ce_bpe *model, const char *word, size_t at, size_t size,
                          size_t *offset, ce_tokens *out)
{
    size_t unknown = 0;
    while (at < size) {
        size_t bytes = char_size(model, word + at, size - at);
        if (find_char(model, word + at, bytes) >= 0)
            break;
        for (size_t i = 0; i < bytes && model->byte_fallback; i++) {
            ce_tokens_put(out, model->bytes[(unsigned char)word[at + i]], *offset, *offset + 1);
            ++*offset;
        }
        at += bytes;
        unknown += bytes;
        if (model->fuse_unk && !model->byte_fallback)
            continue;
        break;
    }
    if (!model->byte_fallback && model->unk >= 0) {
        ce_tokens_put(out, model->unk, *offset, *offset + unknown);
        *offset += unknown;
    }
    return at;
}

static int add_searched(const ce_bpe *model, ce_bpe_work *work, const char *word, size_t size,
                        ce_tokens *out)
{
    if (!ce_tokens_reserve(out, size) || !reserve_dead(work, size))
        return CE_E_NO_MEMORY;
    size_t offset = 0, before = out->count;
    for (size_t at = 0; at < size;) {
        size_t end = search(model, work, word, at, size, offset, out);
        if (end == SIZE_MAX) {
            out->count = before;
            return add_merged(model, work, word, size, out);
        }
        offset += end - at;
        at = end < size ? put_unknown(model, word, end, size, &offset, out) : end;
    }
    return CE_OK;
}

int ce_bpe_add(const ce_bpe *model, ce_bpe_work *work, const char *word, size_t size,
               ce_tokens *out)
{
    if (model->ignore_merges) {
        int32_t id = ce_trie_exact(&model->vocab, word, size);
        if (id >= 0)
            return ce_tokens_add(out, id, 0, size);
    }
    return model->searches ? add_searched(model, work, word, size, out)
                           : add_merged(model, work, word, size, out);
}

/* ---- The beginning of a word ------------------------------------------------------------------ */

static int add_part(const ce_bpe *model, ce_bpe_work *work, const char *text, size_t size,
                    ce_tokens *out)
{
    out->count = 0;
    out->tracked = 1;
    return model->searches ? add_searched(model, work, text, size, out)
                           : add_merged(model, work, text, size, out);
}

/* Whether the two tokens, which lie side by side at the beginning of the text, are what merging makes of them. */
static int merge_to_two(const ce_bpe *model, ce_bpe_work *work, const char *text, size_t size,
                        int32_t left, int32_t right)
{
    ce_merging *merging = &work->merging;
    if (!ce_merging_begin(merging, size))
        return 0;
    split(model, merging, text, size);
    if (!ce_merging_run(&model->merges, merging))
        return 0;
    int32_t found[2] = {-1, -1};
    size_t count = 0;
    for (size_t i = 0; i < merging->count; i++) {
        if (merging->symbols[i].size == 0)
            continue;
        if (count < 2)
            found[count] = merging->symbols[i].id;
        count++;
    }
    return count == 2 && found[0] == left && found[1] == right;
}

static int is_border(const ce_bpe *model, const char *word, size_t place)
{
    return model->byte_level || !ce_utf8_continues(word[place]);
}

static int is_known(const ce_bpe *model, int32_t id)
{
    return (size_t)id < model->token_count && model->tokens[id].size > 0;
}

/* Whether the last token of the trial that is kept and what follows it stay apart. */
static int stays_last(const ce_bpe *model, ce_bpe_work *work, const char *word, size_t kept)
{
    const ce_tokens *rest = &work->rest;
    ce_span last = work->trial.spans[kept - 1];
    int32_t left = work->trial.ids[kept - 1], right = rest->ids[0];
    size_t end = last.end + rest->spans[0].end;
    if (!model->searches)
        return is_border(model, word, last.start) && is_border(model, word, end) &&
               merge_to_two(model, work, word + last.start, end - last.start, left, right);
    if (is_known(model, left) && is_known(model, right))
        return stay_apart(model, left, right, INT64_MAX);
    /* Nothing is merged with an unknown character, but it may be one token with the next one. */
    return model->byte_fallback || left != right;
}

/* Whether `kept` tokens of the trial begin the tokens of word[0 .. end) too: so it is if what follows them, taken by itself,
 * begins with a token that stays apart from the last of them. */
static int stays_beginning(const ce_bpe *model, ce_bpe_work *work, const char *word, size_t kept,
                           size_t end)
{
    size_t begin = work->trial.spans[kept - 1].end;
    return add_part(model, work, word + begin, end - begin, &work->rest) == CE_OK &&
           work->rest.count > 0 && stays_last(model, work, word, kept);
}

int ce_bpe_add_beginning(const ce_bpe *model, ce_bpe_work *work, const char *word, size_t size,
                         ce_tokens *out)
{
    ce_tokens *trial = &work->trial;
    size_t longest = model->longest;
    if (size <= 4 * longest)
        return CE_OK;
    int status = add_part(model, work, word, size, trial);
    if (status != CE_OK)
        return status;
    /* The last spans must lie where the text does: none has been left out. */
    if (trial->count == 0 || trial->spans[trial->count - 1].end != size)
        return CE_OK;
    size_t kept = trial->count;
    while (kept > 0 && (trial->spans[kept - 1].end > size - 2 * longest ||
                        !is_border(model, word, trial->spans[kept - 1].end)))
        kept--;
    if (kept == 0)
        return CE_OK;
    /* However the word goes on, one of its tokens ends at one of the last places, as many as a token may be long. */
    for (size_t end = size - longest; end <= size; end++)
        if ((end == size || is_border(model, word, end)) &&
            !stays_beginning(model, work, word, kept, end))
            return CE_OK;
    if (!ce_tokens_reserve(out, kept))
        return CE_E_NO_MEMORY;
    for (size_t i = 0; i < kept; i++)
        ce_tokens_put(out, trial->ids[i], trial->spans[i].start, trial->spans[i].end);
    return CE_OK;
}

/* ---- Preparing ------------------------------------------------------------------------------ */

static int is_char(const ce_bpe *model, const ce_trie_key *key)
{
    return char_size(model, key->text, key->size) == key->size;
}

/* Tokens of one character are there from the start. */
static void add_chars(ce_bpe *model, const ce_trie_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_char(model, &keys[i]) &&
            find_char(model, keys[i].text, keys[i].size) == keys[i].value)
            model->tokens[keys[i].value].size = (uint32_t)keys[i].size;
}

/* Merges by rank. */
static const ce_merge **sort_merges(const ce_merges *merges, size_t count)
{
    const ce_merge **sorted = ce_calloc(count, sizeof *sorted);
    for (size_t i = 0; sorted && i < (size_t)1 << merges->bits; i++)
        if (merges->slots[i].left >= 0)
            sorted[merges->slots[i].rank] = &merges->slots[i];
    return sorted;
}

/* Find the last merge of each token's own text. A merge whose parts are not merged out of their own texts by lower ranks is
 * passed over here, and looked into by check_others. */
static void add_merges(ce_bpe *model, const ce_merge **sorted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const ce_merge *merge = sorted[i];
        if (!merge)
            continue;
        const ce_bpe_token *left = &model->tokens[merge->left];
        const ce_bpe_token *right = &model->tokens[merge->right];
        ce_bpe_token *token = &model->tokens[merge->id];
        if (token->size == 0 && left->size > 0 && right->size > 0 &&
            stay_apart(model, merge->left, merge->right, merge->rank))
            *token = (ce_bpe_token){merge->left, merge->right, (int32_t)merge->rank, -1,
                                    left->size + right->size};
    }
}

/* The other tokens must not come out of their own texts in any other way, else searching would miss them. 1 if so, 0 if not,
 * -1 without memory. */
static int check_others(const ce_bpe *model, const ce_trie_key *keys, size_t count)
{
    ce_merging work = {0};
    int good = 1;
    for (size_t i = 0; i < count && good == 1; i++) {
        if (model->tokens[keys[i].value].size > 0)
            continue;
        if (!ce_merging_begin(&work, keys[i].size)) {
            good = -1;
            break;
        }
        split(model, &work, keys[i].text, keys[i].size);
        if (!ce_merging_run(&model->merges, &work))
            good = -1;
        else if (work.count > 0 && work.symbols[0].size == keys[i].size &&
                 work.symbols[0].id == keys[i].value)
            good = 0;
    }
    ce_merging_free(&work);
    return good;
}

/* What unknown characters become must be nothing that is merged, or it could not be put in their place. */
static int unknown_stay(const ce_bpe *model)
{
    int all = 1;
    for (int b = 0; b < 256; b++)
        all &= model->bytes[b] >= 0;
    /* What is left out does not keep its neighbours apart. */
    if (model->byte_level ? !all && model->unk < 0 : model->byte_fallback ? !all : model->unk < 0)
        return 0;
    for (size_t i = 0; i < (size_t)1 << model->merges.bits; i++) {
        const ce_merge *merge = &model->merges.slots[i];
        if (merge->left < 0)
            continue;
        if (merge->left == model->unk || merge->right == model->unk)
            return 0;
        for (int b = 0; b < 256 && !model->byte_level && model->byte_fallback; b++)
            if (merge->left == model->bytes[b] || merge->right == model->bytes[b])
                return 0;
    }
    return 1;
}

/* The longest token that begins another one, of all of them; and the trie of all that a text can have. */
static int build_trie(ce_bpe *model, const ce_trie_key *keys, size_t count, ce_error *error)
{
    ce_trie_key *kept = ce_reallocarray(NULL, count, sizeof *kept);
    if (!kept)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a vocabulary of %zu entries", count);
    size_t kept_count = 0;
    for (size_t i = 0; i < count; i++)
        if (model->tokens[keys[i].value].size > 0)
            kept[kept_count++] = keys[i];
    int status = ce_trie_build(&model->trie, kept, kept_count, NULL, error);
    for (size_t i = 0; i < kept_count && status == CE_OK; i++) {
        int32_t *prefix = &model->tokens[kept[i].value].prefix;
        if (ce_trie_longest(&model->trie, kept[i].text, kept[i].size - 1, prefix) == 0)
            *prefix = -1;
    }
    ce_free(kept);
    return status;
}

/* Entries of one character; all, if whole words are looked up too. */
static int build_vocab(ce_bpe *model, const ce_trie_key *keys, size_t count, ce_error *error)
{
    if (model->ignore_merges)
        return ce_trie_build(&model->vocab, keys, count, NULL, error);
    ce_trie_key *chars = ce_reallocarray(NULL, count, sizeof *chars);
    if (!chars)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a vocabulary of %zu entries", count);
    size_t char_count = 0;
    for (size_t i = 0; i < count && !model->byte_level; i++)
        if (is_char(model, &keys[i]))
            chars[char_count++] = keys[i];
    int status = ce_trie_build(&model->vocab, chars, char_count, NULL, error);
    ce_free(chars);
    return status;
}

/* One more than the highest id of the entries; 0 if these are so few that a table of all ids would be a waste, or do not
 * have all that is merged. */
static size_t count_tokens(const ce_bpe *model, const ce_trie_key *keys, size_t count)
{
    size_t tokens = 0;
    for (size_t i = 0; i < count; i++)
        if ((size_t)keys[i].value >= tokens)
            tokens = (size_t)keys[i].value + 1;
    for (size_t i = 0; i < (size_t)1 << model->merges.bits; i++) {
        const ce_merge *merge = &model->merges.slots[i];
        if (merge->left >= 0 && ((size_t)merge->left >= tokens || (size_t)merge->right >= tokens ||
                                 (size_t)merge->id >= tokens))
            return 0;
    }
    return tokens <= 16 * count + 65536 ? tokens : 0;
}

/* Nothing is known of any token yet. What will be is of one text, so no two entries may have one id: 0 if two do. */
static int begin_tokens(ce_bpe *model, const ce_trie_key *keys, size_t count)
{
    for (size_t i = 0; i < model->token_count; i++)
        model->tokens[i] = (ce_bpe_token){-1, -1, -1, -1, 0};
    for (size_t i = 0; i < count; i++)
        if (model->tokens[keys[i].value].size++ > 0)
            return 0;
    for (size_t i = 0; i < count; i++)
        model->tokens[keys[i].value].size = 0;
    return 1;
}

static size_t count_ranks(const ce_merges *merges)
{
    size_t count = 0;
    for (size_t i = 0; i < (size_t)1 << merges->bits; i++)
        if (merges->slots[i].left >= 0 && merges->slots[i].rank >= count)
            count = (size_t)merges->slots[i].rank + 1;
    return count;
}

int ce_bpe_prepare(ce_bpe *model, const ce_trie_key *keys, size_t count, ce_error *error)
{
    int status = build_vocab(model, keys, count, error);
    for (size_t i = 0; i < count; i++)
        model->longest = keys[i].size > model->longest ? keys[i].size : model->longest;
    model->token_count = count_tokens(model, keys, count);
    if (status != CE_OK || model->token_count == 0 || !unknown_stay(model))
        return status;
    size_t ranks = count_ranks(&model->merges);
    model->tokens = ce_reallocarray(NULL, model->token_count, sizeof *model->tokens);
    const ce_merge **sorted = sort_merges(&model->merges, ranks);
    int good = -1;
    if (model->tokens && sorted) {
        good = begin_tokens(model, keys, count);
        if (good) {
            add_chars(model, keys, count);
            add_merges(model, sorted, ranks);
            good = check_others(model, keys, count);
        }
    }
    ce_free(sorted);
    if (good < 0)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a vocabulary of %zu entries", count);
    model->searches = good;
    return good ? build_trie(model, keys, count, error) : CE_OK;
}

/* ---- Memory ------------------------------------------------------------------------------- */

void ce_bpe_work_free(ce_bpe_work *work)
{
    ce_merging_free(&work->merging);
    ce_tokens_free(&work->trial);
    ce_tokens_free(&work->rest);
    ce_free(work->dead);
}

size_t ce_bpe_work_bytes(const ce_bpe_work *work)
{
    return ce_merging_bytes(&work->merging) + work->dead_capacity * sizeof *work->dead +
           ce_tokens_bytes(&work->trial) + ce_tokens_bytes(&work->rest);
}

void ce_bpe_free(ce_bpe *model)
{
    ce_merges_free(&model->merges);
    ce_trie_free(&model->vocab);
    ce_trie_free(&model->trie);
    ce_free(model->tokens);
}
