#include "tokenizer/text.h"

#include "base/mem.h"

void ce_text_free(ce_text *text)
{
    ce_free(text->data);
    ce_free(text->origins);
    *text = (ce_text){0};
}

size_t ce_text_bytes(const ce_text *text)
{
    return text->capacity + text->origin_capacity * sizeof *text->origins;
}

static int grow_origins(ce_text *text)
{
    if (text->origin_capacity >= text->capacity)
        return 1;
    ce_span *origins = ce_reallocarray(text->origins, text->capacity, sizeof *origins);
    if (!origins)
        return 0;
    text->origins = origins;
    text->origin_capacity = text->capacity;
    return 1;
}

int ce_text_reserve(ce_text *text, size_t more)
{
    if (more > SIZE_MAX / 8 || text->size > SIZE_MAX / 8)
        return 0;
    size_t need = text->size + more + CE_TEXT_MARGIN;
    if (need > text->capacity) {
        size_t capacity = need > 2 * text->capacity ? need : 2 * text->capacity;
        char *data = ce_realloc(text->data, capacity);
        if (!data)
            return 0;
        /* The margin is read, though what is read there does not count. */
        memset(data + text->capacity, 0, capacity - text->capacity);
        text->data = data;
        text->capacity = capacity;
    }
    return !text->tracked || grow_origins(text);
}

void ce_text_drop(ce_text *text, size_t bytes)
{
    if (bytes == 0)
        return;
    text->size -= bytes;
    memmove(text->data, text->data + bytes, text->size);
    if (text->tracked)
        memmove(text->origins, text->origins + bytes, text->size * sizeof *text->origins);
}
