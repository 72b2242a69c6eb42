/* Any bytes through the normal forms and what cuts a text into clusters. */
#include "fuzz.h"
#include "unicode/grapheme.h"
#include "unicode/normal_form.h"
#include "unicode/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { FORMS = CE_NFKC + 1 };

/* Clusters follow each other up to the end, or up to what is not UTF-8. Characters before that. */
static size_t check_clusters(const char *text, size_t size, int *valid)
{
    size_t at = 0, characters = 0, bytes = 1;
    while (at < size && bytes > 0) {
        bytes = ce_unicode_grapheme(text + at, size - at);
        MUST(bytes <= size - at);
        for (size_t i = 0; i < bytes; i++)
            characters += ((unsigned char)text[at + i] & 0xC0) != 0x80;
        at += bytes;
    }
    *valid = at == size;
    return characters;
}

/* The items replace or remove every character of the text. */
static void check_changes(const ce_unicode_changes *changes, size_t characters)
{
    size_t taken = 0;
    for (size_t i = 0; i < changes->count; i++) {
        MUST(changes->items[i].change <= 1);
        taken += (size_t)(1 - changes->items[i].change);
    }
    MUST(taken == characters);
}

static char *encode(const ce_unicode_changes *changes, size_t *size)
{
    char *text = malloc(4 * changes->count + 1);
    MUST(text);
    *size = 0;
    for (size_t i = 0; i < changes->count; i++)
        *size += ce_utf8_encode(changes->items[i].scalar, text + *size);
    return text;
}

/* A text that was brought into a form is in it, and its other form of the same kind leads back to it. */
static void check_again(ce_normal_form form, const ce_unicode_changes *changes)
{
    size_t size;
    char *text = encode(changes, &size);
    for (int other = form == CE_NFD || form == CE_NFC ? CE_NFD : CE_NFKD, last = other + 1;
         other <= last; other++) {
        ce_unicode_changes first = {0}, second = {0};
        MUST(ce_unicode_normal_form((ce_normal_form)other, text, size, &first) == CE_OK);
        size_t other_size;
        char *other_text = encode(&first, &other_size);
        MUST(ce_unicode_normal_form(form, other_text, other_size, &second) == CE_OK);
        MUST(second.count == changes->count);
        for (size_t i = 0; i < second.count; i++)
            MUST(second.items[i].scalar == changes->items[i].scalar);
        free(other_text);
        ce_unicode_changes_free(&first);
        ce_unicode_changes_free(&second);
    }
    free(text);
}

static void check_prefix(ce_normal_form form, const char *text, size_t size,
                         const ce_unicode_changes *whole)
{
    size_t prefix = ce_unicode_normal_prefix(form, text, size);
    MUST(prefix <= size);
    ce_unicode_changes parts = {0};
    MUST(ce_unicode_normal_form(form, text, prefix, &parts) == CE_OK);
    size_t copied;
    char *copy = encode(&parts, &copied);
    MUST(copied == prefix && memcmp(copy, text, prefix) == 0);
    free(copy);
    MUST(ce_unicode_normal_form(form, text + prefix, size - prefix, &parts) == CE_OK);
    MUST(parts.count == whole->count);
    if (parts.count > 0)
        MUST(memcmp(parts.items, whole->items, parts.count * sizeof *parts.items) == 0);
    ce_unicode_changes_free(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int valid;
    char *text = fuzz_copy(data, size);
    size_t characters = check_clusters(text, size, &valid);
    for (int form = 0; form < FORMS; form++) {
        ce_unicode_changes changes = {0};
        int status = ce_unicode_normal_form((ce_normal_form)form, text, size, &changes);
        MUST(status == (valid ? CE_OK : CE_E_INVALID_UTF8));
        if (valid) {
            check_changes(&changes, characters);
            check_again((ce_normal_form)form, &changes);
            check_prefix((ce_normal_form)form, text, size, &changes);
        } else {
            MUST(changes.count == 0);
            MUST(ce_unicode_normal_prefix((ce_normal_form)form, text, size) < size);
        }
        ce_unicode_changes_free(&changes);
    }
    free(text);
    return 0;
}
