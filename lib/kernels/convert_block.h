/* convert.c includes this through variants.h. */

#include "kernels/row_block.h"

TARGET static void NAME(to_bf16)(const float *row, size_t width, uint16_t *to)
{
    for (size_t i = 0; i < width; i += 4 * LANES) {
        NAME(four) four = NAME(load_four)(row + i, width - i);
        NAME(store_narrow_four)(to + i, &four, width - i);
    }
}

TARGET static void NAME(to_int8)(const float *row, size_t width, uint8_t *to, ce_row_scale *scale,
                                 size_t group)
{
    for (size_t begin = 0; begin < width; begin += group, scale++) {
        size_t end = width - begin < group ? width : begin + group;
        NAME(range) range = NAME(range_none)();
        for (size_t i = begin; i < end; i += 4 * LANES) {
            NAME(four) four = NAME(load_four)(row + i, end - i);
            NAME(range_add)(&range, &four);
        }
        quantum q = NAME(range_quantum)(&range, scale);
        for (size_t i = begin; i < end; i += 4 * LANES) {
            NAME(four) four = NAME(load_four)(row + i, end - i);
            NAME(quantise)(to + i, &four, q, end - i);
        }
    }
}

TARGET static void NAME(convert_row)(const float *row, size_t width, const ce_rows *to,
                                     size_t number)
{
    char *at = (char *)to->data + number * to->stride;
    if (to->number == CE_NUMBER_INT8)
        NAME(to_int8)(row, width, (uint8_t *)at, to->scales + number * to->groups, to->group);
    else if (to->number == CE_NUMBER_BF16)
        NAME(to_bf16)(row, width, (uint16_t *)at);
    else
        memcpy(at, row, width * sizeof *row);
}
