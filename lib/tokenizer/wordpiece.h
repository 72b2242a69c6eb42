/* WordPiece: the longest entry that begins a word, then the longest ones that continue it. */
#ifndef CE_TOKENIZER_WORDPIECE_H
#define CE_TOKENIZER_WORDPIECE_H

#include "tokenizer/tokens.h"
#include "tokenizer/trie.h"

typedef struct ce_wordpiece {
    ce_trie first;        /* entries that begin a word */
    ce_trie continuation; /* entries that continue one, without their prefix */
    int32_t unk;
    uint64_t max_chars; /* of a word; a longer one is unknown */
} ce_wordpiece;

/* Append the tokens of a word. CE_OK or CE_E_NO_MEMORY. */
int ce_wordpiece_add(const ce_wordpiece *model, const char *word, size_t size, ce_tokens *out);

void ce_wordpiece_free(ce_wordpiece *model);

#endif
