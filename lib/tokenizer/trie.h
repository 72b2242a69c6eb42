/* Strings to numbers, with the longest match in one walk: a double-array trie over bytes. */
#ifndef CE_TOKENIZER_TRIE_H
#define CE_TOKENIZER_TRIE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { CE_TRIE_MOST = 0xFFFFFE }; /* the largest number */

/* The child for byte c lies at `base` + c. No two nodes have one base, so the byte alone tells whether it is theirs. */
typedef struct ce_trie_node {
    uint32_t base; /* of the children */
    uint32_t
        value; /* of the key that ends here, or CE_TRIE_NONE, times 256; and the byte that leads here */
} ce_trie_node;

#define CE_TRIE_NONE 0xFFFFFFu

typedef struct ce_trie {
    ce_trie_node *
        nodes; /* the root's base is 0; there are 256 more than are used, so that a walk needs no bounds check */
    size_t capacity;
} ce_trie;

typedef struct ce_trie_key {
    const char *text;
    size_t size;   /* not 0 */
    int32_t value; /* 0 to CE_TRIE_MOST */
} ce_trie_key;

/* Of equal keys the last one counts. Without keys the trie matches nothing. `*different`, unless NULL: how many different
 * keys there are. */
int ce_trie_build(ce_trie *trie, const ce_trie_key *keys, size_t count, size_t *different,
                  ce_error *error);
void ce_trie_free(ce_trie *trie);

/* The child of a base; NULL if there is none. */
static inline const ce_trie_node *ce_trie_step(const ce_trie *trie, uint32_t base,
                                               unsigned char byte)
{
    const ce_trie_node *node = &trie->nodes[base + byte];
    return (unsigned char)node->value == byte ? node : NULL;
}

static inline uint32_t ce_trie_value(const ce_trie_node *node)
{
    return node->value >> 8;
}

/* Bytes of the longest key that begins `text`, and its value; 0 if there is none. */
static inline size_t ce_trie_longest(const ce_trie *trie, const char *text, size_t size,
                                     int32_t *value)
{
    uint32_t base = 0;
    size_t longest = 0;
    for (size_t i = 0; i < size; i++) {
        const ce_trie_node *node = ce_trie_step(trie, base, (unsigned char)text[i]);
        if (!node)
            break;
        base = node->base;
        if (ce_trie_value(node) != CE_TRIE_NONE) {
            longest = i + 1;
            *value = (int32_t)ce_trie_value(node);
        }
    }
    return longest;
}

/* The value of exactly this key; -1 if there is none. */
static inline int32_t ce_trie_exact(const ce_trie *trie, const char *text, size_t size)
{
    uint32_t base = 0, value = CE_TRIE_NONE;
    for (size_t i = 0; i < size; i++) {
        const ce_trie_node *node = ce_trie_step(trie, base, (unsigned char)text[i]);
        if (!node)
            return -1;
        base = node->base;
        value = ce_trie_value(node);
    }
    return value == CE_TRIE_NONE ? -1 : (int32_t)value;
}

#endif
