#include "tokenizer/merges.h"

#include "base/mem.h"

#include <string.h>

/* ---- Table -------------------------------------------------------------------------------- */

int ce_merges_create(ce_merges *merges, size_t count)
{
    merges->bits = 4;
    while (((size_t)1 << merges->bits) < 2 * count)
        merges->bits++;
    size_t slots = (size_t)1 << merges->bits;
    merges->slots = ce_reallocarray(NULL, slots, sizeof *merges->slots);
    merges->filter = ce_calloc(slots / 16, sizeof *merges->filter);
    if (!merges->slots || !merges->filter)
        return 0;
    merges->seed = (uintptr_t)merges->slots;
    for (size_t i = 0; i < slots; i++)
        merges->slots[i].left = -1;
    return 1;
}

void ce_merges_free(ce_merges *merges)
{
    ce_free(merges->slots);
    ce_free(merges->filter);
}

void ce_merges_set(ce_merges *merges, ce_merge merge)
{
    uint64_t hash = ce_merges_hash(merges, merge.left, merge.right);
    size_t bit = (size_t)(hash >> (62 - merges->bits));
    size_t mask = ((size_t)1 << merges->bits) - 1, slot = bit >> 2;
    merges->filter[bit >> 6] |= (uint64_t)1 << (bit & 63);
    while (merges->slots[slot].left >= 0 &&
           (merges->slots[slot].left != merge.left || merges->slots[slot].right != merge.right))
        slot = (slot + 1) & mask;
    merges->slots[slot] = merge;
}

/* ---- Merging ------------------------------------------------------------------------------ */

#define NONE UINT64_MAX
#define NOWHERE UINT32_MAX

int ce_merging_begin(ce_merging *work, size_t symbols)
{
    work->count = 0;
    if (symbols <= work->capacity)
        return 1;
    /* Places and sizes are 32 bits wide. */
    if (symbols > INT32_MAX)
        return 0;
    size_t capacity = symbols > 2 * work->capacity ? symbols : 2 * work->capacity;
    ce_symbol *grown = ce_reallocarray(work->symbols, capacity, sizeof *grown);
    if (!grown)
        return 0;
    work->symbols = grown;
    work->capacity = capacity;
    return 1;
}

/* Longer words are merged through a heap: the search for the lowest rank would take their length squared. */
enum { SHORT = 64 };

/* Rank and result of merging two neighbours, for comparing. */
static uint64_t merge_of(const ce_merges *merges, int32_t left, int32_t right)
{
    const ce_merge *merge = ce_merges_find(merges, left, right);
    return merge ? (uint64_t)merge->rank << 32 | (uint32_t)merge->id : NONE;
}

static void merge_short(const ce_merges *merges, ce_merging *work)
{
    ce_symbol *symbols = work->symbols;
    size_t count = work->count;
    uint64_t with_next[SHORT];
    for (size_t i = 0; i + 1 < count; i++)
        with_next[i] = merge_of(merges, symbols[i].id, symbols[i + 1].id);
    while (count > 1) {
        size_t lowest = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (with_next[i] < with_next[lowest])
                lowest = i;
        if (with_next[lowest] == NONE)
            break;
        ce_symbol *s = &symbols[lowest];
        s->id = (int32_t)(uint32_t)with_next[lowest];
        s->size += s[1].size;
        count--;
        memmove(s + 1, s + 2, (count - lowest - 1) * sizeof *s);
        memmove(with_next + lowest, with_next + lowest + 1,
                (count - lowest - 1) * sizeof *with_next);
        if (lowest > 0)
            with_next[lowest - 1] = merge_of(merges, s[-1].id, s->id);
        if (lowest + 1 < count)
            with_next[lowest] = merge_of(merges, s->id, s[1].id);
    }
    work->count = count;
}

static void push(ce_merging *work, uint64_t entry)
{
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
    work->heap_count = 0;
    if (need <= work->heap_capacity)
        return 1;
    uint64_t *heap = ce_reallocarray(work->heap, need, sizeof *heap);
    if (!heap)
        return 0;
    work->heap = heap;
    work->heap_capacity = need;
    return 1;
}

static const ce_merge *with_next(const ce_merges *merges, const ce_merging *work,
                                 const ce_symbol *s)
{
    return s->next == NOWHERE ? NULL : ce_merges_find(merges, s->id, work->symbols[s->next].id);
}

/* The merge of a symbol with its next one, if there is any, goes onto the heap. */
static void propose(const ce_merges *merges, ce_merging *work, uint32_t place)
{
    const ce_merge *merge = with_next(merges, work, &work->symbols[place]);
    if (merge)
        push(work, (uint64_t)merge->rank << 32 | place);
}

static int merge_long(const ce_merges *merges, ce_merging *work)
{
    if (!reserve_heap(work))
        return 0;
    ce_symbol *symbols = work->symbols;
    uint32_t count = (uint32_t)work->count;
    for (uint32_t i = 0; i < count; i++) {
        symbols[i].previous = i ? i - 1 : NOWHERE;
        symbols[i].next = i + 1 < count ? i + 1 : NOWHERE;
    }
    for (uint32_t i = 0; i < count; i++)
        propose(merges, work, i);
    while (work->heap_count > 0) {
        uint64_t entry = pop(work);
        uint32_t place = (uint32_t)entry;
        ce_symbol *s = &symbols[place];
        const ce_merge *merge = s->size ? with_next(merges, work, s) : NULL;
        if (!merge || merge->rank != entry >> 32)
            continue; /* one of the two has been merged with another meanwhile */
        ce_symbol *next = &symbols[s->next];
        s->id = merge->id;
        s->size += next->size;
        s->next = next->next;
        next->size = 0;
        if (s->next != NOWHERE)
            symbols[s->next].previous = place;
        if (s->previous != NOWHERE)
            propose(merges, work, s->previous);
        propose(merges, work, place);
    }
    return 1;
}

int ce_merging_run(const ce_merges *merges, ce_merging *work)
{
    if (work->count > SHORT)
        return merge_long(merges, work);
    merge_short(merges, work);
    return 1;
}

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
