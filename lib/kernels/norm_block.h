/* norm.c includes this through variants.h. */

#include "kernels/row_block.h"

TARGET INLINE float NAME(sum_four)(const NAME(four) * four)
{
    return NAME(sum)((four->v[0] + four->v[1]) + (four->v[2] + four->v[3]));
}

TARGET INLINE float NAME(mean)(const float *row, size_t width)
{
    NAME(four) sum = {{{0}}};
    for (size_t i = 0; i < width; i += 4 * LANES) {
        NAME(four) x = NAME(load_four)(row + i, width - i);
        foreach (v, 4)
            sum.v[v] += x.v[v];
    }
    return NAME(sum_four)(&sum) / (float)width;
}

/* Of the distances from the mean. */
TARGET INLINE float NAME(mean_square)(const float *row, size_t width, float mean)
{
    NAME(four) sum = {{{0}}};
    size_t i = 0;
    for (; i + 4 * LANES <= width; i += 4 * LANES) {
        NAME(four) x = NAME(load_four)(row + i, 4 * LANES);
        foreach (v, 4)
            sum.v[v] += (x.v[v] - mean) * (x.v[v] - mean);
    }
    float square = NAME(sum_four)(&sum);
    for (; i < width; i++)
        square += (row[i] - mean) * (row[i] - mean);
    return square / (float)width;
}

/* One row on its way. */
typedef struct NAME(row) {
    const ce_norm *norm;
    const float *in;
    float *out; /* or NULL */
    float mean, factor;
} NAME(row);

/* Elements from i on, at most four vectors, up to `end`. */
TARGET INLINE NAME(four) NAME(normalised)(const NAME(row) * row, size_t i, size_t end)
{
    size_t left = end - i;
    NAME(four) x = NAME(load_four)(row->in + i, left);
    NAME(four) gain = NAME(load_four)(row->norm->gain + i, left);
    foreach (v, 4)
        x.v[v] = (x.v[v] - row->mean) * row->factor * gain.v[v];
    if (row->norm->bias) {
        NAME(four) bias = NAME(load_four)(row->norm->bias + i, left);
        foreach (v, 4)
            x.v[v] += bias.v[v];
    }
    return x;
}

/* What the next linear layer reads of them. */
TARGET INLINE NAME(four) NAME(smoothed)(const NAME(row) * row, size_t i, size_t end, NAME(four) x)
{
    if (row->norm->smooth) {
        NAME(four) smooth = NAME(load_four)(row->norm->smooth + i, end - i);
        foreach (v, 4)
            x.v[v] *= smooth.v[v];
    }
    return x;
}

/* Write elements begin .. end, and what `low` gets as fp32 or bf16; of int8, find the range. */
TARGET INLINE void NAME(write)(const NAME(row) * row, size_t begin, size_t end, float *low_fp32,
                               uint16_t *low_bf16, NAME(range) * range)
{
    for (size_t i = begin; i < end; i += 4 * LANES) {
        NAME(four) x = NAME(normalised)(row, i, end);
        if (row->out)
            NAME(store_four)(row->out + i, &x, end - i);
        x = NAME(smoothed)(row, i, end, x);
        if (low_fp32)
            NAME(store_four)(low_fp32 + i, &x, end - i);
        if (low_bf16)
            NAME(store_narrow_four)(low_bf16 + i, &x, end - i);
        if (range)
            NAME(range_add)(range, &x);
    }
}

TARGET INLINE void NAME(write_group)(const NAME(row) * row, size_t begin, size_t end, uint8_t *low,
                                     ce_row_scale *scale)
{
    NAME(range) range = NAME(range_none)();
    NAME(write)(row, begin, end, NULL, NULL, &range);
    quantum q = NAME(range_quantum)(&range, scale);
    for (size_t i = begin; i < end; i += 4 * LANES) {
        /* Without `out` there is nowhere to keep them. */
        NAME(four)
        x = row->out ? NAME(load_four)(row->out + i, end - i) : NAME(normalised)(row, i, end);
        x = NAME(smoothed)(row, i, end, x);
        NAME(quantise)(low + i, &x, q, end - i);
    }
}

TARGET static void NAME(norm_row)(const ce_norm *norm, const float *in, float *out,
                                  const ce_rows *low)
{
    NAME(row) row = {norm, in, out, 0, 0};
    if (norm->centred)
        row.mean = NAME(mean)(in, norm->width);
    row.factor = 1 / sqrtf(NAME(mean_square)(in, norm->width, row.mean) + norm->eps);
    size_t width = norm->width;
    if (!low)
        NAME(write)(&row, 0, width, NULL, NULL, NULL);
    else if (low->number == CE_NUMBER_FP32)
        NAME(write)(&row, 0, width, low->data, NULL, NULL);
    else if (low->number == CE_NUMBER_BF16)
        NAME(write)(&row, 0, width, NULL, low->data, NULL);
    else
        for (size_t i = 0, g = 0; i < width; i += low->group, g++)
            NAME(write_group)
    (&row, i, width - i < low->group ? width : i + low->group, low->data, low->scales + g);
}

TARGET static void NAME(norm_rows)(const ce_norm *norm, const ce_rows *in, size_t count,
                                   const ce_rows *out, const ce_rows *low)
{
    for (size_t i = 0; i < count; i++) {
        ce_rows low_row = low ? ce_rows_from(low, i) : (ce_rows){0};
        NAME(norm_row)(norm, row_of(in, i), out ? row_of(out, i) : NULL, low ? &low_row : NULL);
    }
}
