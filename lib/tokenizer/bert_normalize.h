/* BertNormalizer in one pass, for text that need not know where it came from. */
#ifndef CE_TOKENIZER_BERT_NORMALIZE_H
#define CE_TOKENIZER_BERT_NORMALIZE_H

#include "tokenizer/normalize.h"

/* Fill in `bert_forms`. CE_OK or CE_E_NO_MEMORY. */
int ce_bert_prepare(ce_normalizer *normalizer);

/* Append the normalized text to `out`. CE_OK or CE_E_NO_MEMORY. */
int ce_bert_normalize(const ce_normalizer *normalizer, ce_normalizing *work, const ce_view *in,
                      ce_text *out);

#endif
