#include "tokenizer/charsmap.h"

#include "base/mem.h"
#include "unicode/grapheme.h"
#include "unicode/unicode.h"
#include "unicode/utf8.h"

#include <string.h>

/* A double-array trie over bytes, of Darts-clone's units. Node p has its children at base(p) ^ byte, and what its key
 * stands for, if it has_value, in unit base(p) as an offset into the replacements, each of which a NUL ends. */
struct ce_charsmap {
    uint32_t *units;
    size_t unit_count;
    char *replacements;
    size_t replacements_size;
    size_t longest;          /* bytes of a replacement */
    unsigned char kept[128]; /* ASCII that stays as it is, and joins nothing */
};

enum { LONGEST_REPLACEMENT = 1024, LONGEST_KEPT_TOGETHER = 5 };

static uint32_t base(uint32_t node, uint32_t unit)
{
    return node ^ unit >> 10 << ((unit & 1u << 9) >> 6);
}

static int is_child(uint32_t unit, unsigned char byte)
{
    return (unit & (1u << 31 | 0xFF)) == byte;
}

static int has_value(uint32_t unit)
{
    return (unit >> 8 & 1) != 0;
}

static uint32_t value(uint32_t unit)
{
    return unit & ~(1u << 31);
}

/* ---- Use ---------------------------------------------------------------------------------- */

/* What the shortest key that begins text[0 .. size) stands for; NULL without such a key. */
static const char *find(const ce_charsmap *charsmap, const char *text, size_t size)
{
    uint32_t node = base(0, charsmap->units[0]);
    for (size_t i = 0; i < size && text[i]; i++) {
        node ^= (unsigned char)text[i];
        uint32_t unit = charsmap->units[node];
        if (!is_child(unit, (unsigned char)text[i]))
            return NULL;
        node = base(node, unit);
        if (has_value(unit))
            return charsmap->replacements + value(charsmap->units[node]);
    }
    return NULL;
}

static int put(uint32_t scalar, ce_unicode_changes *out)
{
    if (!ce_unicode_changes_reserve(out, 1))
        return CE_E_NO_MEMORY;
    out->items[out->count++] = (ce_unicode_change){scalar, 0};
    return CE_OK;
}

/* `replaced` characters become the replacement: the last of it are new, or stand for more than one. */
static int put_replacement(const char *replacement, size_t replaced, ce_unicode_changes *out)
{
    size_t size = strlen(replacement), count = 0;
    if (!ce_unicode_changes_reserve(out, size))
        return CE_E_NO_MEMORY;
    for (size_t at = 0; at < size; count++) {
        uint32_t scalar = 0;
        at += ce_utf8_decode(replacement + at, size - at, &scalar);
        out->items[out->count++] = (ce_unicode_change){scalar, count >= replaced};
    }
    if (count < replaced && out->count > 0)
        out->items[out->count - 1].change -= (int32_t)(replaced - count);
    return CE_OK;
}

static int put_characters(const ce_charsmap *charsmap, const char *text, size_t size,
                          ce_unicode_changes *out)
{
    int status = CE_OK;
    for (size_t at = 0; at < size && status == CE_OK;) {
        uint32_t scalar = 0;
        size_t bytes = ce_utf8_decode(text + at, size - at, &scalar);
        const char *replacement = find(charsmap, text + at, bytes);
        status = replacement ? put_replacement(replacement, 1, out) : put(scalar, out);
        at += bytes;
    }
    return status;
}

static size_t character_count(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += !ce_utf8_continues(text[i]);
    return count;
}

static int is_ascii(const char *text, size_t size)
{
    return size == 0 || (unsigned char)text[0] < 0x80;
}

int ce_charsmap_apply(const ce_charsmap *charsmap, const char *text, size_t size,
                      ce_unicode_changes *out)
{
    int status = CE_OK;
    for (size_t at = 0, bytes; at < size && status == CE_OK; at += bytes) {
        unsigned char c = (unsigned char)text[at];
        if (c < 0x80 && charsmap->kept[c] && is_ascii(text + at + 1, size - at - 1)) {
            status = put(c, out);
            bytes = 1;
            continue;
        }
        bytes = ce_unicode_grapheme(text + at, size - at);
        if (bytes == 0)
            return CE_E_INVALID_UTF8;
        const char *replacement = NULL;
        if (bytes <= LONGEST_KEPT_TOGETHER)
            replacement = find(charsmap, text + at, bytes);
        if (replacement)
            status = put_replacement(replacement, character_count(text + at, bytes), out);
        else
            status = put_characters(charsmap, text + at, bytes, out);
    }
    return status;
}

/* Between two characters of these classes there is always an end of a cluster. */
static int stands_alone(uint32_t scalar)
{
    switch ((enum ce_grapheme_class)ce_unicode_find(scalar)->grapheme) {
    case CE_GRAPHEME_OTHER:
    case CE_GRAPHEME_CONSONANT:
    case CE_GRAPHEME_LV:
    case CE_GRAPHEME_LVT:
        return 1;
    default:
        return 0;
    }
}

size_t ce_charsmap_prefix(const ce_charsmap *charsmap, const char *text, size_t size)
{
    size_t last = 0; /* what comes next may join it, or count for it */
    for (size_t at = 0; at < size;) {
        uint32_t scalar = (unsigned char)text[at];
        size_t bytes = 1;
        if (scalar < 0x80) {
            if (!charsmap->kept[scalar])
                return last;
        } else {
            bytes = ce_utf8_decode(text + at, size - at, &scalar);
            if (bytes == 0 || !stands_alone(scalar) || find(charsmap, text + at, bytes))
                return last;
        }
        last = at;
        at += bytes;
    }
    return size;
}

size_t ce_charsmap_growth(const ce_charsmap *charsmap)
{
    return charsmap->longest > 0 ? charsmap->longest : 1;
}

/* ---- Creation ----------------------------------------------------------------------------- */

static int bad(ce_error *error, const char *what)
{
    return ce_fail(error, CE_E_BAD_MODEL, "precompiled_charsmap: %s", what);
}

static int check_replacement(ce_charsmap *charsmap, uint32_t offset, ce_error *error)
{
    if (offset > charsmap->replacements_size || ce_utf8_continues(charsmap->replacements[offset]))
        return ce_fail(error, CE_E_BAD_MODEL,
                       "precompiled_charsmap: no replacement begins at byte %u of %zu", offset,
                       charsmap->replacements_size);
    if (!memchr(charsmap->replacements + offset, 0,
                charsmap->replacements_size - offset < LONGEST_REPLACEMENT
                    ? charsmap->replacements_size - offset + 1
                    : LONGEST_REPLACEMENT))
        return ce_fail(error, CE_E_UNSUPPORTED,
                       "precompiled_charsmap: the replacement at byte %u has %d bytes or more",
                       offset, LONGEST_REPLACEMENT);
    size_t size = strlen(charsmap->replacements + offset);
    charsmap->longest = size > charsmap->longest ? size : charsmap->longest;
    return CE_OK;
}

/* What remains to be visited of the trie. A node is entered once, whatever the units say. */
typedef struct walk {
    unsigned char *seen;
    uint32_t *nodes;
    size_t count;
} walk;

static int check_node(ce_charsmap *charsmap, uint32_t node, walk *w, ce_error *error)
{
    uint32_t unit = charsmap->units[node];
    uint32_t children = base(node, unit);
    if ((children | 0xFF) >= charsmap->unit_count)
        return ce_fail(error, CE_E_BAD_MODEL,
                       "precompiled_charsmap: unit %u has children at %u, beyond the last of %zu",
                       node, children, charsmap->unit_count);
    if (node != 0 && has_value(unit)) {
        int status = check_replacement(charsmap, value(charsmap->units[children]), error);
        if (status != CE_OK)
            return status;
    }
    for (unsigned byte = 1; byte < 256; byte++) {
        uint32_t child = children ^ byte;
        if (is_child(charsmap->units[child], (unsigned char)byte) && !w->seen[child]) {
            w->seen[child] = 1;
            w->nodes[w->count++] = child;
        }
    }
    return CE_OK;
}

static int check_trie(ce_charsmap *charsmap, ce_error *error)
{
    walk w = {.seen = ce_calloc(charsmap->unit_count, 1),
              .nodes = ce_reallocarray(NULL, charsmap->unit_count, sizeof *w.nodes)};
    int status = CE_OK;
    if (w.seen && w.nodes)
        w.nodes[w.count++] = 0;
    else
        status = ce_fail(error, CE_E_NO_MEMORY, "no memory for the charsmap");
    while (w.count > 0 && status == CE_OK)
        status = check_node(charsmap, w.nodes[--w.count], &w, error);
    ce_free(w.seen);
    ce_free(w.nodes);
    return status;
}

static int check_replacements(const ce_charsmap *charsmap, ce_error *error)
{
    size_t size = charsmap->replacements_size;
    for (size_t at = 0, bytes; at < size; at += bytes) {
        uint32_t scalar;
        bytes = ce_utf8_decode(charsmap->replacements + at, size - at, &scalar);
        if (bytes == 0)
            return bad(error, "the replacements are not UTF-8");
    }
    return CE_OK;
}

static uint32_t little_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* The trie's size in bytes, the trie, the replacements. */
static int read_blob(ce_charsmap *charsmap, const unsigned char *blob, size_t size, ce_error *error)
{
    if (size < 4)
        return bad(error, "shorter than 4 bytes");
    charsmap->unit_count = little_endian(blob) / 4;
    if (charsmap->unit_count > (size - 4) / 4)
        return bad(error, "shorter than its trie");
    if (charsmap->unit_count == 0)
        return bad(error, "the trie is empty");
    size_t trie_size = charsmap->unit_count * 4;
    charsmap->replacements_size = size - 4 - trie_size;
    charsmap->units = ce_malloc(trie_size);
    charsmap->replacements = ce_malloc(charsmap->replacements_size + 1);
    if (!charsmap->units || !charsmap->replacements)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the charsmap");
    for (size_t i = 0; i < charsmap->unit_count; i++)
        charsmap->units[i] = little_endian(blob + 4 + 4 * i);
    memcpy(charsmap->replacements, blob + 4 + trie_size, charsmap->replacements_size);
    charsmap->replacements[charsmap->replacements_size] = 0;
    return CE_OK;
}

int ce_charsmap_create(const void *blob, size_t size, ce_charsmap **charsmap, ce_error *error)
{
    ce_charsmap *made = ce_calloc(1, sizeof *made);
    if (!made)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the charsmap");
    int status = read_blob(made, blob, size, error);
    if (status == CE_OK)
        status = check_replacements(made, error);
    if (status == CE_OK)
        status = check_trie(made, error);
    if (status != CE_OK) {
        ce_charsmap_destroy(made);
        return status;
    }
    for (char c = ' '; c <= '~'; c++)
        made->kept[(unsigned char)c] = find(made, &c, 1) == NULL;
    *charsmap = made;
    return CE_OK;
}

void ce_charsmap_destroy(ce_charsmap *charsmap)
{
    if (!charsmap)
        return;
    ce_free(charsmap->units);
    ce_free(charsmap->replacements);
    ce_free(charsmap);
}
