#include "tokenizer/bpe.h"

#include "base/mem.h"
#include "unicode/utf8.h"

#include <string.h>

/* Longer words are merged through a heap: the search for the lowest rank would take their length squared. */
enum { SHORT = 96 };

#define RANK_NONE UINT32_MAX
#define NOWHERE UINT32_MAX

/* ---- Merges ------------------------------------------------------------------------------- */

static size_t slot_of(const ce_bpe *model, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (size_t)((pair * 0x9E3779B97F4A7C15u) >> (64 - model->bits));
}

int ce_bpe_reserve_merges(ce_bpe *model, size_t count)
{
    model->bits = 4;
    while (((size_t)1 << model->bits) < 2 * count)
        model->bits++;
    size_t slots = (size_t)1 << model->bits;
    model->merges = ce_reallocarray(NULL, slots, sizeof *model->merges);
    if (!model->merges)
        return 0;
    for (size_t i = 0; i < slots; i++)
        model->merges[i].left = -1;
    return 1;
}

static ce_merge *find(const ce_bpe *model, int32_t left, int32_t right)
{
    size_t mask = ((size_t)1 << model->bits) - 1;
    size_t slot = slot_of(model, left, right);
    while (model->merges[slot].left >= 0 &&
           (model->merges[slot].left != left || model->merges[slot].right != right))
        slot = (slot + 1) & mask;
    return &model->merges[slot];
}

void ce_bpe_set_merge(ce_bpe *model, ce_merge merge)
{
    *find(model, merge.left, merge.right) = merge;
}

static uint32_t rank_of(const ce_bpe *model, int32_t left, int32_t right)
{
    const ce_merge *merge = find(model, left, right);
    return merge->left < 0 ? RANK_NONE : merge->rank;
}

/* ---- Symbols ------------------------------------------------------------------------------ */

static int reserve_symbols(ce_merging *work, size_t count)
{
    if (count <= work->capacity)
        return 1;
    size_t capacity = count > 2 * work->capacity ? count : 2 * work->capacity;
    ce_symbol *symbols = ce_reallocarray(work->symbols, capacity, sizeof *symbols);
    if (!symbols)
        return 0;
    work->symbols = symbols;
    work->capacity = capacity;
    return 1;
}

static void add_symbol(ce_merging *work, int32_t id, size_t size)
{
    work->symbols[work->count++] = (ce_symbol){.id = id, .size = (uint32_t)size};
}

/* A run of unknown characters that has not been added yet, as the reference keeps it: bytes that a fallback adds
 * meanwhile come to stand before it. */
typedef struct unknown {
    size_t size; /* 0: none */
} unknown;

static void flush(const ce_bpe *model, ce_merging *work, unknown *pending)
{
    if (pending->size > 0)
        add_symbol(work, model->unk, pending->size);
    pending->size = 0;
}

static int fall_back(const ce_bpe *model, ce_merging *work, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (model->bytes[(unsigned char)text[i]] < 0)
            return 0;
    for (size_t i = 0; i < size; i++)
        add_symbol(work, model->bytes[(unsigned char)text[i]], 1);
    return 1;
}

static void add_unknown(const ce_bpe *model, ce_merging *work, size_t size, unknown *pending)
{
    if (model->unk < 0)
        return;
    if (!model->fuse_unk)
        flush(model, work, pending);
    pending->size += size;
}

static void split_bytes(const ce_bpe *model, ce_merging *work, const char *word, size_t size)
{
    unknown pending = {0};
    for (size_t i = 0; i < size; i++) {
        int32_t id = model->bytes[(unsigned char)word[i]];
        if (id < 0) {
            add_unknown(model, work, 1, &pending);
            continue;
        }
        flush(model, work, &pending);
        add_symbol(work, id, 1);
    }
    flush(model, work, &pending);
}

static void split_chars(const ce_bpe *model, ce_merging *work, const char *word, size_t size)
{
    unknown pending = {0};
    for (size_t at = 0; at < size;) {
        uint32_t scalar;
        size_t bytes = ce_utf8_decode(word + at, size - at, &scalar);
        int32_t id = ce_trie_exact(&model->vocab, word + at, bytes);
        if (id >= 0) {
            flush(model, work, &pending);
            add_symbol(work, id, bytes);
        } else if (!model->byte_fallback || !fall_back(model, work, word + at, bytes)) {
            add_unknown(model, work, bytes, &pending);
        }
        at += bytes;
    }
    flush(model, work, &pending);
}

/* ---- Merging ------------------------------------------------------------------------------ */

static uint32_t pair_rank(const ce_bpe *model, const ce_symbol *left, const ce_symbol *right)
{
    return rank_of(model, left->id, right->id);
}

static void merge_short(const ce_bpe *model, ce_merging *work)
{
    ce_symbol *symbols = work->symbols;
    size_t count = work->count;
    for (size_t i = 0; i + 1 < count; i++)
        symbols[i].rank = pair_rank(model, &symbols[i], &symbols[i + 1]);
    while (count > 1) {
        size_t lowest = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (symbols[i].rank < symbols[lowest].rank)
                lowest = i;
        ce_symbol *s = &symbols[lowest];
        if (s->rank == RANK_NONE)
            break;
        s->id = find(model, s->id, s[1].id)->id;
        s->size += s[1].size;
        count--;
        memmove(s + 1, s + 2, (count - lowest - 1) * sizeof *s);
        if (lowest > 0)
            s[-1].rank = pair_rank(model, s - 1, s);
        if (lowest + 1 < count)
            s->rank = pair_rank(model, s, s + 1);
    }
    work->count = count;
}

static void push(ce_merging *work, uint32_t rank, uint32_t place)
{
    uint64_t entry = (uint64_t)rank << 32 | place;
    size_t at = work->heap_count++;
    while (at > 0 && work->heap[(at - 1) / 2] > entry) {
        work->heap[at] = work->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    work->heap[at] = entry;
}

static uint64_t pop(ce_merging *work)
{
    uint64_t top = work->heap[0], last = work->heap[--work->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= work->heap_count)
            break;
        if (child + 1 < work->heap_count && work->heap[child + 1] < work->heap[child])
            child++;
        if (last <= work->heap[child])
            break;
        work->heap[at] = work->heap[child];
        at = child;
    }
    work->heap[at] = last;
    return top;
}

/* Each merge takes one symbol away and makes two pairs at most. */
static int reserve_heap(ce_merging *work)
{
    size_t need = 3 * work->count;
    if (need <= work->heap_capacity)
        return 1;
    uint64_t *heap = ce_reallocarray(work->heap, need, sizeof *heap);
    if (!heap)
        return 0;
    work->heap = heap;
    work->heap_capacity = need;
    return 1;
}

/* The merge of a symbol with its next one, if there is any, goes onto the heap. */
static void propose(const ce_bpe *model, ce_merging *work, uint32_t place)
{
    ce_symbol *s = &work->symbols[place];
    s->rank = s->next == NOWHERE ? RANK_NONE : pair_rank(model, s, &work->symbols[s->next]);
    if (s->rank != RANK_NONE)
        push(work, s->rank, place);
}

static int merge_long(const ce_bpe *model, ce_merging *work)
{
    if (!reserve_heap(work))
        return 0;
    ce_symbol *symbols = work->symbols;
    uint32_t count = (uint32_t)work->count;
    for (uint32_t i = 0; i < count; i++) {
        symbols[i].previous = i ? i - 1 : NOWHERE;
        symbols[i].next = i + 1 < count ? i + 1 : NOWHERE;
    }
    work->heap_count = 0;
    for (uint32_t i = 0; i < count; i++)
        propose(model, work, i);
    while (work->heap_count > 0) {
        uint64_t entry = pop(work);
        uint32_t place = (uint32_t)entry;
        ce_symbol *s = &symbols[place];
        if (s->size == 0 || s->rank != entry >> 32)
            continue; /* one of the two has been merged with another meanwhile */
        ce_symbol *next = &symbols[s->next];
        s->id = find(model, s->id, next->id)->id;
        s->size += next->size;
        s->next = next->next;
        next->size = 0;
        if (s->next != NOWHERE)
            symbols[s->next].previous = place;
        if (s->previous != NOWHERE)
            propose(model, work, s->previous);
        propose(model, work, place);
    }
    return 1;
}

int ce_bpe_add(const ce_bpe *model, ce_merging *work, const char *word, size_t size, ce_tokens *out)
{
    if (model->ignore_merges) {
        int32_t id = ce_trie_exact(&model->vocab, word, size);
        if (id >= 0)
            return ce_tokens_add(out, id, 0, size);
    }
    /* Places and sizes of symbols are 32 bits wide. */
    if (size > INT32_MAX || !reserve_symbols(work, size))
        return CE_E_NO_MEMORY;
    work->count = 0;
    if (model->byte_level)
        split_bytes(model, work, word, size);
    else
        split_chars(model, work, word, size);
    if (work->count <= SHORT)
        merge_short(model, work);
    else if (!merge_long(model, work))
        return CE_E_NO_MEMORY;
    if (!ce_tokens_reserve(out, work->count))
        return CE_E_NO_MEMORY;
    size_t start = 0;
    for (size_t i = 0; i < work->count; i++) {
        const ce_symbol *s = &work->symbols[i];
        if (s->size > 0)
            ce_tokens_put(out, s->id, start, start + s->size);
        start += s->size;
    }
    return CE_OK;
}

/* ---- Memory ------------------------------------------------------------------------------- */

void ce_merging_free(ce_merging *work)
{
    ce_free(work->symbols);
    ce_free(work->heap);
    *work = (ce_merging){0};
}

size_t ce_merging_bytes(const ce_merging *work)
{
    return work->capacity * sizeof *work->symbols + work->heap_capacity * sizeof *work->heap;
}

void ce_bpe_free(ce_bpe *model)
{
    ce_trie_free(&model->vocab);
    ce_free(model->merges);
}
