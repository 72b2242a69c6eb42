/* Rows of activations, one for each token, in the numbers that the next linear layer multiplies. */
#ifndef CE_KERNELS_ROWS_H
#define CE_KERNELS_ROWS_H

#include "kernels/isa.h"

#include <stddef.h>
#include <stdint.h>

typedef enum ce_number {
    CE_NUMBER_FP32,
    CE_NUMBER_BF16, /* the upper half of an fp32, rounded to nearest even */
    CE_NUMBER_INT8  /* of activations: uint8_t, x = scale * (q - zero); of weights: int8_t */
} ce_number;

/* What the bytes of one group of a row stand for. `zero` is a whole number from 0 to 255. */
typedef struct ce_row_scale {
    float scale, zero;
} ce_row_scale;

/* Rows of one width. Kernels that write bf16 or int8 rows of odd widths set to zero what a linear layer
 * reads beyond the last element (up to the next multiple of 4). */
typedef struct ce_rows {
    ce_number number;
    void *data;
    size_t stride; /* bytes from a row to the next, a multiple of 64 */
    /* int8: every `group` numbers (a multiple of 64) of a row share a scale, so that a large one spoils no others than
       those of its group. [rows, groups] */
    ce_row_scale *scales;
    size_t group, groups;
} ce_rows;

/* How many groups a row of `width` numbers has. */
static inline size_t ce_groups(size_t width, size_t group)
{
    return (width + group - 1) / group;
}

/* The stride for rows of `width` numbers: an odd multiple of 64 bytes, so that rows that are worked on together never
 * compete for one set of the cache. */
size_t ce_rows_stride(ce_number number, size_t width);

/* The rows from number `row` on. */
ce_rows ce_rows_from(const ce_rows *rows, size_t row);

/* Write fp32 rows as bf16 or int8 ones (or copy them). int8: the range of each group, zero included, over 0 .. 255. What
 * is not finite is not finite in bf16, and gives a group whose scale is not finite in int8. */
void ce_rows_convert(const ce_rows *from, size_t count, size_t width, const ce_rows *to,
                     ce_isa isa);

#endif
