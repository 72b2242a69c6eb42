/* The road of a text: tokenizer, batches, backend, output. */
#ifndef CE_EMBED_H
#define CE_EMBED_H

#include "base/error.h"
#include "citadel_embed.h"
#include "metrics.h"

/* As citadel_model_embed, for a model that the caller holds; the model may be one that is still being checked. Batches
 * and times are counted in `metrics`, unless that is NULL. */
int ce_embed(citadel_model *model, const char *const *texts, const size_t *lengths, size_t count,
             const citadel_embed_options *options, float *out, size_t out_capacity,
             citadel_text_result *results, ce_metrics *metrics, ce_error *error);

#endif
