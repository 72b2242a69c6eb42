/* Unigram: of all ways to cut a word into entries, the one with the highest sum of scores. */
#ifndef CE_TOKENIZER_UNIGRAM_H
#define CE_TOKENIZER_UNIGRAM_H

#include "tokenizer/tokens.h"
#include "tokenizer/trie.h"

typedef struct ce_unigram {
    ce_trie vocab;
    double *scores; /* of each id */
    double unk_score;
    int32_t unk;
    int byte_fallback;
    int32_t bytes[256]; /* tokens of single bytes; -1: none */
    size_t longest;     /* bytes of an entry */
} ce_unigram;

/* The best way to get to a place in the word. */
typedef struct ce_best {
    double score;
    size_t start; /* of its last token; SIZE_MAX: no way leads here yet */
    int32_t id;
} ce_best;

/* Memory for the search. */
typedef struct ce_lattice {
    ce_best *best;
    size_t capacity;
} ce_lattice;

void ce_lattice_free(ce_lattice *work);
size_t ce_lattice_bytes(const ce_lattice *work);

/* Append the tokens of a word. CE_OK or CE_E_NO_MEMORY. */
int ce_unigram_add(const ce_unigram *model, ce_lattice *work, const char *word, size_t size,
                   ce_tokens *out);

/* Append the tokens that a word begins with whatever follows these bytes of it. */
int ce_unigram_add_beginning(const ce_unigram *model, ce_lattice *work, const char *word,
                             size_t size, ce_tokens *out);

void ce_unigram_free(ce_unigram *model);

#endif
