/* The merges of a BPE model, and merging by them. */
#ifndef CE_TOKENIZER_MERGES_H
#define CE_TOKENIZER_MERGES_H

#include <stddef.h>
#include <stdint.h>

typedef struct ce_merge {
    int32_t left, right; /* left < 0: no merge */
    uint32_t rank;       /* the lowest goes first */
    int32_t id;          /* of both together */
} ce_merge;

/* A hash table. Most pairs that are looked up have no merge, and `filter` tells so for most of them. */
typedef struct ce_merges {
    uint64_t seed;    /* an address, lest a file be made in which all pairs fall into one place */
    ce_merge *slots;  /* 2^bits */
    uint64_t *filter; /* 2^(bits + 2) bits */
    int bits;
} ce_merges;

/* Room for `count` merges; 0: no memory. */
int ce_merges_create(ce_merges *merges, size_t count);
void ce_merges_free(ce_merges *merges);

/* Add a merge; of one pair the last one counts. */
void ce_merges_set(ce_merges *merges, ce_merge merge);

static inline uint64_t ce_merges_hash(const ce_merges *merges, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t hash = (pair ^ merges->seed) * 0x9E3779B97F4A7C15u;
    return (hash ^ hash >> 32) * 0xBF58476D1CE4E5B9u;
}

/* The merge of the two; NULL if there is none. */
static inline const ce_merge *ce_merges_find(const ce_merges *merges, int32_t left, int32_t right)
{
    uint64_t hash = ce_merges_hash(merges, left, right);
    size_t bit = (size_t)(hash >> (62 - merges->bits));
    if (!(merges->filter[bit >> 6] >> (bit & 63) & 1))
        return NULL;
    size_t mask = ((size_t)1 << merges->bits) - 1, slot = bit >> 2;
    for (;; slot = (slot + 1) & mask) {
        const ce_merge *merge = &merges->slots[slot];
        if (merge->left == left && merge->right == right)
            return merge;
        if (merge->left < 0)
            return NULL;
    }
}

typedef struct ce_symbol {
    int32_t id;
    uint32_t size; /* bytes; 0: it has been merged into another */
    uint32_t previous, next;
} ce_symbol;

/* A word while it is merged. */
typedef struct ce_merging {
    ce_symbol *symbols;
    size_t count, capacity;
    uint64_t *heap; /* rank, then place */
    size_t heap_count, heap_capacity;
} ce_merging;

void ce_merging_free(ce_merging *work);
size_t ce_merging_bytes(const ce_merging *work);

/* Begin a word of at most `symbols` symbols; 0: no memory. */
int ce_merging_begin(ce_merging *work, size_t symbols);

static inline void ce_merging_add(ce_merging *work, int32_t id, size_t size)
{
    work->symbols[work->count++] = (ce_symbol){.id = id, .size = (uint32_t)size};
}

/* Merge what can be merged: the lowest rank first, of one rank the leftmost. Symbols of size 0 are to be passed over
 * afterwards. 0: no memory. */
int ce_merging_run(const ce_merges *merges, ce_merging *work);

#endif
