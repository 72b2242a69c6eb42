/* From the rows of a text's tokens to one vector. */
#ifndef CE_KERNELS_POOL_H
#define CE_KERNELS_POOL_H

#include "kernels/isa.h"
#include "kernels/rows.h"

#include <stddef.h>

/* Named as in sentence-transformers' Pooling module. */
typedef enum ce_pooling {
    CE_POOL_CLS,
    CE_POOL_MAX,
    CE_POOL_MEAN,
    CE_POOL_MEAN_SQRT_LEN, /* the sum over the square root of the length */
    CE_POOL_WEIGHTED_MEAN, /* token i of a text weighs i + 1 */
    CE_POOL_LAST
} ce_pooling;

/* Of `count` (at least 1) fp32 rows. Elements are summed in the order of the rows. */
void ce_pool_rows(ce_pooling pooling, const ce_rows *rows, size_t count, size_t width, float *out,
                  ce_isa isa);

/* A vector to length 1, as torch.nn.functional.normalize does: divided by max(norm, 1e-12). */
void ce_pool_normalize(float *vector, size_t width, ce_isa isa);

#endif
