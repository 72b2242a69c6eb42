/* WordPiece: the longest entry that begins a word, then the longest ones that continue it. */
#ifndef CE_TOKENIZER_WORDPIECE_H
#define CE_TOKENIZER_WORDPIECE_H

#include "tokenizer/bert_class.h"
#include "tokenizer/tokens.h"
#include "tokenizer/trie.h"

enum { CE_WORDPIECE_ASCII = 128 };

typedef struct ce_wordpiece {
    ce_trie first;        /* entries that begin a word */
    ce_trie continuation; /* entries that continue one, without their prefix */
    int32_t unk;
    uint64_t max_chars; /* of a word; a longer one is unknown */
    ce_bert_table classes;
    int32_t ascii[CE_WORDPIECE_ASCII]; /* tokens of words of one such character */
} ce_wordpiece;

/* To be called when the rest has been filled in. */
void ce_wordpiece_prepare(ce_wordpiece *model);

/* Append the tokens of a word. CE_OK or CE_E_NO_MEMORY. */
int ce_wordpiece_add(const ce_wordpiece *model, const char *word, size_t size, ce_tokens *out);

/* The same for all words into which BertPreTokenizer splits the text, until there are more than `enough` tokens; with `more`
 * text to come for those that this cannot change. `*done`: bytes that need not be given again. */
int ce_wordpiece_add_bert(const ce_wordpiece *model, const char *text, size_t size, int more,
                          size_t enough, size_t *done, ce_tokens *out);

void ce_wordpiece_free(ce_wordpiece *model);

#endif
