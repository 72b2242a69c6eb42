/* Rotary position embedding, as Llama and its family have it: element i is paired with i + rotary_dim / 2. */
#ifndef CE_KERNELS_ROPE_H
#define CE_KERNELS_ROPE_H

#include "kernels/isa.h"
#include "kernels/rows.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_rope {
    size_t rotary_dim;      /* even, at most head_dim: the elements of a head that are turned */
    const float *cos, *sin; /* [positions, rotary_dim / 2] */
} ce_rope;

/* Turn `heads` heads, which lie side by side from element `first` on, in `count` fp32 or bf16 rows, in place. */
void ce_rope_rows(const ce_rope *rope, const ce_rows *rows, size_t count, const int32_t *positions,
                  size_t first, size_t heads, size_t head_dim, ce_isa isa);

#endif
