#include "tokenizer/normalize.h"

#include "base/mem.h"
#include "tokenizer/bert_normalize.h"
#include "unicode/unicode.h"

/* ---- One text into another ---------------------------------------------------------------- */

static const ce_unicode_record *record_at(const ce_view *in, size_t at, uint32_t *scalar,
                                          size_t *bytes)
{
    *bytes = ce_utf8_decode(in->data + at, in->size - at, scalar);
    return ce_unicode_find(*scalar);
}

static void copy(const ce_view *in, size_t from, size_t to, ce_text *out)
{
    if (to > from)
        ce_text_append(out, in->data + from, to - from, in->origins ? in->origins + from : NULL);
}

static int copy_all(const ce_view *in, ce_text *out)
{
    if (!ce_text_reserve(out, in->size))
        return CE_E_NO_MEMORY;
    copy(in, 0, in->size, out);
    return CE_OK;
}

/* The text from `at` on as `changes` have it. An inserted character shares the origin of the one before it. */
static int put_changes(const ce_view *in, size_t at, const ce_unicode_changes *changes,
                       ce_text *out)
{
    if (!ce_text_reserve(out, 4 * changes->count))
        return CE_E_NO_MEMORY;
    for (size_t i = 0; i < changes->count; i++) {
        int32_t change = changes->items[i].change;
        size_t origin = change > 0 && at > 0 ? at - 1 : at;
        ce_text_put(out, changes->items[i].scalar, ce_view_origin(in, origin));
        for (int32_t n = change; n <= 0 && at < in->size; n++)
            at += ce_utf8_size(in->data[at]);
    }
    return CE_OK;
}

/* ---- The normalizers ---------------------------------------------------------------------- */

static int apply_form(ce_normal_form form, ce_normalizing *work, const ce_view *in, ce_text *out)
{
    size_t done = ce_unicode_normal_prefix(form, in->data, in->size);
    if (!ce_text_reserve(out, done))
        return CE_E_NO_MEMORY;
    copy(in, 0, done, out);
    if (done == in->size)
        return CE_OK;
    work->changes.count = 0;
    int status = ce_unicode_normal_form(form, in->data + done, in->size - done, &work->changes);
    return status == CE_OK ? put_changes(in, done, &work->changes, out) : status;
}

/* Where the last character before `at` begins. */
static size_t before_last(const ce_view *in, size_t at)
{
    while (at > 0 && ce_utf8_continues(in->data[--at]))
        ;
    return at;
}

static int apply_precompiled(const ce_charsmap *charsmap, ce_normalizing *work, const ce_view *in,
                             ce_text *out)
{
    size_t done = ce_charsmap_prefix(charsmap, in->data, in->size);
    /* What is deleted counts for the character before it. */
    if (done < in->size)
        done = before_last(in, done);
    if (!ce_text_reserve(out, done))
        return CE_E_NO_MEMORY;
    copy(in, 0, done, out);
    if (done == in->size)
        return CE_OK;
    work->changes.count = 0;
    int status = ce_charsmap_apply(charsmap, in->data + done, in->size - done, &work->changes);
    return status == CE_OK ? put_changes(in, done, &work->changes, out) : status;
}

static int apply_lowercase(const ce_view *in, ce_text *out)
{
    /* No lower-case form is longer than three characters. */
    if (!ce_text_reserve(out, 12 * in->size))
        return CE_E_NO_MEMORY;
    for (size_t at = 0; at < in->size;) {
        unsigned char c = (unsigned char)in->data[at];
        ce_span origin = ce_view_origin(in, at);
        if (c < 0x80) {
            ce_text_put(out, c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c, origin);
            at++;
            continue;
        }
        uint32_t scalar;
        size_t bytes;
        const ce_unicode_record *record = record_at(in, at, &scalar, &bytes);
        const uint32_t *form = ce_unicode_sequences + record->lower;
        if (!record->lower)
            ce_text_put(out, scalar, origin);
        for (uint32_t i = 1; record->lower && i <= form[0]; i++)
            ce_text_put(out, form[i], origin);
        at += bytes;
    }
    return CE_OK;
}

/* Without the characters that have one of the flags. */
static int remove_flagged(const ce_view *in, uint32_t flags, ce_text *out)
{
    if (!ce_text_reserve(out, in->size))
        return CE_E_NO_MEMORY;
    for (size_t at = 0, bytes; at < in->size; at += bytes) {
        uint32_t scalar;
        if (!(record_at(in, at, &scalar, &bytes)->flags & flags))
            copy(in, at, at + bytes, out);
    }
    return CE_OK;
}

static int is_white(const ce_view *in, size_t at, size_t *bytes)
{
    uint32_t scalar;
    return (record_at(in, at, &scalar, bytes)->flags & CE_UNICODE_WHITE) != 0;
}

static int apply_strip(const ce_normalizer *n, const ce_view *in, int last, int *begun,
                       ce_text *out)
{
    size_t start = 0, end = in->size, bytes;
    while (n->left && !*begun && start < end && is_white(in, start, &bytes))
        start += bytes;
    *begun |= start < end;
    while (n->right && last && end > start) {
        uint32_t scalar = ce_utf8_last(in->data, end);
        if (!(ce_unicode_find(scalar)->flags & CE_UNICODE_WHITE))
            break;
        char ignored[4];
        end -= ce_utf8_encode(scalar, ignored);
    }
    const ce_view kept = {in->data + start, end - start, in->origins ? in->origins + start : NULL};
    return copy_all(&kept, out);
}

/* Behind the pattern at `at`, or `at`. */
static size_t match(const ce_normalizer *n, const ce_view *in, size_t at)
{
    size_t end = at, times = 0;
    while (in->size - end >= n->pattern_size &&
           memcmp(in->data + end, n->pattern, n->pattern_size) == 0) {
        end += n->pattern_size;
        times++;
        if (!n->repeated)
            return end;
    }
    return times >= 2 ? end : at;
}

static int apply_replace(const ce_normalizer *n, const ce_view *in, ce_text *out)
{
    size_t copied = 0, at = 0;
    while (at < in->size) {
        const char *found = memchr(in->data + at, n->pattern[0], in->size - at);
        if (!found)
            break;
        at = (size_t)(found - in->data);
        size_t end = match(n, in, at);
        if (end == at) {
            at++;
            continue;
        }
        if (!ce_text_reserve(out, at - copied + n->content_size))
            return CE_E_NO_MEMORY;
        copy(in, copied, at, out);
        ce_text_insert(out, n->content, n->content_size, ce_view_origin(in, end - 1));
        at = copied = end;
    }
    if (!ce_text_reserve(out, in->size - copied))
        return CE_E_NO_MEMORY;
    copy(in, copied, in->size, out);
    return CE_OK;
}

static int begins_with_content(const ce_normalizer *n, const ce_view *in)
{
    return in->size >= n->content_size && memcmp(in->data, n->content, n->content_size) == 0;
}

static int apply_prepend(const ce_normalizer *n, const ce_view *in, int first, ce_text *out)
{
    if (!ce_text_reserve(out, n->content_size + in->size))
        return CE_E_NO_MEMORY;
    if (first)
        ce_text_insert(out, n->content, n->content_size, ce_view_origin(in, 0));
    copy(in, 0, in->size, out);
    return CE_OK;
}

/* ---- BertNormalizer, pass by pass --------------------------------------------------------------- */

static int clean(const ce_view *in, ce_text *out)
{
    if (!ce_text_reserve(out, in->size))
        return CE_E_NO_MEMORY;
    for (size_t at = 0, bytes; at < in->size; at += bytes) {
        uint32_t scalar, flags = record_at(in, at, &scalar, &bytes)->flags;
        if (!(flags & CE_UNICODE_CONTROL))
            ce_text_put(out, flags & CE_UNICODE_WHITE ? ' ' : scalar, ce_view_origin(in, at));
    }
    return CE_OK;
}

static int space_ideographs(const ce_view *in, ce_text *out)
{
    if (!ce_text_reserve(out, 3 * in->size))
        return CE_E_NO_MEMORY;
    for (size_t at = 0, bytes; at < in->size; at += bytes) {
        uint32_t scalar;
        int ideograph = (record_at(in, at, &scalar, &bytes)->flags & CE_UNICODE_CJK) != 0;
        if (ideograph)
            ce_text_put(out, ' ', ce_view_origin(in, at));
        copy(in, at, at + bytes, out);
        if (ideograph)
            ce_text_put(out, ' ', ce_view_origin(in, at));
    }
    return CE_OK;
}

/* As the reference goes about it, which is what the origins come from. */
static int apply_bert(const ce_bert_normalizer *bert, ce_normalizing *work, const ce_view *given,
                      ce_text *out)
{
    const int wanted[] = {bert->clean_text, bert->handle_chinese_chars, bert->strip_accents,
                          bert->strip_accents, bert->lowercase};
    ce_view in = *given;
    for (int pass = 0; pass < 5; pass++) {
        if (!wanted[pass])
            continue;
        ce_text *to = &work->bert[pass & 1];
        to->size = 0;
        to->tracked = 1;
        int status = pass == 0   ? clean(&in, to)
                     : pass == 1 ? space_ideographs(&in, to)
                     : pass == 2 ? apply_form(CE_NFD, work, &in, to)
                     : pass == 3 ? remove_flagged(&in, CE_UNICODE_MARK, to)
                                 : apply_lowercase(&in, to);
        if (status != CE_OK)
            return status;
        in = ce_view_of(to, 0, to->size);
    }
    return copy_all(&in, out);
}

/* ---- Parts -------------------------------------------------------------------------------- */

/* Whether what a normalizer makes of a text can depend on the text before and behind. */
static int looks_around(const ce_normalizer *n)
{
    return n->kind == CE_NORMALIZE_BERT || n->kind == CE_NORMALIZE_FORM ||
           n->kind == CE_NORMALIZE_REPLACE || n->kind == CE_NORMALIZE_STRIP ||
           n->kind == CE_NORMALIZE_PRECOMPILED;
}

/* Whether a text can be divided between the character and another such one. */
static int is_steady(uint32_t scalar)
{
    if (scalar < 0x80)
        return scalar > ' ' && scalar < 0x7F;
    return (ce_unicode_find(scalar)->flags & CE_UNICODE_SAFE) != 0;
}

/* No match of `replace` reaches over the end of a text whose last byte is not in the pattern. */
static int ends_steadily(const ce_normalizer *n, const ce_view *in)
{
    if (in->size == 0)
        return 1;
    if (n->kind == CE_NORMALIZE_REPLACE &&
        memchr(n->pattern, in->data[in->size - 1], n->pattern_size))
        return 0;
    return is_steady(ce_utf8_last(in->data, in->size));
}

static int apply(const ce_normalizer *n, uint32_t bit, ce_normalizing *work, ce_part *part,
                 const ce_view *in, ce_text *out)
{
    if (!part->last && looks_around(n) && !ends_steadily(n, in))
        return CE_UNDECIDED;
    int begun = (part->begun & bit) != 0, first = in->size > 0 && !begun;
    switch (n->kind) {
    case CE_NORMALIZE_BERT:
        return out->tracked ? apply_bert(&n->bert, work, in, out)
                            : ce_bert_normalize(n, work, in, out);
    case CE_NORMALIZE_FORM:
        return apply_form(n->form, work, in, out);
    case CE_NORMALIZE_LOWERCASE:
        return apply_lowercase(in, out);
    case CE_NORMALIZE_STRIP_ACCENTS:
        return remove_flagged(in, CE_UNICODE_ACCENT, out);
    case CE_NORMALIZE_STRIP: {
        int status = apply_strip(n, in, part->last, &begun, out);
        part->begun |= begun ? bit : 0;
        return status;
    }
    case CE_NORMALIZE_REPLACE:
        return apply_replace(n, in, out);
    case CE_NORMALIZE_PREPEND:
        part->begun |= first ? bit : 0;
        return apply_prepend(n, in, first, out);
    case CE_NORMALIZE_PREFIX:
        if (first && !part->last && in->size < n->content_size)
            return CE_UNDECIDED;
        part->begun |= first ? bit : 0;
        if (first && n->first_only)
            first = in->origins ? in->origins[0].start == 0 : part->starts;
        return apply_prepend(n, in, first && !begins_with_content(n, in), out);
    default:
        return apply_precompiled(n->charsmap, work, in, out);
    }
}

int ce_normalize(const ce_normalizer *normalizers, size_t count, ce_normalizing *work,
                 ce_part *part, ce_text *out)
{
    ce_view in = part->text;
    uint32_t begun = part->begun;
    size_t size = out->size;
    for (size_t i = 0; i < count; i++) {
        ce_text *to = i + 1 < count ? &work->halves[i & 1] : out;
        if (to != out) {
            to->size = 0;
            to->tracked = out->tracked;
        }
        int status = apply(&normalizers[i], 1u << i, work, part, &in, to);
        if (status != CE_OK) {
            part->begun = begun;
            out->size = size;
            return status;
        }
        in = ce_view_of(to, 0, to->size);
    }
    return count > 0 ? CE_OK : copy_all(&in, out);
}

/* Whether the character stays one before which a text can be divided, on all of its way. */
static int begins_steadily(const ce_normalizer *normalizers, size_t count, ce_normalizing *work,
                           const char *text, size_t size)
{
    ce_view in = {text, size, NULL};
    for (size_t i = 0; i < count; i++) {
        uint32_t scalar;
        if (in.size == 0)
            return 0;
        ce_utf8_decode(in.data, in.size, &scalar);
        if (looks_around(&normalizers[i]) && !is_steady(scalar))
            return 0;
        ce_part part = {.text = in, .begun = UINT32_MAX};
        ce_text *to = &work->halves[i & 1];
        to->size = 0;
        to->tracked = 0;
        if (apply(&normalizers[i], 1u << i, work, &part, &in, to) != CE_OK)
            return 0;
        in = ce_view_of(to, 0, to->size);
    }
    return 1;
}

size_t ce_normalize_cut(const ce_normalizer *normalizers, size_t count, ce_normalizing *work,
                        const char *text, size_t from, size_t end, size_t size)
{
    for (size_t at = end; at > from; at--) {
        uint32_t here, next = 'a';
        if (at == size || ce_utf8_continues(text[at]))
            continue;
        size_t bytes = ce_utf8_decode(text + at, size - at, &here);
        if (bytes == 0 ||
            (at + bytes < size && ce_utf8_decode(text + at + bytes, size - at - bytes, &next) == 0))
            continue;
        if (is_steady(here) && (next < 0x80 || is_steady(next)) &&
            is_steady(ce_utf8_last(text, at)) &&
            begins_steadily(normalizers, count, work, text + at, bytes))
            return at;
    }
    return from;
}

/* ---- Memory ------------------------------------------------------------------------------- */

void ce_normalizer_free(ce_normalizer *normalizer)
{
    ce_free(normalizer->bert_forms);
    ce_free(normalizer->pattern);
    ce_free(normalizer->content);
    ce_charsmap_destroy(normalizer->charsmap);
}

void ce_normalizing_free(ce_normalizing *work)
{
    ce_text_free(&work->halves[0]);
    ce_text_free(&work->halves[1]);
    ce_text_free(&work->bert[0]);
    ce_text_free(&work->bert[1]);
    ce_unicode_changes_free(&work->changes);
    ce_free(work->marks);
}

size_t ce_normalizing_bytes(const ce_normalizing *work)
{
    return ce_text_bytes(&work->halves[0]) + ce_text_bytes(&work->halves[1]) +
           ce_text_bytes(&work->bert[0]) + ce_text_bytes(&work->bert[1]) +
           work->changes.capacity * sizeof *work->changes.items +
           work->mark_capacity * sizeof *work->marks;
}
