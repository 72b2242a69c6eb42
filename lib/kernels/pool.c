#include "kernels/pool.h"

#include <math.h>

static inline const float *row_of(const ce_rows *rows, size_t row)
{
    return (const float *)((const char *)rows->data + row * rows->stride);
}

#define BLOCK "kernels/pool_block.h"
#include "kernels/variants.h"

static void pool_sum(const ce_rows *rows, size_t count, size_t width, float step, float divisor,
                     float *out, ce_isa isa)
{
    static void (*const variants[])(const ce_rows *, size_t, size_t, float, float, float *) =
        VARIANTS(pool_sum);
    variants[isa](rows, count, width, step, divisor, out);
}

static void pool_max(const ce_rows *rows, size_t count, size_t width, float *out, ce_isa isa)
{
    static void (*const variants[])(const ce_rows *, size_t, size_t, float *) = VARIANTS(pool_max);
    variants[isa](rows, count, width, out);
}

void ce_pool_rows(ce_pooling pooling, const ce_rows *rows, size_t count, size_t width, float *out,
                  ce_isa isa)
{
    float length = (float)count;
    switch (pooling) {
    case CE_POOL_CLS:
        memcpy(out, row_of(rows, 0), width * sizeof *out);
        break;
    case CE_POOL_LAST:
        memcpy(out, row_of(rows, count - 1), width * sizeof *out);
        break;
    case CE_POOL_MAX:
        pool_max(rows, count, width, out, isa);
        break;
    case CE_POOL_MEAN:
        pool_sum(rows, count, width, 0, length, out, isa);
        break;
    case CE_POOL_MEAN_SQRT_LEN:
        pool_sum(rows, count, width, 0, sqrtf(length), out, isa);
        break;
    case CE_POOL_WEIGHTED_MEAN:
        pool_sum(rows, count, width, 1, length * (length + 1) / 2, out, isa);
        break;
    }
}

/* In double, so that squares neither overflow nor vanish; four sums, which run side by side. */
static double norm_of(const float *vector, size_t width)
{
    double sum[4] = {0};
    for (size_t i = 0; i < width; i++)
        sum[i % 4] += (double)vector[i] * vector[i];
    return sqrt((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

void ce_pool_normalize(float *vector, size_t width, ce_isa isa)
{
    (void)isa;
    double norm = norm_of(vector, width);
    norm = norm < 1e-12 ? 1e-12 : norm; /* NaN stays */
    for (size_t i = 0; i < width; i++)
        vector[i] = (float)(vector[i] / norm);
}
