#include "tokenizer/pipeline.h"

#include "base/mem.h"
#include "unicode/unicode.h"
#include "unicode/utf8.h"

#include <stdlib.h>

int ce_buffer_reserve(ce_buffer *buffer, size_t more)
{
    if (more <= buffer->capacity - buffer->size)
        return 1;
    if (more > SIZE_MAX / 4 || buffer->size > SIZE_MAX / 4)
        return 0;
    size_t need = buffer->size + more;
    size_t capacity = need > 2 * buffer->capacity ? need : 2 * buffer->capacity;
    char *data = ce_realloc(buffer->data, capacity);
    if (!data)
        return 0;
    buffer->data = data;
    buffer->capacity = capacity;
    return 1;
}

/* ---- Canonical ordering ------------------------------------------------------------------- */

/* Stripping accents decomposes, and canonical ordering then sorts each run of combining characters by their class. Most of
 * them are nonspacing marks, which are dropped; for the few that stay, class, place and scalar share a word. */
enum { SCALAR_BITS = 21, PLACE_BITS = 35 };

static size_t mark_count(const ce_normalizing *state)
{
    return state->marks.size / sizeof(uint64_t);
}

static int add_mark(ce_normalizing *state, uint32_t scalar, uint8_t combining_class)
{
    if (!ce_buffer_reserve(&state->marks, sizeof(uint64_t)))
        return 0;
    size_t place = mark_count(state);
    uint64_t *marks = (uint64_t *)(void *)state->marks.data;
    marks[place] = (uint64_t)combining_class << (SCALAR_BITS + PLACE_BITS) |
                   (uint64_t)place << SCALAR_BITS | scalar;
    state->marks.size += sizeof(uint64_t);
    return 1;
}

static int compare_marks(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int ce_normalize_end(ce_normalizing *state, ce_buffer *out)
{
    size_t count = mark_count(state);
    if (count == 0)
        return CE_OK;
    if (!ce_buffer_reserve(out, 4 * count))
        return CE_E_NO_MEMORY;
    uint64_t *marks = (uint64_t *)(void *)state->marks.data;
    qsort(marks, count, sizeof *marks, compare_marks);
    for (size_t i = 0; i < count; i++)
        out->size +=
            ce_utf8_encode((uint32_t)(marks[i] & ((1u << SCALAR_BITS) - 1)), out->data + out->size);
    state->marks.size = 0;
    return CE_OK;
}

/* ---- Scalars ------------------------------------------------------------------------------ */

/* Forms of one scalar are at most this long, and stand between two spaces. */
enum { FORM_BYTES = 4 * 4 + 2 };

static void put(ce_buffer *out, uint32_t scalar)
{
    out->size += ce_utf8_encode(scalar, out->data + out->size);
}

static int put_ordered(ce_normalizing *state, uint32_t scalar, ce_buffer *out)
{
    const ce_unicode_record *record = ce_unicode_find(scalar);
    if (record->combining_class)
        return add_mark(state, scalar, record->combining_class);
    if (mark_count(state) > 0 &&
        (ce_normalize_end(state, out) != CE_OK || !ce_buffer_reserve(out, FORM_BYTES)))
        return 0;
    put(out, scalar);
    return 1;
}

static int put_stripped(const ce_normalizer *normalizer, ce_normalizing *state, uint32_t scalar,
                        const ce_unicode_record *record, ce_buffer *out)
{
    if (record->flags & CE_UNICODE_MARK)
        return !(record->flags & CE_UNICODE_BREAKS) || ce_normalize_end(state, out) == CE_OK;
    uint16_t form = normalizer->lowercase ? record->stripped_lower : record->stripped;
    if (form) {
        const uint32_t *sequence = ce_unicode_sequences + form;
        for (uint32_t i = 1; i <= sequence[0]; i++)
            if (!put_ordered(state, sequence[i], out))
                return 0;
        return 1;
    }
    uint32_t jamo[3];
    int count = ce_unicode_hangul(scalar, jamo);
    for (int i = 0; i < count; i++)
        if (!put_ordered(state, jamo[i], out))
            return 0;
    return count > 0 || put_ordered(state, scalar, out);
}

static void put_lower(uint32_t scalar, const ce_unicode_record *record, ce_buffer *out)
{
    if (!record->lower) {
        put(out, scalar);
        return;
    }
    const uint32_t *sequence = ce_unicode_sequences + record->lower;
    for (uint32_t i = 1; i <= sequence[0]; i++)
        put(out, sequence[i]);
}

static int put_form(const ce_normalizer *normalizer, ce_normalizing *state, uint32_t scalar,
                    const ce_unicode_record *record, ce_buffer *out)
{
    if (normalizer->strip_accents)
        return put_stripped(normalizer, state, scalar, record, out);
    if (normalizer->lowercase)
        put_lower(scalar, record, out);
    else
        put(out, scalar);
    return 1;
}

static int put_normalized(const ce_normalizer *normalizer, ce_normalizing *state, uint32_t scalar,
                          ce_buffer *out)
{
    const ce_unicode_record *record = ce_unicode_find(scalar);
    if (normalizer->clean_text) {
        if (record->flags & CE_UNICODE_CONTROL)
            return 1;
        if (record->flags & CE_UNICODE_WHITE) {
            scalar = ' ';
            record = ce_unicode_find(scalar);
        }
    }
    if (normalizer->handle_chinese_chars && record->flags & CE_UNICODE_CJK) {
        if (normalizer->strip_accents && !put_ordered(state, ' ', out))
            return 0;
        if (!normalizer->strip_accents)
            put(out, ' ');
        if (!put_form(normalizer, state, scalar, record, out))
            return 0;
        put(out, ' ');
        return 1;
    }
    return put_form(normalizer, state, scalar, record, out);
}

/* Letters, digits and punctuation of ASCII, the common case, go without the tables. */
static size_t copy_ascii(const ce_normalizer *normalizer, const char *text, size_t size, char *out)
{
    size_t i = 0;
    for (; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c >= 0x7F)
            break;
        out[i] = (char)(normalizer->lowercase && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return i;
}

int ce_normalize(const ce_normalizer *normalizer, ce_normalizing *state, const char *text,
                 size_t size, ce_buffer *out, size_t *bad)
{
    for (size_t at = 0; at < size;) {
        /* No form is longer than FORM_BYTES, so the rest fits as long as it is ASCII. */
        if (!ce_buffer_reserve(out, size - at + FORM_BYTES))
            return CE_E_NO_MEMORY;
        if (mark_count(state) == 0) {
            size_t copied = copy_ascii(normalizer, text + at, size - at, out->data + out->size);
            out->size += copied;
            at += copied;
            if (at == size)
                break;
        }
        uint32_t scalar;
        size_t bytes = ce_utf8_decode(text + at, size - at, &scalar);
        if (bytes == 0) {
            *bad = at;
            return CE_E_INVALID_UTF8;
        }
        if (!put_normalized(normalizer, state, scalar, out))
            return CE_E_NO_MEMORY;
        at += bytes;
    }
    return CE_OK;
}
