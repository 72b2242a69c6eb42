/* Byte pair encoding: the characters of a word, merged pair by pair in the order of the merges' ranks. */
#ifndef CE_TOKENIZER_BPE_H
#define CE_TOKENIZER_BPE_H

#include "tokenizer/merges.h"
#include "tokenizer/tokens.h"
#include "tokenizer/trie.h"

/* What is known of a token. */
typedef struct ce_bpe_token {
    int32_t left,
        right; /* the last merge of its own text; -1 of a single character, which is there from the start */
    int64_t rank;   /* of that merge; -1 */
    int32_t prefix; /* the longest other token that it begins with; -1: none */
    uint32_t size;  /* bytes; 0: its own text is not merged into it, so no text has it */
} ce_bpe_token;

typedef struct ce_bpe {
    ce_merges merges;
    ce_trie
        vocab; /* all entries, where a whole word may be one, else those of one character; of a byte-level model in bytes */
    /* For searching instead of merging. */
    int searches;
    ce_trie trie; /* entries that a text can have */
    ce_bpe_token *tokens;
    size_t token_count;
    size_t longest; /* bytes of an entry */

    int byte_level;     /* a word begins as its bytes, not as its characters */
    int byte_fallback;  /* a character that is no token becomes its bytes */
    int32_t bytes[256]; /* tokens of single bytes, for both; -1: none */
    int32_t unk;        /* -1: what is no token is left out */
    int fuse_unk;
    int ignore_merges; /* a word that is a token is that token */
} ce_bpe;

/* Memory for the work. */
typedef struct ce_bpe_work {
    ce_merging merging;
    uint64_t *dead; /* bit by bit: places of the word from which there is no way on */
    size_t dead_capacity;
    ce_tokens trial, rest; /* for the tokens of a word's beginning */
} ce_bpe_work;

void ce_bpe_work_free(ce_bpe_work *work);
size_t ce_bpe_work_bytes(const ce_bpe_work *work);

/* To be called when the rest is filled in: `keys` are the vocabulary's entries as they are looked up. CE_OK,
 * CE_E_NO_MEMORY. */
int ce_bpe_prepare(ce_bpe *model, const ce_trie_key *keys, size_t count, ce_error *error);

/* Append the tokens of a word. CE_OK or CE_E_NO_MEMORY. */
int ce_bpe_add(const ce_bpe *model, ce_bpe_work *work, const char *word, size_t size,
               ce_tokens *out);

/* Append the tokens that a word begins with whatever follows these bytes of it: none if that is not known. */
int ce_bpe_add_beginning(const ce_bpe *model, ce_bpe_work *work, const char *word, size_t size,
                         ce_tokens *out);

void ce_bpe_free(ce_bpe *model);

#endif
