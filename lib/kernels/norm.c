#include "kernels/norm.h"

#include "kernels/quantum.h"

#include <math.h>

static inline void *row_of(const ce_rows *rows, size_t row)
{
    return (char *)rows->data + row * rows->stride;
}

#define BLOCK "kernels/norm_block.h"
#include "kernels/variants.h"

void ce_norm_rows(const ce_norm *norm, const ce_rows *in, size_t count, const ce_rows *out,
                  const ce_rows *low, ce_isa isa)
{
    static void (*const variants[])(const ce_norm *, const ce_rows *, size_t, const ce_rows *,
                                    const ce_rows *) = VARIANTS(norm_rows);
    variants[isa](norm, in, count, out, low);
}
