#include "kernels/quantum.h"
#include "kernels/rows.h"

#define BLOCK "kernels/convert_block.h"
#include "kernels/variants.h"

void ce_rows_convert(const ce_rows *from, size_t count, size_t width, const ce_rows *to, ce_isa isa)
{
    static void (*const variants[])(const float *, size_t, const ce_rows *, size_t) =
        VARIANTS(convert_row);
    for (size_t i = 0; i < count; i++)
        variants[isa]((const float *)((const char *)from->data + i * from->stride), width, to, i);
}
