/* Texts into batches: no more tokens at once than the budget, and every thread busy. */
#ifndef CE_BATCHER_H
#define CE_BATCHER_H

#include "backend.h"

#include <stddef.h>
#include <stdint.h>

/* The texts order[first .. first + count). */
typedef struct ce_batch_range {
    size_t first, count;
    size_t tokens;
} ce_batch_range;

typedef struct ce_batch_aim {
    size_t budget; /* tokens of a batch, at most */
    size_t split;  /* tokens from which on a batch repays being computed apart */
    unsigned threads;
} ce_batch_aim;

/* Divide `count` (< 2^32) texts of lengths[i] tokens into batches of at most `aim->budget` tokens, a longer text alone.
 * Writes the texts' numbers in batch order to `order` and the batches to `ranges` (both with room for
 * `count`); returns how many batches. A padded layout gets texts of one length in a batch, a packed one batches of about
 * as many tokens each. */
size_t ce_batcher_plan(const uint32_t *lengths, size_t count, ce_layout layout,
                       const ce_batch_aim *aim, uint64_t *order, ce_batch_range *ranges);

#endif
