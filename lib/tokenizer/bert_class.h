/* What a character is to BertPreTokenizer. */
#ifndef CE_TOKENIZER_BERT_CLASS_H
#define CE_TOKENIZER_BERT_CLASS_H

#include "unicode/unicode.h"
#include "unicode/utf8.h"

typedef enum ce_bert_class {
    CE_BERT_LETTER, /* of a word: anything else */
    CE_BERT_WHITE,
    CE_BERT_PUNCTUATION,
    CE_BERT_BEYOND /* in the table: not ASCII */
} ce_bert_class;

/* By byte, so that the common case needs no tables of Unicode. */
extern const uint8_t ce_bert_classes[256];

/* By the first two bytes of a character of two or three: its class, or CE_BERT_BEYOND if that depends on the third. */
typedef struct ce_bert_table {
    uint8_t two[32 * 64], three[16 * 64];
} ce_bert_table;

void ce_bert_table_fill(ce_bert_table *table);

static inline ce_bert_class ce_bert_class_of(uint32_t scalar)
{
    uint32_t flags = ce_unicode_find(scalar)->flags;
    return flags & CE_UNICODE_WHITE         ? CE_BERT_WHITE
           : flags & CE_UNICODE_PUNCTUATION ? CE_BERT_PUNCTUATION
                                            : CE_BERT_LETTER;
}

/* The class of the character at `at`, of well-formed text, and its size. */
static inline ce_bert_class ce_bert_class_at(const char *text, size_t at, size_t size,
                                             size_t *bytes)
{
    *bytes = 1;
    ce_bert_class class = (ce_bert_class)ce_bert_classes[(unsigned char)text[at]];
    if (class != CE_BERT_BEYOND)
        return class;
    uint32_t scalar;
    *bytes = ce_utf8_decode(text + at, size - at, &scalar);
    return ce_bert_class_of(scalar);
}

/* The same by way of the table. */
static inline ce_bert_class ce_bert_table_at(const ce_bert_table *table, const char *text,
                                             size_t at, size_t size, size_t *bytes)
{
    unsigned char first = (unsigned char)text[at];
    if (first >= 0xC0 && first < 0xF0) {
        int three = first >= 0xE0;
        unsigned pair = (first & (three ? 0x0F : 0x1F)) << 6 | ((unsigned char)text[at + 1] & 0x3F);
        ce_bert_class class = (ce_bert_class)(three ? table->three : table->two)[pair];
        *bytes = three ? 3 : 2;
        if (class != CE_BERT_BEYOND)
            return class;
    }
    return ce_bert_class_at(text, at, size, bytes);
}

#endif
