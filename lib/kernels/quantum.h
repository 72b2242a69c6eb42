/* How one group of activations becomes 8-bit integers. */
#ifndef CE_KERNELS_QUANTUM_H
#define CE_KERNELS_QUANTUM_H

#include "kernels/rows.h"

/* q = nearest(x * inverse + zero) */
typedef struct quantum {
    float inverse, zero;
} quantum;

/* Of a group from `low` (at most 0) to `high` (at least 0). Added to the scale, `poison` makes it NaN. */
static inline quantum quantum_of(float low, float high, float poison, ce_row_scale *scale)
{
    const float smallest = 1e-33f; /* whose inverse is still finite */
    const float round = 0x1.8p23f; /* leaves no bits for a fraction */
    /* Each divided by itself: their difference can overflow. */
    float step = high / 255 - low / 255;
    step = step < smallest ? smallest : step;
    quantum q = {1 / step, 0};
    q.zero = (-low * q.inverse + round) - round;
    *scale = (ce_row_scale){step + poison, q.zero};
    return q;
}

#endif
