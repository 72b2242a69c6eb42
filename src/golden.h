/* Whether a model computes what its pack says. */
#ifndef CE_GOLDEN_H
#define CE_GOLDEN_H

#include "model.h"

/* Embed the first golden texts in one call, and compare: pack->golden must be loaded. Sets the model's golden_error,
 * golden_cosine and golden_texts. */
int ce_golden_check(citadel_model *model, ce_error *error);

#endif
