#include "tokenizer/bert_class.h"

enum { L = CE_BERT_LETTER, W = CE_BERT_WHITE, P = CE_BERT_PUNCTUATION, B = CE_BERT_BEYOND };

/* clang-format off */
const uint8_t ce_bert_classes[256] = {
    L, L, L, L, L, L, L, L, L, W, W, W, W, W, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    W, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, L, L, L, L, L, L, L, L, L, L, P, P, P, P, P, P,
    P, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, P, P, P, P, P,
    P, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, P, P, P, P, L,
    B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B,
    B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B,
    B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B,
    B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B,
};
/* clang-format on */

void ce_bert_table_fill(ce_bert_table *table)
{
    for (uint32_t scalar = 0; scalar < 0x800; scalar++)
        table->two[scalar] = (uint8_t)ce_bert_class_of(scalar);
    for (uint32_t block = 0; block < 16 * 64; block++) {
        uint8_t class = (uint8_t)ce_bert_class_of(block << 6);
        for (uint32_t scalar = block << 6; scalar < (block + 1) << 6; scalar++)
            if (ce_bert_class_of(scalar) != class)
                class = CE_BERT_BEYOND;
        table->three[block] = class;
    }
}
