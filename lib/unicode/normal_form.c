#include "unicode/normal_form.h"

#include "base/error.h"
#include "unicode/unicode.h"
#include "unicode/utf8.h"

#include <string.h>

static int is_canonical(ce_normal_form form)
{
    return form == CE_NFD || form == CE_NFC;
}

static int composes(ce_normal_form form)
{
    return form == CE_NFC || form == CE_NFKC;
}

static uint8_t class_at(const ce_unicode_changes *out, size_t i)
{
    uint32_t scalar = out->items[i].scalar;
    return scalar < 0x80 ? 0 : ce_unicode_find(scalar)->combining_class;
}

/* ---- Decomposition ------------------------------------------------------------------------ */

/* No decomposition has more scalars. */
enum { LONGEST = 18 };

static void put(ce_unicode_changes *out, const uint32_t *scalars, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out->items[out->count++] = (ce_unicode_change){scalars[i], i > 0};
}

static void put_decomposed(ce_normal_form form, uint32_t scalar, ce_unicode_changes *out)
{
    const ce_unicode_record *record = ce_unicode_find(scalar);
    uint32_t changed = is_canonical(form) ? CE_UNICODE_NOT_NFD : CE_UNICODE_NOT_NFKD;
    if (!(record->flags & changed)) {
        put(out, &scalar, 1);
        return;
    }
    uint16_t sequence = is_canonical(form) ? record->canonical : record->compatibility;
    uint32_t jamo[3];
    if (sequence)
        put(out, ce_unicode_sequences + sequence + 1, ce_unicode_sequences[sequence]);
    else
        put(out, jamo, (size_t)ce_unicode_hangul(scalar, jamo));
}

static int decompose(ce_normal_form form, const char *text, size_t size, ce_unicode_changes *out)
{
    for (size_t at = 0; at < size;) {
        /* Enough for all the rest where nothing decomposes. */
        if (!ce_unicode_changes_reserve(out, size - at + LONGEST))
            return CE_E_NO_MEMORY;
        uint32_t scalar;
        size_t bytes = ce_utf8_decode(text + at, size - at, &scalar);
        if (bytes == 0)
            return CE_E_INVALID_UTF8;
        put_decomposed(form, scalar, out);
        at += bytes;
    }
    return CE_OK;
}

/* ---- Canonical ordering ------------------------------------------------------------------- */

static void sort_by_insertion(ce_unicode_changes *out, size_t start, size_t end)
{
    for (size_t i = start + 1; i < end; i++) {
        ce_unicode_change item = out->items[i];
        uint8_t class = class_at(out, i);
        size_t j = i;
        for (; j > start && class_at(out, j - 1) > class; j--)
            out->items[j] = out->items[j - 1];
        out->items[j] = item;
    }
}

/* By counting, through the memory behind the items. */
static int sort_by_counting(ce_unicode_changes *out, size_t start, size_t end)
{
    size_t next[256] = {0};
    if (!ce_unicode_changes_reserve(out, end - start))
        return 0;
    for (size_t i = start; i < end; i++)
        next[class_at(out, i)]++;
    for (size_t class = 0, before = 0; class < 256; class ++) {
        size_t count = next[class];
        next[class] = before;
        before += count;
    }
    ce_unicode_change *sorted = out->items + out->count;
    for (size_t i = start; i < end; i++)
        sorted[next[class_at(out, i)]++] = out->items[i];
    for (size_t i = start; i < end; i++)
        out->items[i] = sorted[i - start];
    return 1;
}

/* Each run of combining characters, by class and else as it was. */
static int order(ce_unicode_changes *out, size_t start)
{
    enum { SHORT = 16 };
    for (size_t i = start; i < out->count; i++) {
        if (class_at(out, i) == 0)
            continue;
        size_t run = i;
        while (i < out->count && class_at(out, i) != 0)
            i++;
        if (i - run <= SHORT)
            sort_by_insertion(out, run, i);
        else if (!sort_by_counting(out, run, i))
            return CE_E_NO_MEMORY;
    }
    return CE_OK;
}

/* ---- Composition -------------------------------------------------------------------------- */

/* A character that is taken up by the starter before it is gone from the text: that many more are removed. */
static void compose(ce_unicode_changes *out, size_t start)
{
    ce_unicode_change *items = out->items;
    ce_unicode_change *starter = NULL;
    uint8_t last = 0; /* class of what stands before the character; 0: the starter does */
    size_t used = start;
    for (size_t i = start; i < out->count; i++) {
        ce_unicode_change item = items[i];
        uint8_t class = class_at(out, i);
        uint32_t composite = 0;
        if (starter && (last == 0 || last < class))
            composite = ce_unicode_compose(starter->scalar, item.scalar);
        if (composite) {
            starter->scalar = composite;
            starter->change += item.change - 1;
            continue;
        }
        items[used] = item;
        if (class == 0)
            starter = &items[used];
        last = class;
        used++;
    }
    out->count = used;
}

int ce_unicode_normal_form(ce_normal_form form, const char *text, size_t size,
                           ce_unicode_changes *out)
{
    size_t start = out->count;
    int status = decompose(form, text, size, out);
    if (status == CE_OK)
        status = order(out, start);
    if (status != CE_OK)
        out->count = start;
    else if (composes(form))
        compose(out, start);
    return status;
}

/* ---- What needs no work ------------------------------------------------------------------- */

static uint32_t disturbs(ce_normal_form form)
{
    static const uint32_t flags[] = {
        [CE_NFD] = CE_UNICODE_NOT_NFD,
        [CE_NFC] = CE_UNICODE_NOT_NFC | CE_UNICODE_SECOND,
        [CE_NFKD] = CE_UNICODE_NOT_NFKD,
        [CE_NFKC] = CE_UNICODE_NOT_NFKC | CE_UNICODE_SECOND,
    };
    return flags[form];
}

static size_t ascii_bytes(const char *text, size_t size)
{
    size_t at = 0;
    for (uint64_t word; size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, text + at, sizeof word);
        if (word & 0x8080808080808080)
            break;
    }
    while (at < size && (unsigned char)text[at] < 0x80)
        at++;
    return at;
}

size_t ce_unicode_normal_prefix(ce_normal_form form, const char *text, size_t size)
{
    uint32_t disturbing = disturbs(form);
    size_t starter = 0; /* what comes next may change it, but nothing before it */
    uint8_t last = 0;
    for (size_t at = 0; at < size;) {
        size_t ascii = ascii_bytes(text + at, size - at);
        if (ascii > 0) {
            at += ascii;
            starter = at - 1;
            last = 0;
            continue;
        }
        uint32_t scalar;
        size_t bytes = ce_utf8_decode(text + at, size - at, &scalar);
        if (bytes == 0)
            return starter;
        const ce_unicode_record *record = ce_unicode_find(scalar);
        uint8_t class = record->combining_class;
        if (record->flags & disturbing || (class && class < last))
            return starter;
        if (class == 0)
            starter = at;
        last = class;
        at += bytes;
    }
    return size;
}
