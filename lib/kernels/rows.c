#include "kernels/rows.h"

size_t ce_rows_stride(ce_number number, size_t width)
{
    static const size_t sizes[] = {4, 2, 1};
    size_t lines = (width * sizes[number] + 63) / 64;
    return (lines | 1) * 64;
}

ce_rows ce_rows_from(const ce_rows *rows, size_t row)
{
    ce_rows from = *rows;
    from.data = (char *)rows->data + row * rows->stride;
    if (rows->scales)
        from.scales = rows->scales + row * rows->groups;
    return from;
}
