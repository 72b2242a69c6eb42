/* LayerNorm and RMSNorm. */
#ifndef CE_KERNELS_NORM_H
#define CE_KERNELS_NORM_H

#include "kernels/isa.h"
#include "kernels/rows.h"

#include <stddef.h>

typedef struct ce_norm {
    int centred; /* LayerNorm; else RMSNorm */
    size_t width;
    float eps;
    const float *gain;   /* [width] */
    const float *bias;   /* [width], or NULL */
    const float *smooth; /* [width], or NULL: what `low` gets is multiplied by it */
} ce_norm;

/* Normalise `count` fp32 rows. `out` (fp32; may be `in` itself) and `low` (any numbers: what the next linear layer reads)
 * get the result; either may be NULL. */
void ce_norm_rows(const ce_norm *norm, const ce_rows *in, size_t count, const ce_rows *out,
                  const ce_rows *low, ce_isa isa);

#endif
