/* Byte pair encoding: the characters of a word, merged pair by pair in the order of the merges' ranks. */
#ifndef CE_TOKENIZER_BPE_H
#define CE_TOKENIZER_BPE_H

#include "tokenizer/tokens.h"
#include "tokenizer/trie.h"

typedef struct ce_merge {
    int32_t left, right; /* left < 0: no merge */
    uint32_t rank;       /* the lowest goes first */
    int32_t id;          /* of both together */
} ce_merge;

typedef struct ce_bpe {
    ce_trie vocab;    /* of a byte-level model in bytes */
    ce_merge *merges; /* a hash table of 2^bits */
    int bits;
    int byte_level;     /* a word begins as its bytes, not as its characters */
    int byte_fallback;  /* a character that is no token becomes its bytes */
    int32_t bytes[256]; /* tokens of single bytes, for both; -1: none */
    int32_t unk;        /* -1: what is no token is left out */
    int fuse_unk;
    int ignore_merges; /* a word that is a token is that token */
} ce_bpe;

/* Memory for merging. */
typedef struct ce_symbol {
    int32_t id;
    uint32_t size; /* bytes; 0: it has been merged into another */
    uint32_t rank; /* of the merge with the next symbol, or CE_RANK_NONE */
    uint32_t previous, next;
} ce_symbol;

typedef struct ce_merging {
    ce_symbol *symbols;
    size_t count, capacity;
    uint64_t *heap; /* rank, then place */
    size_t heap_count, heap_capacity;
} ce_merging;

void ce_merging_free(ce_merging *work);
size_t ce_merging_bytes(const ce_merging *work);

/* Append the tokens of a word. CE_OK or CE_E_NO_MEMORY. */
int ce_bpe_add(const ce_bpe *model, ce_merging *work, const char *word, size_t size,
               ce_tokens *out);

/* Room for `count` merges; then they are added by falling rank, for the last one of a pair counts. 0: no memory. */
int ce_bpe_reserve_merges(ce_bpe *model, size_t count);
void ce_bpe_set_merge(ce_bpe *model, ce_merge merge);

void ce_bpe_free(ce_bpe *model);

#endif
