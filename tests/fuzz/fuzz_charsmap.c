/* Any bytes as a charsmap, and others as the text for it. Two bytes say how many are the charsmap. */
#include "fuzz.h"
#include "tokenizer/charsmap.h"
#include "unicode/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Characters of the text that the items account for. */
static size_t taken(const ce_unicode_changes *changes)
{
    size_t count = 0;
    for (size_t i = 0; i < changes->count; i++) {
        MUST(changes->items[i].change <= 1);
        if (changes->items[i].change <= 0)
            count += 1 + (size_t)-changes->items[i].change;
    }
    return count;
}

static size_t characters(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

/* What the prefix does not cover gives the rest of the items, also in memory of its own. */
static void check_prefix(const ce_charsmap *charsmap, const char *text, size_t size,
                         const ce_unicode_changes *whole)
{
    size_t prefix = ce_charsmap_prefix(charsmap, text, size), at = 0, count = 0;
    MUST(prefix <= size);
    for (; at < prefix; count++) {
        uint32_t scalar = 0;
        at += ce_utf8_decode(text + at, size - at, &scalar);
        MUST(whole->items[count].scalar == scalar && whole->items[count].change == 0);
    }
    MUST(at == prefix);
    ce_unicode_changes rest = {0};
    char *tail = fuzz_copy(text + prefix, size - prefix);
    MUST(ce_charsmap_apply(charsmap, tail, size - prefix, &rest) == CE_OK);
    MUST(rest.count == whole->count - count);
    if (rest.count > 0)
        MUST(memcmp(rest.items, whole->items + count, rest.count * sizeof *rest.items) == 0);
    free(tail);
    ce_unicode_changes_free(&rest);
}

static void check_text(const ce_charsmap *charsmap, const char *text, size_t size)
{
    ce_unicode_changes changes = {0};
    int status = ce_charsmap_apply(charsmap, text, size, &changes);
    MUST(status == CE_OK || status == CE_E_INVALID_UTF8);
    if (status == CE_OK) {
        MUST(taken(&changes) <= characters(text, size));
        check_prefix(charsmap, text, size, &changes);
    } else {
        MUST(ce_charsmap_prefix(charsmap, text, size) < size);
    }
    ce_unicode_changes_free(&changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t blob_size = (size_t)data[0] | (size_t)data[1] << 8;
    size -= 2;
    if (blob_size > size)
        blob_size = size;
    void *blob = fuzz_copy(data + 2, blob_size);
    char *text = fuzz_copy(data + 2 + blob_size, size - blob_size);
    ce_charsmap *charsmap = NULL;
    ce_error error = {0};
    int status = ce_charsmap_create(blob, blob_size, &charsmap, &error);
    fuzz_check_error(status, &error);
    free(blob);
    if (status == CE_OK)
        check_text(charsmap, text, size - blob_size);
    ce_charsmap_destroy(charsmap);
    free(text);
    return 0;
}
