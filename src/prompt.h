/* What is put in front of a text, and where the text is cut. */
#ifndef CE_PROMPT_H
#define CE_PROMPT_H

#include "model.h"

/* Set limit and prompt of `encode`, which has the pair or is all zeros, from a caller's max_tokens, prompt_name and
 * prompt. `default_name` is the prompt for when the caller names none, or NULL. `limit` becomes the CITADEL_LIMIT_* that encode->max_tokens stands for. */
int ce_prompt_prepare(const citadel_model *model, uint32_t max_tokens, const char *prompt_name,
                      const char *prompt, const char *default_name, ce_encode_options *encode,
                      uint32_t *limit, ce_error *error);

#endif
