/* Work before the first caller comes, so that threads, code and memory are there when he does. */
#ifndef CE_WARMUP_H
#define CE_WARMUP_H

#include "base/error.h"
#include "citadel_embed.h"

/* What a load does where warm-up is enabled; the model's form has passed its check. */
int ce_warmup_load(citadel_model *model, ce_error *error);

#endif
