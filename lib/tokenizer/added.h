/* The search for added tokens in a text. */
#ifndef CE_TOKENIZER_ADDED_H
#define CE_TOKENIZER_ADDED_H

#include "tokenizer/trie.h"

/* A token that is found in the text itself, before (raw) or after (normalized) normalization. */
typedef struct ce_added_token {
    char *content;
    size_t size;
    int32_t id;
    int single_word, lstrip, rstrip, normalized;
} ce_added_token;

/* One of the two searches. */
typedef struct ce_added_search {
    ce_trie trie; /* values: indices into the tokens */
    size_t count;
    size_t longest; /* bytes */
    int any_lstrip;
    unsigned char starts[256]; /* whether a token begins with the byte */
    int only_start;            /* the byte that all begin with; -1: they begin with several */
} ce_added_search;

typedef struct ce_added {
    ce_added_token *tokens;
    size_t count;
    ce_added_search raw, normalized;
} ce_added;

typedef struct ce_found {
    size_t start,
        end; /* of the token with the white space that it swallows; it may begin in what an earlier one swallowed */
    size_t resume; /* where the search goes on: behind the token itself */
    const ce_added_token *token;
} ce_found;

/* The first token that starts in text[from .. to). What lies before `floor` belongs to what came earlier. `word_before`:
 * whether the text is preceded by a character of a word. */
int ce_added_find(const ce_added *added, const ce_added_search *search, const char *text,
                  size_t size, size_t from, size_t to, size_t floor, int word_before,
                  ce_found *found);

/* Whether the text ends with a character of a word. */
int ce_added_word_at_end(const char *text, size_t size);

/* Where white space at the end of text[from .. end) begins. */
size_t ce_added_white_at_end(const char *text, size_t from, size_t end);

/* How many characters of white space the text begins and ends with, the one that stands for a space in byte-level models
 * included. */
void ce_added_blanks(const char *text, size_t size, size_t *leading, size_t *trailing);

void ce_added_free(ce_added *added);

#endif
