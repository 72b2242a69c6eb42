/* From the tokens of one or two texts to what the caller gets: cut, with special tokens, with offsets. */
#ifndef CE_TOKENIZER_POST_H
#define CE_TOKENIZER_POST_H

#include "tokenizer/tokens.h"

/* What a post-processor's template puts down: a text, or a special token. */
typedef enum ce_piece_kind { CE_PIECE_TEXT, CE_PIECE_PAIR, CE_PIECE_TOKEN } ce_piece_kind;

typedef struct ce_piece {
    ce_piece_kind kind;
    int32_t id; /* of a token */
    int32_t type_id;
} ce_piece;

typedef struct ce_template {
    ce_piece *pieces;
    size_t count;
    size_t specials; /* how many of the pieces are tokens */
} ce_template;

/* How many characters of white space a token begins and ends with. */
typedef struct ce_blanks {
    size_t leading, trailing;
} ce_blanks;

typedef struct ce_post {
    ce_template single;
    ce_template pair; /* without pieces: the file has none that can be followed */
    int trim_offsets; /* white space is no part of a token's offsets */
    int add_prefix_space;
    uint8_t (*blanks)[2]; /* of each id of the model, if offsets are trimmed: leading, trailing */
    size_t blank_count;
} ce_post;

/* Of how many tokens a text and its pair may have together, how many each gets: the longer one is cut first. */
void ce_post_share(size_t budget, size_t *text, size_t *pair);

/* Take white space off the offsets of a text's tokens. */
void ce_post_trim(const ce_post *post, const char *text, size_t size, ce_span *spans,
                  const ce_blanks *blanks, size_t count);

void ce_post_free(ce_post *post);

#endif
