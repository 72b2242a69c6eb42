/* pool.c includes this through variants.h. */

/* sum of weight * row, over `divisor`; token i of a text weighs 1 + i * step. */
TARGET static void NAME(pool_sum)(const ce_rows *rows, size_t count, size_t width, float step,
                                  float divisor, float *out)
{
    for (size_t i = 0; i < width; i += LANES) {
        NAME(vf) sum = {0};
        for (size_t row = 0; row < count; row++)
            sum += NAME(load_some)(row_of(rows, row) + i, width - i) * (1 + (float)row * step);
        NAME(store_some)(out + i, sum / divisor, width - i);
    }
}

TARGET static void NAME(pool_max)(const ce_rows *rows, size_t count, size_t width, float *out)
{
    for (size_t i = 0; i < width; i += LANES) {
        NAME(vf) most = NAME(load_some)(row_of(rows, 0) + i, width - i);
        for (size_t row = 1; row < count; row++) {
            NAME(vf) x = NAME(load_some)(row_of(rows, row) + i, width - i);
            most = NAME(select)((x <= most) | (most != most), most, x); /* NaN wins */
        }
        NAME(store_some)(out + i, most, width - i);
    }
}
