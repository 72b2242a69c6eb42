/* A tokenizer.json compiled: what load.c makes and encode.c runs. */
#ifndef CE_TOKENIZER_PIPELINE_H
#define CE_TOKENIZER_PIPELINE_H

#include "tokenizer/tokenizer.h"
#include "tokenizer/trie.h"

/* BertNormalizer; all off where the file has no normalizer. */
typedef struct ce_normalizer {
    int clean_text;
    int handle_chinese_chars;
    int strip_accents;
    int lowercase;
} ce_normalizer;

typedef struct ce_wordpiece {
    ce_trie first;        /* entries that begin a word */
    ce_trie continuation; /* entries that continue one, without their prefix */
    int32_t unk;
    uint64_t max_chars; /* of a word; a longer one is unknown */
} ce_wordpiece;

/* A token that is found in the text itself, before (raw) or after (normalized) normalization. */
typedef struct ce_added_token {
    char *content;
    size_t size;
    int32_t id;
    int single_word, lstrip, rstrip, normalized;
} ce_added_token;

typedef struct ce_added {
    ce_added_token *tokens;
    size_t count;
    ce_trie raw, normalized; /* values: indices into tokens */
    unsigned char starts_raw[256];
    unsigned char starts_normalized[256];
    int any_normalized;
} ce_added;

/* What the post-processor puts round one text. */
typedef struct ce_template {
    int32_t *before, *after;
    size_t before_count, after_count;
} ce_template;

struct ce_tokenizer {
    ce_normalizer normalizer;
    ce_wordpiece model;
    ce_added added;
    ce_template post;
    size_t vocab_size;
};

/* Growing memory of a scratch. */
typedef struct ce_buffer {
    char *data;
    size_t size, capacity;
} ce_buffer;

/* Room for `more` bytes behind the size; 0 when out of memory. */
int ce_buffer_reserve(ce_buffer *buffer, size_t more);

/* Normalization of one text, which may come in pieces. */
typedef struct ce_normalizing {
    ce_buffer marks; /* combining characters that wait for the end of their run: uint64_t each */
} ce_normalizing;

/* Append the normalized text[0 .. size) to `out`. Characters must be whole. Returns CE_OK, CE_E_NO_MEMORY, or
 * CE_E_INVALID_UTF8 with the offset of the bad byte. */
int ce_normalize(const ce_normalizer *normalizer, ce_normalizing *state, const char *text,
                 size_t size, ce_buffer *out, size_t *bad);

/* The text ends here: append what still waits. */
int ce_normalize_end(ce_normalizing *state, ce_buffer *out);

#endif
