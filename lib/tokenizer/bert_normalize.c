#include "tokenizer/bert_normalize.h"

#include "base/mem.h"
#include "unicode/unicode.h"

#include <stdlib.h>

/* ---- Canonical ordering ------------------------------------------------------------------- */

/* Stripping accents decomposes, and canonical ordering then sorts each run of combining characters by their class. Most of
 * them are nonspacing marks, which are dropped; for the few that stay, class, place and scalar share a word. */
enum { SCALAR_BITS = 21, PLACE_BITS = 35 };

static int add_mark(ce_normalizing *work, uint32_t scalar, uint8_t combining_class)
{
    if (work->mark_count == work->mark_capacity) {
        size_t capacity = work->mark_capacity ? 2 * work->mark_capacity : 16;
        uint64_t *marks = ce_reallocarray(work->marks, capacity, sizeof *marks);
        if (!marks)
            return 0;
        work->marks = marks;
        work->mark_capacity = capacity;
    }
    size_t place = work->mark_count++;
    work->marks[place] = (uint64_t)combining_class << (SCALAR_BITS + PLACE_BITS) |
                         (uint64_t)place << SCALAR_BITS | scalar;
    return 1;
}

static int compare_marks(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Forms of one scalar are at most this long, and stand between two spaces. */
enum { FORM_BYTES = 4 * 4 + 2 };

/* Bytes of text that room is made for at a time. */
enum { BLOCK = 1024 };

static const ce_span nowhere = {0, 0};

/* The run ends here. It may have begun many blocks ago. */
static int put_marks(ce_normalizing *work, ce_text *out)
{
    size_t count = work->mark_count;
    if (count == 0)
        return 1;
    if (!ce_text_reserve(out, 4 * count + FORM_BYTES * (BLOCK + 4)))
        return 0;
    qsort(work->marks, count, sizeof *work->marks, compare_marks);
    for (size_t i = 0; i < count; i++)
        ce_text_put(out, (uint32_t)(work->marks[i] & ((1u << SCALAR_BITS) - 1)), nowhere);
    work->mark_count = 0;
    return 1;
}

/* ---- Scalars ------------------------------------------------------------------------------ */

static int put_ordered(ce_normalizing *work, uint32_t scalar, ce_text *out)
{
    const ce_unicode_record *record = ce_unicode_find(scalar);
    if (record->combining_class)
        return add_mark(work, scalar, record->combining_class);
    if (!put_marks(work, out))
        return 0;
    ce_text_put(out, scalar, nowhere);
    return 1;
}

static int put_stripped(const ce_bert_normalizer *bert, ce_normalizing *work, uint32_t scalar,
                        const ce_unicode_record *record, ce_text *out)
{
    if (record->flags & CE_UNICODE_MARK)
        return !(record->flags & CE_UNICODE_BREAKS) || put_marks(work, out);
    uint16_t form = bert->lowercase ? record->stripped_lower : record->stripped;
    if (form) {
        const uint32_t *sequence = ce_unicode_sequences + form;
        for (uint32_t i = 1; i <= sequence[0]; i++)
            if (!put_ordered(work, sequence[i], out))
                return 0;
        return 1;
    }
    uint32_t jamo[3];
    int count = ce_unicode_hangul(scalar, jamo);
    for (int i = 0; i < count; i++)
        if (!put_ordered(work, jamo[i], out))
            return 0;
    return count > 0 || put_ordered(work, scalar, out);
}

static void put_lower(uint32_t scalar, const ce_unicode_record *record, ce_text *out)
{
    if (!record->lower) {
        ce_text_put(out, scalar, nowhere);
        return;
    }
    const uint32_t *sequence = ce_unicode_sequences + record->lower;
    for (uint32_t i = 1; i <= sequence[0]; i++)
        ce_text_put(out, sequence[i], nowhere);
}

static int put_form(const ce_bert_normalizer *bert, ce_normalizing *work, uint32_t scalar,
                    const ce_unicode_record *record, ce_text *out)
{
    if (bert->strip_accents)
        return put_stripped(bert, work, scalar, record, out);
    if (bert->lowercase)
        put_lower(scalar, record, out);
    else
        ce_text_put(out, scalar, nowhere);
    return 1;
}

static int put_normalized(const ce_bert_normalizer *bert, ce_normalizing *work, uint32_t scalar,
                          ce_text *out)
{
    const ce_unicode_record *record = ce_unicode_find(scalar);
    if (bert->clean_text) {
        if (record->flags & CE_UNICODE_CONTROL)
            return 1;
        if (record->flags & CE_UNICODE_WHITE) {
            scalar = ' ';
            record = ce_unicode_find(scalar);
        }
    }
    if (bert->handle_chinese_chars && record->flags & CE_UNICODE_CJK) {
        if (bert->strip_accents && !put_ordered(work, ' ', out))
            return 0;
        if (!bert->strip_accents)
            ce_text_put(out, ' ', nowhere);
        if (!put_form(bert, work, scalar, record, out))
            return 0;
        ce_text_put(out, ' ', nowhere);
        return 1;
    }
    return put_form(bert, work, scalar, record, out);
}

/* Letters, digits and punctuation of ASCII, the common case, go without the tables. */
static size_t copy_ascii(const ce_bert_normalizer *bert, const char *text, size_t size, char *out)
{
    enum { BLOCK = 16 };
    size_t i = 0;
    for (; size - i >= BLOCK; i += BLOCK) {
        /* Without a branch inside, for the compiler to do it all at once. */
        unsigned char outside = 0;
        for (size_t k = 0; k < BLOCK; k++) {
            unsigned char c = (unsigned char)text[i + k];
            outside |= (unsigned char)(c - 0x20) >= 0x5F;
            unsigned char upper = bert->lowercase & ((unsigned char)(c - 'A') < 26);
            out[i + k] = (char)(c + (upper << 5));
        }
        if (outside)
            break;
    }
    for (; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c >= 0x7F)
            break;
        out[i] = (char)(bert->lowercase && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return i;
}

/* A character that becomes itself, or stands between two spaces, without any ordering: nearly all there are. 0 if it is not
 * one of these. */
static int put_plain(const ce_bert_normalizer *bert, uint32_t scalar, const char *bytes,
                     size_t size, ce_text *out)
{
    enum { FIRST_HANGUL = 0xAC00, HANGUL = 11172 };
    const ce_unicode_record *record = ce_unicode_find(scalar);
    uint32_t special = bert->clean_text ? CE_UNICODE_CONTROL | CE_UNICODE_WHITE : 0;
    uint16_t form = bert->lowercase ? record->lower : 0;
    if (bert->strip_accents) {
        if (record->combining_class || scalar - FIRST_HANGUL < HANGUL)
            return 0;
        special |= CE_UNICODE_MARK;
        form = bert->lowercase ? record->stripped_lower : record->stripped;
    }
    if (form || record->flags & special)
        return 0;
    int spaced = bert->handle_chinese_chars && record->flags & CE_UNICODE_CJK;
    char *to = out->data + out->size;
    *to = ' ';
    memcpy(to + spaced, bytes, size);
    to[spaced + size] = ' '; /* or what comes next */
    out->size += size + 2 * (size_t)spaced;
    return 1;
}

/* As much of the text as there is room for in any case. */
static int normalize_block(const ce_bert_normalizer *bert, ce_normalizing *work, const char *text,
                           size_t size, ce_text *out)
{
    for (size_t at = 0; at < size;) {
        if ((unsigned char)text[at] < 0x80 && work->mark_count == 0) {
            size_t copied = copy_ascii(bert, text + at, size - at, out->data + out->size);
            out->size += copied;
            at += copied;
            if (at == size)
                break;
        }
        uint32_t scalar;
        size_t bytes = ce_utf8_decode(text + at, size - at, &scalar);
        if ((work->mark_count > 0 || !put_plain(bert, scalar, text + at, bytes, out)) &&
            !put_normalized(bert, work, scalar, out))
            return 0;
        at += bytes;
    }
    return 1;
}

int ce_bert_normalize(const ce_bert_normalizer *bert, ce_normalizing *work, const ce_view *in,
                      ce_text *out)
{
    work->mark_count = 0;
    for (size_t at = 0; at < in->size;) {
        size_t end = in->size - at > BLOCK ? at + BLOCK : in->size;
        while (end < in->size && ((unsigned char)in->data[end] & 0xC0) == 0x80)
            end++;
        if (!ce_text_reserve(out, FORM_BYTES * (end - at + 1)) ||
            !normalize_block(bert, work, in->data + at, end - at, out))
            return CE_E_NO_MEMORY;
        at = end;
    }
    return put_marks(work, out) ? CE_OK : CE_E_NO_MEMORY;
}
