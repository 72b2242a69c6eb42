/* Text on its way from the caller to the model: it grows, and each of its bytes may know where it came from. */
#ifndef CE_TOKENIZER_TEXT_H
#define CE_TOKENIZER_TEXT_H

#include "tokenizer/tokenizer.h"
#include "unicode/utf8.h"

#include <string.h>

/* Words of eight bytes are looked at as numbers, their first byte the lowest. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "written for little-endian machines");

/* So many bytes behind a text can be read, so that words may be loaded at once. */
enum { CE_TEXT_MARGIN = 32 };

typedef struct ce_text {
    char *data;
    size_t size, capacity;
    int tracked;      /* whether `origins` are kept */
    ce_span *origins; /* of each byte: the character of the caller's text that it stems from */
    size_t origin_capacity;
} ce_text;

void ce_text_free(ce_text *text);
size_t ce_text_bytes(const ce_text *text);

/* Room for `more` bytes behind the size; 0 when out of memory. */
int ce_text_reserve(ce_text *text, size_t more);

/* Remove the first bytes. */
void ce_text_drop(ce_text *text, size_t bytes);

/* A part of a text, which it borrows. */
typedef struct ce_view {
    const char *data;
    size_t size;
    const ce_span *origins; /* NULL unless tracked */
} ce_view;

static inline ce_view ce_view_of(const ce_text *text, size_t start, size_t end)
{
    if (end == 0) /* there may be no memory yet */
        return (ce_view){text->data, 0, text->tracked ? text->origins : NULL};
    return (ce_view){text->data + start, end - start, text->tracked ? text->origins + start : NULL};
}

/* ---- Where there is room --------------------------------------------------------------------- */

static inline void ce_text_put(ce_text *text, uint32_t scalar, ce_span origin)
{
    size_t bytes = ce_utf8_encode(scalar, text->data + text->size);
    if (text->tracked)
        for (size_t i = 0; i < bytes; i++)
            text->origins[text->size + i] = origin;
    text->size += bytes;
}

static inline void ce_text_append(ce_text *text, const char *data, size_t size,
                                  const ce_span *origins)
{
    if (size > 0)
        memcpy(text->data + text->size, data, size);
    if (text->tracked && origins && size > 0)
        memcpy(text->origins + text->size, origins, size * sizeof *origins);
    text->size += size;
}

/* Text that nothing in the input stands for: all of it has one origin. */
static inline void ce_text_insert(ce_text *text, const char *data, size_t size, ce_span origin)
{
    if (size > 0)
        memcpy(text->data + text->size, data, size);
    if (text->tracked)
        for (size_t i = 0; i < size; i++)
            text->origins[text->size + i] = origin;
    text->size += size;
}

static inline ce_span ce_view_origin(const ce_view *view, size_t at)
{
    return view->origins ? view->origins[at] : (ce_span){0, 0};
}

#endif
