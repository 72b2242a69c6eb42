/* What a model will take of memory, told from its manifest. */
#ifndef CE_ESTIMATE_H
#define CE_ESTIMATE_H

#include "pack.h"

/* Bytes of the chosen form once it is loaded. */
uint64_t ce_estimate_resident(const ce_pack *pack);

/* Bytes above those: of its load, or of batches of `tokens` on `threads` threads, whichever takes more. */
uint64_t ce_estimate_passing(const ce_pack *pack, unsigned tokens, unsigned threads);

#endif
