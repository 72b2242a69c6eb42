/* The tokens of a text as they are found. */
#ifndef CE_TOKENIZER_TOKENS_H
#define CE_TOKENIZER_TOKENS_H

#include "tokenizer/tokenizer.h"

typedef struct ce_tokens {
    int32_t *ids;
    ce_span *spans; /* if tracked: the bytes of the word that is being added, from 0 */
    size_t count, capacity, span_capacity;
    int tracked;
} ce_tokens;

void ce_tokens_free(ce_tokens *tokens);
size_t ce_tokens_bytes(const ce_tokens *tokens);

int ce_tokens_grow(ce_tokens *tokens, size_t more);

/* Room for `more` tokens; 0 when out of memory. */
static inline int ce_tokens_reserve(ce_tokens *tokens, size_t more)
{
    return (more <= tokens->capacity - tokens->count && !tokens->tracked) ||
           ce_tokens_grow(tokens, more);
}

/* Where there is room. */
static inline void ce_tokens_put(ce_tokens *tokens, int32_t id, size_t start, size_t end)
{
    if (tokens->tracked)
        tokens->spans[tokens->count] = (ce_span){start, end};
    tokens->ids[tokens->count++] = id;
}

static inline int ce_tokens_add(ce_tokens *tokens, int32_t id, size_t start, size_t end)
{
    if (!ce_tokens_reserve(tokens, 1))
        return CE_E_NO_MEMORY;
    ce_tokens_put(tokens, id, start, end);
    return CE_OK;
}

#endif
