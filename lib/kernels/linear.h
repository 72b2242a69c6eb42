/* A linear layer, y = x W^T + b, over weights in the order in which the kernels read them, with what follows it
 * done on the numbers while they are in registers.
 *
 * A row's result depends on that row alone: each sum runs over the inputs in order, whatever the number of rows, their
 * place, or the share of columns. int8: integers are summed up within a group, and fp32 over the groups. Panels are the
 * same for all instruction sets. */
#ifndef CE_KERNELS_LINEAR_H
#define CE_KERNELS_LINEAR_H

#include "kernels/isa.h"
#include "kernels/rows.h"

#include <stddef.h>

enum { CE_PANEL = 32 }; /* columns (outputs) */

typedef struct ce_linear {
    ce_number number; /* of weights and inputs */
    size_t in, out;   /* any, at least 1 */
    size_t group;     /* int8: inputs that share a scale, as those of the rows do */
    const void *
        panels; /* [panels][in / group, rounded up][CE_PANEL][group]; group 1 of fp32, 2 of bf16, 4 of int8 */
    const float *bias;   /* [panels * CE_PANEL] */
    const float *scales; /* int8: [panels, groups, CE_PANEL], of each column */
    const float *sums;   /* int8: [panels, groups, CE_PANEL], of each column's integers */
} ce_linear;

typedef enum ce_activation {
    CE_ACTIVATION_NONE,
    CE_ACTIVATION_GELU,      /* by erf */
    CE_ACTIVATION_GELU_TANH, /* the approximation by tanh */
    /* silu(gate) * up: of each panel the first half of the columns are gates and the second half what they gate.
       `out` counts both; the rows that are written have out / 2 elements, 16 for each panel. */
    CE_ACTIVATION_SILU_GATE
} ce_activation;

/* What becomes of x W^T + b. */
typedef struct ce_linear_output {
    ce_rows rows; /* fp32 or bf16 */
    ce_activation activation;
    int add; /* to what the rows hold: a residual; fp32 only, without an activation */
} ce_linear_output;

static inline size_t ce_linear_panels(size_t out)
{
    return (out + CE_PANEL - 1) / CE_PANEL;
}

/* Bytes of a layer in one piece of memory, a multiple of 64. `group` counts in int8 alone. */
size_t ce_linear_bytes(ce_number number, size_t in, size_t out, size_t group);

/* A layer in such a piece, aligned to 64 bytes. Nothing is read or written. */
void ce_linear_place(ce_linear *linear, ce_number number, size_t in, size_t out, size_t group,
                     const void *memory);

/* Write a panel of a layer placed in writable memory: `columns` (1 to CE_PANEL) rows of weights, `stride` floats apart,
 * and their biases (NULL: zeros). Columns that are left over become zeros. int8: each group of a column is scaled by its largest
 * magnitude. */
void ce_linear_pack(const ce_linear *linear, size_t panel, const float *weights, size_t stride,
                    const float *bias, size_t columns);

/* Panels panel .. panel_end of the first `count` rows. */
void ce_linear_run(const ce_linear *linear, const ce_rows *in, size_t count, size_t panel,
                   size_t panel_end, const ce_linear_output *out, ce_isa isa);

#endif
