/* The thread that frees models which nobody has used for long, though no call comes. */
#ifndef CE_REAPER_H
#define CE_REAPER_H

#include "base/error.h"
#include "citadel_embed.h"

typedef struct ce_reaper ce_reaper;

int ce_reaper_create(citadel_engine *engine, ce_reaper **out, ce_error *error);

/* Ends the thread. NULL is allowed. */
void ce_reaper_destroy(ce_reaper *reaper);

#endif
