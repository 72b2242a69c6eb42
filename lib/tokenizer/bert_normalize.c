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

#define EACH(byte) (0x0101010101010101u * (byte)) /* in each byte of a word of eight */

/* Lower-case letters in each byte, all of ASCII. */
static uint64_t lower_eight(uint64_t eight)
{
    uint64_t from_a = eight + EACH(0x80 - 'A'), behind_z = eight + EACH(0x80 - 'Z' - 1);
    return eight | ((from_a & ~behind_z & EACH(0x80)) >> 2);
}

/* Letters, digits and punctuation of ASCII, the common case, go without the tables. Returns how many there were. */
static size_t copy_ascii(const ce_bert_normalizer *bert, const char *text, size_t size, ce_text *to)
{
    char *out = to->data + to->size;
    size_t i = 0, copied = 8;
    for (; size - i >= 8 && copied == 8; i += copied) {
        uint64_t eight;
        memcpy(&eight, text + i, 8);
        /* Controls, DEL, and what is not ASCII; the first bit that is set is right, those behind it may not be. */
        uint64_t others = ((eight - EACH(' ')) & ~eight) |
                          (((eight ^ EACH(0x7F)) - EACH(1)) & ~(eight ^ EACH(0x7F))) | eight;
        others &= EACH(0x80);
        copied = others ? (size_t)__builtin_ctzll(others) / 8 : 8;
        eight = bert->lowercase ? lower_eight(eight & ~EACH(0x80)) : eight;
        memcpy(out + i, &eight, 8);
    }
    for (; i < size && copied == 8; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c >= 0x7F)
            break;
        out[i] = (char)(bert->lowercase && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    to->size += i;
    return i;
}

/* A character by way of the table, nearly always; 0 if that has no answer. */
static size_t put_form_of(const ce_bert_forms *forms, const char *text, ce_text *out)
{
    unsigned char first = (unsigned char)text[0], second = (unsigned char)text[1];
    char *to = out->data + out->size;
    if (first < 0xE0) {
        unsigned pair = (first & 0x1Fu) << 6 | (second & 0x3Fu);
        if (forms->two[pair].size == CE_BERT_DEPENDS)
            return 0;
        memcpy(to, forms->two[pair].bytes, CE_BERT_FORM_MOST);
        out->size += forms->two[pair].size;
        return 2;
    }
    size_t spaces = first < 0xF0 ? forms->three[(first & 0xFu) << 6 | (second & 0x3Fu)]
                                 : (size_t)CE_BERT_DEPENDS;
    if (spaces == CE_BERT_DEPENDS)
        return 0;
    *to = ' ';
    memcpy(to + spaces, text, 3);
    to[spaces + 3] = ' '; /* or what comes next */
    out->size += 3 + 2 * spaces;
    return 3;
}

/* As much of the text as there is room for in any case. */
static int normalize_block(const ce_normalizer *n, ce_normalizing *work, const char *text,
                           size_t size, ce_text *out)
{
    for (size_t at = 0; at < size;) {
        if (work->mark_count == 0) {
            size_t bytes = (unsigned char)text[at] < 0x80
                               ? copy_ascii(&n->bert, text + at, size - at, out)
                               : put_form_of(n->bert_forms, text + at, out);
            at += bytes;
            if (bytes > 0)
                continue;
        }
        uint32_t scalar;
        at += ce_utf8_decode(text + at, size - at, &scalar);
        if (!put_normalized(&n->bert, work, scalar, out))
            return 0;
    }
    return 1;
}

/* Whether ordering could move the character, or what comes of it, past a neighbour. */
static int is_ordered(const ce_bert_normalizer *bert, uint32_t scalar)
{
    const ce_unicode_record *record = ce_unicode_find(scalar);
    if (!bert->strip_accents)
        return 0;
    uint16_t form = bert->lowercase ? record->stripped_lower : record->stripped;
    const uint32_t *sequence = ce_unicode_sequences + form;
    for (uint32_t i = 1; form && i <= sequence[0]; i++)
        if (ce_unicode_find(sequence[i])->combining_class)
            return 1;
    return record->combining_class != 0;
}

/* The form of one scalar, if it has one that is short and keeps its place. */
static int find_form(const ce_bert_normalizer *bert, uint32_t scalar, ce_normalizing *work,
                     ce_text *form)
{
    form->size = work->mark_count = 0;
    return !is_ordered(bert, scalar) && put_normalized(bert, work, scalar, form) &&
           work->mark_count == 0;
}

static void fill_two(const ce_bert_normalizer *bert, ce_normalizing *work, ce_text *form,
                     ce_bert_forms *forms)
{
    for (uint32_t scalar = 0; scalar < 32 * 64; scalar++) {
        forms->two[scalar].size = CE_BERT_DEPENDS;
        if (!find_form(bert, scalar, work, form) || form->size > CE_BERT_FORM_MOST)
            continue;
        forms->two[scalar].size = (uint8_t)form->size;
        memcpy(forms->two[scalar].bytes, form->data, form->size);
    }
}

/* Spaces round a character that stays what it is. */
static uint8_t count_spaces(const ce_bert_normalizer *bert, uint32_t scalar)
{
    uint32_t jamo[3];
    const ce_unicode_record *record = ce_unicode_find(scalar);
    uint32_t special = bert->clean_text ? CE_UNICODE_CONTROL | CE_UNICODE_WHITE : 0;
    uint16_t form = bert->lowercase ? record->lower : 0;
    if (bert->strip_accents) {
        if (record->combining_class || ce_unicode_hangul(scalar, jamo))
            return CE_BERT_DEPENDS;
        special |= CE_UNICODE_MARK;
        form = bert->lowercase ? record->stripped_lower : record->stripped;
    }
    if (form || record->flags & special)
        return CE_BERT_DEPENDS;
    return bert->handle_chinese_chars && record->flags & CE_UNICODE_CJK;
}

static void fill_three(const ce_bert_normalizer *bert, ce_bert_forms *forms)
{
    for (uint32_t block = 0; block < 16 * 64; block++) {
        uint8_t spaces = count_spaces(bert, block << 6);
        for (uint32_t scalar = block << 6; scalar < (block + 1) << 6; scalar++)
            if (count_spaces(bert, scalar) != spaces)
                spaces = CE_BERT_DEPENDS;
        forms->three[block] = spaces;
    }
}

int ce_bert_prepare(ce_normalizer *n)
{
    ce_normalizing work = {0};
    ce_text form = {0};
    n->bert_forms = ce_calloc(1, sizeof *n->bert_forms);
    int status = n->bert_forms && ce_text_reserve(&form, FORM_BYTES) ? CE_OK : CE_E_NO_MEMORY;
    if (status == CE_OK) {
        fill_two(&n->bert, &work, &form, n->bert_forms);
        fill_three(&n->bert, n->bert_forms);
    }
    ce_text_free(&form);
    ce_normalizing_free(&work);
    return status;
}

int ce_bert_normalize(const ce_normalizer *normalizer, ce_normalizing *work, const ce_view *in,
                      ce_text *out)
{
    work->mark_count = 0;
    for (size_t at = 0; at < in->size;) {
        size_t end = in->size - at > BLOCK ? at + BLOCK : in->size;
        while (end < in->size && ce_utf8_continues(in->data[end]))
            end++;
        if (!ce_text_reserve(out, FORM_BYTES * (end - at + 1)) ||
            !normalize_block(normalizer, work, in->data + at, end - at, out))
            return CE_E_NO_MEMORY;
        at = end;
    }
    return put_marks(work, out) ? CE_OK : CE_E_NO_MEMORY;
}
