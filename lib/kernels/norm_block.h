/* norm.c includes this through variants.h. */

#include "kernels/row_block.h"

/* One row on its way. */
typedef struct NAME(row) {
    const ce_norm *norm;
    const float *in;
    float *out; /* or NULL */
    float mean, factor;
} NAME(row);

TARGET INLINE float NAME(row_mean)(const float *row, size_t width)
{
    NAME(vf) sum[4] = {{0}};
    size_t i = 0;
    for (; i + 4 * LANES <= width; i += 4 * LANES)
        foreach (v, 4)
            sum[v] += NAME(load)(row + i + v * LANES);
    for (; i < width; i += LANES)
        sum[0] += NAME(load_some)(row + i, width - i);
    return NAME(sum)((sum[0] + sum[1]) + (sum[2] + sum[3])) / (float)width;
}

TARGET INLINE float NAME(row_mean_square)(const float *row, size_t width, float mean)
{
    NAME(vf) sum[4] = {{0}};
    size_t i = 0;
    for (; i + 4 * LANES <= width; i += 4 * LANES)
        foreach (v, 4) {
            NAME(vf) x = NAME(load)(row + i + v * LANES) - mean;
            sum[v] += x * x;
        }
    for (; i + LANES <= width; i += LANES) {
        NAME(vf) x = NAME(load)(row + i) - mean;
        sum[0] += x * x;
    }
    float square = NAME(sum)((sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (; i < width; i++)
        square += (row[i] - mean) * (row[i] - mean);
    return square / (float)width;
}

/* Elements from i on, at most a vector; zeros behind the end of the row. */
TARGET INLINE NAME(vf) NAME(normalised)(const NAME(row) * row, size_t i)
{
    size_t left = row->norm->width - i;
    NAME(vf) x = (NAME(load_some)(row->in + i, left) - row->mean) * row->factor;
    x *= NAME(load_some)(row->norm->gain + i, left);
    return row->norm->bias ? x + NAME(load_some)(row->norm->bias + i, left) : x;
}

TARGET INLINE NAME(vf) NAME(smoothed)(const NAME(row) * row, size_t i, NAME(vf) value)
{
    const float *smooth = row->norm->smooth;
    return smooth ? value * NAME(load_some)(smooth + i, row->norm->width - i) : value;
}

/* What `low` gets, once `out` is written; without `out` it is worked out once more. */
TARGET INLINE NAME(vf) NAME(low_value)(const NAME(row) * row, size_t i)
{
    if (i >= row->norm->width)
        return (NAME(vf)){0};
    NAME(vf)
    value =
        row->out ? NAME(load_some)(row->out + i, row->norm->width - i) : NAME(normalised)(row, i);
    return NAME(smoothed)(row, i, value);
}

TARGET static void NAME(write)(const NAME(row) * row)
{
    size_t width = row->norm->width;
    for (size_t i = 0; i < width; i += LANES)
        NAME(store_some)(row->out + i, NAME(normalised)(row, i), width - i);
}

TARGET static void NAME(low_fp32)(const NAME(row) * row, float *to)
{
    size_t width = row->norm->width;
    for (size_t i = 0; i < width; i += LANES)
        NAME(store_some)(to + i, NAME(low_value)(row, i), width - i);
}

TARGET static void NAME(low_bf16)(const NAME(row) * row, uint16_t *to)
{
    size_t width = row->norm->width;
    for (size_t i = 0; i < width; i += LANES)
        NAME(store_narrow_some)(to + i, NAME(low_value)(row, i), width - i);
    NAME(pad_narrow)(to, width);
}

TARGET static void NAME(low_int8)(const NAME(row) * row, uint8_t *to, ce_row_scale *scale)
{
    size_t width = row->norm->width;
    NAME(range) range = {{0}, {0}, {0}};
    for (size_t i = 0; i < width; i += LANES)
        NAME(range_add)(&range, NAME(low_value)(row, i));
    quantum q = NAME(range_quantum)(&range, scale);
    for (size_t i = 0; i < width; i += 4 * LANES) {
        NAME(vf) value[4];
        foreach (v, 4)
            value[v] = NAME(low_value)(row, i + (size_t)v * LANES);
        NAME(quantise)(to + i, value, q, width - i);
    }
}

TARGET static void NAME(norm_row)(const ce_norm *norm, const float *in, float *out,
                                  const ce_rows *low)
{
    NAME(row) row = {norm, in, out, 0, 0};
    if (norm->centred)
        row.mean = NAME(row_mean)(in, norm->width);
    row.factor = 1 / sqrtf(NAME(row_mean_square)(in, norm->width, row.mean) + norm->eps);
    if (out)
        NAME(write)(&row);
    if (low && low->number == CE_NUMBER_FP32)
        NAME(low_fp32)(&row, low->data);
    if (low && low->number == CE_NUMBER_BF16)
        NAME(low_bf16)(&row, low->data);
    if (low && low->number == CE_NUMBER_INT8)
        NAME(low_int8)(&row, low->data, low->scales);
}

TARGET static void NAME(norm_rows)(const ce_norm *norm, const ce_rows *in, size_t count,
                                   const ce_rows *out, const ce_rows *low)
{
    for (size_t i = 0; i < count; i++) {
        ce_rows low_row = low ? ce_rows_from(low, i) : (ce_rows){0};
        NAME(norm_row)(norm, row_of(in, i), out ? row_of(out, i) : NULL, low ? &low_row : NULL);
    }
}
