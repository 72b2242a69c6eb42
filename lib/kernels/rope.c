#include "kernels/rope.h"

#define BLOCK "kernels/rope_block.h"
#include "kernels/variants.h"

void ce_rope_rows(const ce_rope *rope, const ce_rows *rows, size_t count, const int32_t *positions,
                  size_t first, size_t heads, size_t head_dim, ce_isa isa)
{
    static void (*const variants[])(const ce_rope *, void *, ce_number, int32_t, size_t, size_t,
                                    size_t) = VARIANTS(rope_row);
    for (size_t i = 0; i < count; i++)
        variants[isa](rope, (char *)rows->data + i * rows->stride, rows->number, positions[i],
                      first, heads, head_dim);
}
