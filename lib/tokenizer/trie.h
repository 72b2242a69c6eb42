/* Strings to numbers, with the longest match in one walk: a double-array trie over bytes. */
#ifndef CE_TOKENIZER_TRIE_H
#define CE_TOKENIZER_TRIE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_trie_node {
    int32_t base;   /* the child for byte c is node base + c */
    int32_t parent; /* which node that slot belongs to; -1: none */
    int32_t value;  /* of the key that ends here; -1: none ends here */
} ce_trie_node;

typedef struct ce_trie {
    ce_trie_node *nodes; /* 256 more than are used, so that a walk needs no bounds check */
    size_t capacity;
} ce_trie;

typedef struct ce_trie_key {
    const char *text;
    size_t size; /* not 0 */
    int32_t value;
    uint32_t order; /* of equal keys the one with the highest order counts */
} ce_trie_key;

/* Sorts `keys`. Without keys the trie matches nothing. */
int ce_trie_build(ce_trie *trie, ce_trie_key *keys, size_t count, ce_error *error);
void ce_trie_free(ce_trie *trie);

/* Bytes of the longest key that begins `text`, and its value; 0 if there is none. */
static inline size_t ce_trie_longest(const ce_trie *trie, const char *text, size_t size,
                                     int32_t *value)
{
    const ce_trie_node *nodes = trie->nodes;
    int32_t node = 0;
    size_t longest = 0;
    *value = -1;
    for (size_t i = 0; i < size; i++) {
        int32_t child = nodes[node].base + (unsigned char)text[i];
        if (nodes[child].parent != node)
            break;
        node = child;
        if (nodes[node].value >= 0) {
            longest = i + 1;
            *value = nodes[node].value;
        }
    }
    return longest;
}

/* The value of exactly this key; -1 if there is none. */
static inline int32_t ce_trie_exact(const ce_trie *trie, const char *text, size_t size)
{
    const ce_trie_node *nodes = trie->nodes;
    int32_t node = 0;
    for (size_t i = 0; i < size; i++) {
        int32_t child = nodes[node].base + (unsigned char)text[i];
        if (nodes[child].parent != node)
            return -1;
        node = child;
    }
    return size > 0 ? nodes[node].value : -1;
}

#endif
