/* What a Unicode scalar means to the tokenizers: generated tables, see tools/gen_unicode.py. */
#ifndef CE_UNICODE_UNICODE_H
#define CE_UNICODE_UNICODE_H

#include <stdint.h>

enum {
    CE_UNICODE_CONTROL = 1,     /* deleted when text is cleaned */
    CE_UNICODE_WHITE = 2,       /* White_Space */
    CE_UNICODE_CJK = 4,         /* ideograph that is a word by itself */
    CE_UNICODE_PUNCTUATION = 8, /* isolated by BertPreTokenizer */
    CE_UNICODE_MARK = 16,       /* nothing is left when accents are stripped */
    CE_UNICODE_BREAKS = 32,     /* decomposed, it ends a run that canonical ordering sorts */
    CE_UNICODE_WORD = 64        /* \w of regular expressions */
};

typedef struct ce_unicode_record {
    uint8_t flags;
    uint8_t combining_class; /* of a scalar that does not decompose */
    /* Where the scalar's forms begin in ce_unicode_sequences: their number, then they. 0: itself. */
    uint16_t lower;
    uint16_t stripped; /* decomposed (NFD), without nonspacing marks */
    uint16_t stripped_lower;
} ce_unicode_record;

extern const uint16_t ce_unicode_index[];
extern const uint16_t ce_unicode_blocks[];
extern const ce_unicode_record ce_unicode_records[];
extern const uint32_t ce_unicode_sequences[];

static inline const ce_unicode_record *ce_unicode_find(uint32_t scalar)
{
    return &ce_unicode_records[ce_unicode_blocks[ce_unicode_index[scalar >> 7] << 7 |
                                                 (scalar & 127)]];
}

/* Decompose a Hangul syllable by the formula of the standard: the number of jamo, 0 for any other scalar. */
int ce_unicode_hangul(uint32_t scalar, uint32_t jamo[3]);

#endif
