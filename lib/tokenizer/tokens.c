#include "tokenizer/tokens.h"

#include "base/mem.h"

void ce_tokens_free(ce_tokens *tokens)
{
    ce_free(tokens->ids);
    ce_free(tokens->spans);
    *tokens = (ce_tokens){0};
}

size_t ce_tokens_bytes(const ce_tokens *tokens)
{
    return tokens->capacity * sizeof *tokens->ids + tokens->span_capacity * sizeof *tokens->spans;
}

static int grow(void **array, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity)
        return 1;
    size_t grown = need > 2 * *capacity ? need : 2 * *capacity;
    void *made = ce_reallocarray(*array, grown, size);
    if (!made)
        return 0;
    *array = made;
    *capacity = grown;
    return 1;
}

int ce_tokens_grow(ce_tokens *tokens, size_t more)
{
    size_t need = tokens->count + more;
    return grow((void **)&tokens->ids, &tokens->capacity, need, sizeof *tokens->ids) &&
           (!tokens->tracked ||
            grow((void **)&tokens->spans, &tokens->span_capacity, need, sizeof *tokens->spans));
}
