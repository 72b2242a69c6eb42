/* Unicode and the charsmap as a shared library, so that pytest can drive every scalar through them. */
#include "base/mem.h"
#include "tokenizer/base64.h"
#include "tokenizer/charsmap.h"
#include "unicode/grapheme.h"
#include "unicode/normal_form.h"
#include "unicode/unicode.h"

#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* Of every code point: 0x110000 flags. */
EXPORT void unicode_flags(uint32_t *flags)
{
    for (uint32_t scalar = 0; scalar < 0x110000; scalar++)
        flags[scalar] = ce_unicode_find(scalar)->flags;
}

EXPORT size_t unicode_grapheme(const char *text, size_t size)
{
    return ce_unicode_grapheme(text, size);
}

EXPORT size_t unicode_prefix(int form, const char *text, size_t size)
{
    return ce_unicode_normal_prefix((ce_normal_form)form, text, size);
}

/* The number of items, which are written to `items` if there is room for them; a negative status after a failure. */
static long deliver(int status, ce_unicode_changes *changes, ce_unicode_change *items,
                    size_t capacity)
{
    long count = status == CE_OK ? (long)changes->count : -status;
    if (status == CE_OK && changes->count <= capacity)
        memcpy(items, changes->items, changes->count * sizeof *items);
    ce_unicode_changes_free(changes);
    return count;
}

EXPORT long unicode_form(int form, const char *text, size_t size, ce_unicode_change *items,
                         size_t capacity)
{
    ce_unicode_changes changes = {0};
    int status = ce_unicode_normal_form((ce_normal_form)form, text, size, &changes);
    return deliver(status, &changes, items, capacity);
}

/* NULL, with the reason in `message` (512 bytes), if it is refused. */
EXPORT ce_charsmap *charsmap_create(const char *blob, size_t size, char *message)
{
    ce_error error;
    ce_charsmap *charsmap = NULL;
    int status = ce_charsmap_create(blob, size, &charsmap, &error);
    if (status != CE_OK)
        snprintf(message, 512, "%d %s", status, error.message);
    return charsmap;
}

EXPORT void charsmap_destroy(ce_charsmap *charsmap)
{
    ce_charsmap_destroy(charsmap);
}

EXPORT long charsmap_apply(const ce_charsmap *charsmap, const char *text, size_t size,
                           ce_unicode_change *items, size_t capacity)
{
    ce_unicode_changes changes = {0};
    return deliver(ce_charsmap_apply(charsmap, text, size, &changes), &changes, items, capacity);
}

EXPORT size_t charsmap_prefix(const ce_charsmap *charsmap, const char *text, size_t size)
{
    return ce_charsmap_prefix(charsmap, text, size);
}

EXPORT long base64_decode(const char *text, size_t size, unsigned char *out)
{
    size_t decoded;
    return ce_base64_decode(text, size, out, &decoded) ? (long)decoded : -1;
}
