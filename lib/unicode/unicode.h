/* What a Unicode scalar means to the tokenizers: generated tables, see tools/gen_unicode.py. */
#ifndef CE_UNICODE_UNICODE_H
#define CE_UNICODE_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum {
    CE_UNICODE_CONTROL = 1 << 0,     /* deleted when text is cleaned */
    CE_UNICODE_WHITE = 1 << 1,       /* White_Space; \s of regular expressions */
    CE_UNICODE_CJK = 1 << 2,         /* ideograph that is a word by itself */
    CE_UNICODE_PUNCTUATION = 1 << 3, /* isolated by BertPreTokenizer and Punctuation */
    CE_UNICODE_MARK = 1 << 4,        /* nothing is left when BertNormalizer strips accents */
    CE_UNICODE_BREAKS = 1 << 5,      /* decomposed, it ends a run that canonical ordering sorts */
    CE_UNICODE_WORD = 1 << 6,        /* \w of single_word and of Whitespace */

    /* General categories, as the patterns of Split see them. */
    CE_UNICODE_UPPERCASE = 1 << 7,          /* Lu */
    CE_UNICODE_LOWERCASE = 1 << 8,          /* Ll */
    CE_UNICODE_TITLECASE = 1 << 9,          /* Lt */
    CE_UNICODE_MODIFIER = 1 << 10,          /* Lm */
    CE_UNICODE_OTHER_LETTER = 1 << 11,      /* Lo */
    CE_UNICODE_COMBINING = 1 << 12,         /* M */
    CE_UNICODE_NUMBER = 1 << 13,            /* N */
    CE_UNICODE_PUNCTUATION_CLASS = 1 << 14, /* P */
    CE_UNICODE_SYMBOL = 1 << 15,            /* S */

    CE_UNICODE_NUMERIC = 1 << 16, /* isolated by Digits */
    CE_UNICODE_ACCENT = 1 << 17,  /* removed by StripAccents */

    CE_UNICODE_SECOND = 1 << 18, /* composes with some scalar before it */
    CE_UNICODE_NOT_NFD = 1 << 19,
    CE_UNICODE_NOT_NFC = 1 << 20, /* alone, it is not in the form */
    CE_UNICODE_NOT_NFKD = 1 << 21,
    CE_UNICODE_NOT_NFKC = 1 << 22,

    /* A letter or a number. Between two of them a text can be cut, and its parts go one by one through normal forms,
     * Lowercase and StripAccents in any order, with a charsmap as the last or the only step. */
    CE_UNICODE_SAFE = 1 << 23,

    CE_UNICODE_LETTER = CE_UNICODE_UPPERCASE | CE_UNICODE_LOWERCASE | CE_UNICODE_TITLECASE |
                        CE_UNICODE_MODIFIER | CE_UNICODE_OTHER_LETTER /* L */
};

typedef struct ce_unicode_record {
    uint32_t flags;
    uint8_t combining_class; /* of a scalar that does not decompose */
    uint8_t grapheme;        /* enum ce_grapheme_class */
    /* Where the scalar's forms begin in ce_unicode_sequences: their number, then they. 0: itself. Hangul syllables have
     * theirs from ce_unicode_hangul. */
    uint16_t lower;
    uint16_t stripped; /* decomposed (NFD), without nonspacing marks */
    uint16_t stripped_lower;
    uint16_t canonical;     /* decomposed for NFD and NFC */
    uint16_t compatibility; /* decomposed for NFKD and NFKC */
} ce_unicode_record;

typedef struct ce_unicode_composition {
    uint32_t first, second, composite;
} ce_unicode_composition;

extern const uint16_t ce_unicode_index[];
extern const uint16_t ce_unicode_blocks[];
extern const ce_unicode_record ce_unicode_records[];
extern const uint32_t ce_unicode_sequences[];
extern const ce_unicode_composition ce_unicode_compositions[]; /* sorted, without Hangul */
extern const size_t ce_unicode_composition_count;

static inline const ce_unicode_record *ce_unicode_find(uint32_t scalar)
{
    return &ce_unicode_records[ce_unicode_blocks[ce_unicode_index[scalar >> 7] << 7 |
                                                 (scalar & 127)]];
}

/* Decompose a Hangul syllable by the formula of the standard: the number of jamo, 0 for any other scalar. */
int ce_unicode_hangul(uint32_t scalar, uint32_t jamo[3]);

/* The scalar that two compose to, Hangul included; 0 if they do not. */
uint32_t ce_unicode_compose(uint32_t first, uint32_t second);

#endif
