#include "tokenizer/unigram.h"

#include "base/mem.h"
#include "unicode/utf8.h"

#define NOWHERE SIZE_MAX

static int reserve(ce_lattice *work, size_t places)
{
    if (places <= work->capacity)
        return 1;
    size_t capacity = places > 2 * work->capacity ? places : 2 * work->capacity;
    ce_best *best = ce_reallocarray(work->best, capacity, sizeof *best);
    if (!best)
        return 0;
    work->best = best;
    work->capacity = capacity;
    return 1;
}

/* Of equal ways the first one found stays, as in the reference. */
static void offer(ce_best *place, double score, size_t start, int32_t id)
{
    if (place->start == NOWHERE || score > place->score)
        *place = (ce_best){score, start, id};
}

static void find_best(const ce_unigram *model, ce_best *best, const char *word, size_t size)
{
    best[0] = (ce_best){0, 0, 0};
    for (size_t i = 1; i <= size; i++)
        best[i].start = NOWHERE;
    for (size_t at = 0; at < size;) {
        double score = best[at].score;
        size_t single = ce_utf8_size(word[at]);
        int has_single = 0;
        uint32_t base = 0;
        for (size_t i = at; i < size; i++) {
            const ce_trie_node *node = ce_trie_step(&model->vocab, base, (unsigned char)word[i]);
            if (!node)
                break;
            base = node->base;
            uint32_t id = ce_trie_value(node);
            if (id == CE_TRIE_NONE)
                continue;
            offer(&best[i + 1], score + model->scores[id], at, (int32_t)id);
            has_single |= i + 1 - at == single;
        }
        if (!has_single)
            offer(&best[at + single], score + model->unk_score, at, model->unk);
        at += single;
    }
}

/* Unknown characters side by side are one token: what it is, is asked once more for all of them together. */
static int add_unknown(const ce_unigram *model, const char *word, size_t start, size_t end,
                       ce_tokens *out)
{
    int32_t id = ce_trie_exact(&model->vocab, word + start, end - start);
    int known = 1;
    for (size_t i = start; i < end && known; i++)
        known = model->bytes[(unsigned char)word[i]] >= 0;
    if (id >= 0 || !model->byte_fallback || !known)
        return ce_tokens_add(out, id >= 0 ? id : model->unk, start, end);
    for (size_t i = start; i < end; i++)
        if (ce_tokens_add(out, model->bytes[(unsigned char)word[i]], start, end) != CE_OK)
            return CE_E_NO_MEMORY;
    return CE_OK;
}

/* The best way is known from its end; turned round, `start` of a place is where the token that begins there ends. */
static void turn_round(ce_best *best, size_t size)
{
    size_t end = NOWHERE;
    int32_t id = 0;
    for (size_t at = size;;) {
        size_t start = best[at].start;
        int32_t own = best[at].id;
        best[at].start = end;
        best[at].id = id;
        if (at == 0)
            break;
        end = at;
        id = own;
        at = start;
    }
}

/* The tokens of the best way to `size`. */
static int add_way(const ce_unigram *model, ce_best *best, const char *word, size_t size,
                   ce_tokens *out)
{
    turn_round(best, size);
    int status = CE_OK;
    for (size_t at = 0; at < size && status == CE_OK;) {
        int32_t id = best[at].id;
        size_t end = best[at].start;
        if (id != model->unk) {
            status = ce_tokens_add(out, id, at, end);
        } else {
            while (end < size && best[end].id == model->unk)
                end = best[end].start;
            status = add_unknown(model, word, at, end, out);
        }
        at = end;
    }
    return status;
}

int ce_unigram_add(const ce_unigram *model, ce_lattice *work, const char *word, size_t size,
                   ce_tokens *out)
{
    if (size > SIZE_MAX / sizeof(ce_best) - 1 || !reserve(work, size + 1))
        return CE_E_NO_MEMORY;
    find_best(model, work->best, word, size);
    return add_way(model, work->best, word, size, out);
}

/* However the word goes on, the best way through it comes by one of the last places, as many as an entry may be long. Where
 * all ways to these have come together, they go on alike to the beginning. */
static size_t common_place(const ce_best *best, size_t size, size_t longest)
{
    size_t common = size - longest;
    while (best[common].start == NOWHERE)
        common++;
    for (size_t place = common; place <= size; place++) {
        if (best[place].start == NOWHERE)
            continue;
        for (size_t at = place; at != common;)
            if (at > common)
                at = best[at].start;
            else
                common = best[common].start;
    }
    return common;
}

int ce_unigram_add_beginning(const ce_unigram *model, ce_lattice *work, const char *word,
                             size_t size, ce_tokens *out)
{
    /* An unknown character may be longer than all entries. */
    size_t longest = model->longest > 4 ? model->longest : 4;
    if (size <= 2 * longest)
        return CE_OK;
    if (size > SIZE_MAX / sizeof(ce_best) - 1 || !reserve(work, size + 1))
        return CE_E_NO_MEMORY;
    ce_best *best = work->best;
    find_best(model, best, word, size);
    size_t common = common_place(best, size, longest);
    /* Unknown characters may go on behind it. */
    while (common > 0 && best[common].id == model->unk)
        common = best[common].start;
    return add_way(model, best, word, common, out);
}

void ce_lattice_free(ce_lattice *work)
{
    ce_free(work->best);
    *work = (ce_lattice){0};
}

size_t ce_lattice_bytes(const ce_lattice *work)
{
    return work->capacity * sizeof *work->best;
}

void ce_unigram_free(ce_unigram *model)
{
    ce_trie_free(&model->vocab);
    ce_free(model->scores);
}
