/* Which models there are to be found by name. */
#ifndef CE_LISTING_H
#define CE_LISTING_H

#include "base/error.h"
#include "citadel_embed.h"

/* As citadel_model_list, along `model_path`. */
int ce_listing_walk(const char *model_path, citadel_model_fn *each, void *user, ce_error *error);

#endif
