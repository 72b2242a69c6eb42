#include "unicode/grapheme.h"

#include "unicode/unicode.h"
#include "unicode/utf8.h"

/* What of a cluster decides whether it goes on. */
typedef struct cluster {
    enum ce_grapheme_class last;
    int regionals;    /* that end it */
    int emoji;        /* a pictograph and what extends it end it, */
    int emoji_joiner; /* and then a joiner */
    int conjunct;     /* a consonant and what extends it end it, */
    int linked;       /* a linker among them */
} cluster;

static int extends(enum ce_grapheme_class class)
{
    return class == CE_GRAPHEME_EXTEND || class == CE_GRAPHEME_NON_JOINER ||
           class == CE_GRAPHEME_LINKER;
}

static int is_control(enum ce_grapheme_class class)
{
    return class == CE_GRAPHEME_CONTROL || class == CE_GRAPHEME_CR || class == CE_GRAPHEME_LF;
}

static int joins_hangul(enum ce_grapheme_class last, enum ce_grapheme_class next)
{
    switch (last) {
    case CE_GRAPHEME_L:
        return next == CE_GRAPHEME_L || next == CE_GRAPHEME_V || next == CE_GRAPHEME_LV ||
               next == CE_GRAPHEME_LVT;
    case CE_GRAPHEME_LV:
    case CE_GRAPHEME_V:
        return next == CE_GRAPHEME_V || next == CE_GRAPHEME_T;
    case CE_GRAPHEME_LVT:
    case CE_GRAPHEME_T:
        return next == CE_GRAPHEME_T;
    default:
        return 0;
    }
}

/* The rules of UAX #29, by their numbers there. */
static int joins(const cluster *c, enum ce_grapheme_class next)
{
    if (c->last == CE_GRAPHEME_CR && next == CE_GRAPHEME_LF) /* GB3 */
        return 1;
    if (is_control(c->last) || is_control(next)) /* GB4, GB5 */
        return 0;
    return joins_hangul(c->last, next) || /* GB6 to GB8 */
           extends(next) || next == CE_GRAPHEME_JOINER ||
           next == CE_GRAPHEME_SPACING ||                           /* GB9, a */
           c->last == CE_GRAPHEME_PREPEND ||                        /* GB9b */
           (c->linked && next == CE_GRAPHEME_CONSONANT) ||          /* GB9c */
           (c->emoji_joiner && next == CE_GRAPHEME_PICTOGRAPHIC) || /* GB11 */
           (c->regionals % 2 == 1 && next == CE_GRAPHEME_REGIONAL); /* GB12, GB13 */
}

static void add(cluster *c, enum ce_grapheme_class class)
{
    int in_conjunct =
        class == CE_GRAPHEME_EXTEND || class == CE_GRAPHEME_LINKER || class == CE_GRAPHEME_JOINER;
    c->regionals = class == CE_GRAPHEME_REGIONAL ? c->regionals + 1 : 0;
    c->emoji_joiner = c->emoji && class == CE_GRAPHEME_JOINER;
    c->emoji = class == CE_GRAPHEME_PICTOGRAPHIC || (c->emoji && extends(class));
    c->linked = c->conjunct && in_conjunct && (c->linked || class == CE_GRAPHEME_LINKER);
    c->conjunct = class == CE_GRAPHEME_CONSONANT || (c->conjunct && in_conjunct);
    c->last = class;
}

size_t ce_unicode_grapheme(const char *text, size_t size)
{
    cluster c = {0};
    size_t at = 0;
    while (at < size) {
        uint32_t scalar;
        size_t bytes = ce_utf8_decode(text + at, size - at, &scalar);
        if (bytes == 0)
            break;
        enum ce_grapheme_class class = ce_unicode_find(scalar)->grapheme;
        if (at > 0 && !joins(&c, class))
            break;
        add(&c, class);
        at += bytes;
    }
    return at;
}
