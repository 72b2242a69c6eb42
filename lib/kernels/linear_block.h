/* linear.c includes this once for each instruction set, with what vectors.h asks for and TALL, the rows that are worked on
 * together in fp32 and bf16, and TALL_INT8. */

#include "kernels/activation_block.h"

/* Vectors of a panel. */
#define COLUMNS (CE_PANEL / LANES)

/* The sums of a tile: rows by the columns of a panel. int8: whole numbers. */
typedef struct NAME(tile) {
    _Alignas(64) float sum[12][CE_PANEL];
} NAME(tile);

typedef struct NAME(reads) {
    const char *rows; /* of the input */
    size_t stride;
    const char *panel;
    size_t groups;
    const char *next; /* of the next panel, as much as is to be fetched meanwhile */
    size_t step;
} NAME(reads);

TARGET INLINE void NAME(fetch)(const NAME(reads) * in, size_t group)
{
    __builtin_prefetch(in->next + group * in->step, 0, 3);
    if (in->step > 64)
        __builtin_prefetch(in->next + group * in->step + 64, 0, 3);
}

TARGET INLINE void NAME(dot_fp32)(const NAME(reads) * in, NAME(tile) * tile, int rows)
{
    NAME(vf) sum[12][COLUMNS];
    foreach (r, rows)
        foreach (c, COLUMNS)
            sum[r][c] = (NAME(vf)){0};
    const char *at = in->rows, *w = in->panel;
    for (size_t k = 0; k < in->groups; k++, at += 4, w += 4 * CE_PANEL) {
        NAME(vf) b[COLUMNS];
        foreach (c, COLUMNS)
            b[c] = NAME(load)((const float *)w + c * LANES);
        NAME(fetch)(in, k);
        foreach (r, rows) {
            float x = *(const float *)(at + (size_t)r * in->stride);
            foreach (c, COLUMNS)
                sum[r][c] += b[c] * x;
        }
    }
    foreach (r, rows)
        foreach (c, COLUMNS)
            NAME(store)(tile->sum[r] + c * LANES, sum[r][c]);
}

TARGET INLINE NAME(vf) NAME(add_pairs)(NAME(vf) sum, const char *pairs, uint32_t x)
{
#if HAS_BF16
    __m512i b = _mm512_loadu_si512(pairs);
    return (NAME(vf))_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)x),
                                      (__m512bh)b);
#else
    NAME(vu) b = (NAME(vu))NAME(load)((const float *)pairs);
    union {
        uint32_t bits;
        float value;
    } even = {x << 16}, odd = {x & 0xffff0000u};
    sum += (NAME(vf))(b << 16) * even.value;
    return sum + (NAME(vf))(b & 0xffff0000u) * odd.value;
#endif
}

TARGET INLINE void NAME(dot_bf16)(const NAME(reads) * in, NAME(tile) * tile, int rows)
{
    NAME(vf) sum[12][COLUMNS];
    foreach (r, rows)
        foreach (c, COLUMNS)
            sum[r][c] = (NAME(vf)){0};
    const char *at = in->rows, *w = in->panel;
    for (size_t k = 0; k < in->groups; k++, at += 4, w += 4 * CE_PANEL) {
        NAME(fetch)(in, k);
        foreach (r, rows) {
            uint32_t x = *(const uint32_t *)(at + (size_t)r * in->stride);
            foreach (c, COLUMNS)
                sum[r][c] = NAME(add_pairs)(sum[r][c], w + c * 4 * LANES, x);
        }
    }
    foreach (r, rows)
        foreach (c, COLUMNS)
            NAME(store)(tile->sum[r] + c * LANES, sum[r][c]);
}

/* Sums of four products of an unsigned and a signed byte, exact: saturation of 16 bits is out of reach of the upper seven
 * bits, and the lowest bit comes apart. */
TARGET INLINE NAME(vi) NAME(add_quads)(NAME(vi) sum, const char *quads, uint32_t x)
{
#if HAS_VNNI
    __m512i a = _mm512_set1_epi32((int)x), b = _mm512_loadu_si512(quads);
    return (NAME(vi))_mm512_dpbusd_epi32((__m512i)sum, a, b);
#elif LANES == 16
    __m512i b = _mm512_loadu_si512(quads);
    __m512i upper = _mm512_set1_epi32((int)(x >> 1 & 0x7f7f7f7fu));
    __m512i lowest = _mm512_set1_epi32((int)(x & 0x01010101u));
    __m512i twice = _mm512_madd_epi16(_mm512_maddubs_epi16(upper, b), _mm512_set1_epi16(2));
    __m512i once = _mm512_madd_epi16(_mm512_maddubs_epi16(lowest, b), _mm512_set1_epi16(1));
    return sum + (NAME(vi))_mm512_add_epi32(twice, once);
#elif LANES == 8
    __m256i b = _mm256_loadu_si256((const __m256i *)quads);
    __m256i upper = _mm256_set1_epi32((int)(x >> 1 & 0x7f7f7f7fu));
    __m256i lowest = _mm256_set1_epi32((int)(x & 0x01010101u));
    __m256i twice = _mm256_madd_epi16(_mm256_maddubs_epi16(upper, b), _mm256_set1_epi16(2));
    __m256i once = _mm256_madd_epi16(_mm256_maddubs_epi16(lowest, b), _mm256_set1_epi16(1));
    return sum + (NAME(vi))_mm256_add_epi32(twice, once);
#else
    const int8_t *b = (const int8_t *)quads;
    foreach (i, LANES)
        sum[i] += (int32_t)(x & 0xff) * b[4 * i] + (int32_t)(x >> 8 & 0xff) * b[4 * i + 1] +
                  (int32_t)(x >> 16 & 0xff) * b[4 * i + 2] + (int32_t)(x >> 24) * b[4 * i + 3];
    return sum;
#endif
}

TARGET INLINE void NAME(dot_int8)(const NAME(reads) * in, NAME(tile) * tile, int rows)
{
    NAME(vi) sum[12][COLUMNS];
    foreach (r, rows)
        foreach (c, COLUMNS)
            sum[r][c] = (NAME(vi)){0};
    const char *at = in->rows, *w = in->panel;
    for (size_t k = 0; k < in->groups; k++, at += 4, w += 4 * CE_PANEL) {
        NAME(fetch)(in, k);
        foreach (r, rows) {
            uint32_t x = *(const uint32_t *)(at + (size_t)r * in->stride);
            foreach (c, COLUMNS)
                sum[r][c] = NAME(add_quads)(sum[r][c], w + c * 4 * LANES, x);
        }
    }
    foreach (r, rows)
        foreach (c, COLUMNS)
            NAME(store)(tile->sum[r] + c * LANES, (NAME(vf))sum[r][c]);
}

/* ---- What becomes of the sums -------------------------------------------------------------- */

TARGET INLINE NAME(vf) NAME(activate)(ce_activation activation, ce_number number, NAME(vf) x)
{
    if (activation == CE_ACTIVATION_GELU)
        return number == CE_NUMBER_INT8   ? NAME(gelu_coarse)(x)
               : number == CE_NUMBER_BF16 ? NAME(gelu_rough)(x)
                                          : NAME(gelu)(x);
    return activation == CE_ACTIVATION_GELU_TANH ? NAME(gelu_tanh)(x) : x;
}

/* What the columns of a vector share. */
typedef struct NAME(columns) {
    NAME(vf) bias, scale, sums;
} NAME(columns);

TARGET INLINE NAME(columns) NAME(columns_of)(const ce_linear *l, size_t column, int int8)
{
    NAME(columns) all = {.bias = NAME(load)(l->bias + column)};
    if (int8) {
        all.scale = NAME(load)(l->scales + column);
        all.sums = NAME(load)(l->sums + column);
    }
    return all;
}

TARGET INLINE NAME(vf)
    NAME(value)(const NAME(columns) * all, const ce_row_scale *scale, const float *sum, int int8)
{
    NAME(vf) x = NAME(load)(sum);
    if (int8) {
        NAME(vf) product = __builtin_convertvector((NAME(vi))x, NAME(vf)) - all->sums * scale->zero;
        return product * (all->scale * scale->scale) + all->bias;
    }
    return x + all->bias;
}

TARGET INLINE void NAME(put)(const ce_linear_output *out, char *row, size_t column, size_t width,
                             NAME(vf) x)
{
    if (column >= width)
        return;
    if (out->multiply)
        x *= NAME(load)(out->multiply + column);
    if (out->rows.number == CE_NUMBER_BF16) {
        NAME(store_narrow_some)((uint16_t *)row + column, x, width - column);
        for (size_t i = width; column + LANES >= width && i % 4; i++)
            ((uint16_t *)row)[i] = 0;
        return;
    }
    float *to = (float *)row + column;
    if (out->add)
        x += NAME(load_some)(to, width - column);
    NAME(store_some)(to, x, width - column);
}

TARGET INLINE void NAME(finish_as)(const ce_linear *l, const ce_linear_output *out, size_t panel,
                                   const NAME(tile) * tile, const ce_row_scale *scales, size_t row,
                                   int rows, ce_activation activation, int int8)
{
    int gate = activation == CE_ACTIVATION_SILU_GATE;
    ce_number number = int8 ? CE_NUMBER_INT8 : l->number;
    size_t first = panel * CE_PANEL, half = CE_PANEL / 2;
    char *to = (char *)out->rows.data + row * out->rows.stride;
    for (size_t at = 0; at < (gate ? half : CE_PANEL); at += LANES) {
        NAME(columns) all = NAME(columns_of)(l, first + at, int8), ups = all;
        if (gate)
            ups = NAME(columns_of)(l, first + half + at, int8);
        for (int r = 0; r < rows; r++) {
            const ce_row_scale *scale = scales + r;
            char *to_row = to + (size_t)r * out->rows.stride;
            NAME(vf) x = NAME(value)(&all, scale, tile->sum[r] + at, int8);
            if (gate) {
                NAME(vf) up = NAME(value)(&ups, scale, tile->sum[r] + half + at, int8);
                NAME(put)(out, to_row, first / 2 + at, l->out / 2, NAME(gated)(x, x) * up);
            } else {
                NAME(put)(out, to_row, first + at, l->out, NAME(activate)(activation, number, x));
            }
        }
    }
}

TARGET INLINE void NAME(finish_of)(const ce_linear *l, const ce_linear_output *out, size_t panel,
                                   const NAME(tile) * tile, const ce_row_scale *scales, size_t row,
                                   int rows, int int8)
{
    switch (out->activation) {
    case CE_ACTIVATION_NONE:
        NAME(finish_as)(l, out, panel, tile, scales, row, rows, CE_ACTIVATION_NONE, int8);
        break;
    case CE_ACTIVATION_GELU:
        NAME(finish_as)(l, out, panel, tile, scales, row, rows, CE_ACTIVATION_GELU, int8);
        break;
    case CE_ACTIVATION_GELU_TANH:
        NAME(finish_as)(l, out, panel, tile, scales, row, rows, CE_ACTIVATION_GELU_TANH, int8);
        break;
    case CE_ACTIVATION_SILU_GATE:
        NAME(finish_as)(l, out, panel, tile, scales, row, rows, CE_ACTIVATION_SILU_GATE, int8);
        break;
    }
}

TARGET static __attribute__((noinline)) void
NAME(finish)(const ce_linear *l, const ce_linear_output *out, size_t panel, const NAME(tile) * tile,
             const ce_row_scale *scales, size_t row, int rows)
{
    if (l->number == CE_NUMBER_INT8)
        NAME(finish_of)(l, out, panel, tile, scales, row, rows, 1);
    else
        NAME(finish_of)(l, out, panel, tile, NULL, row, rows, 0);
}

/* ---- Tiles --------------------------------------------------------------------------------- */

#define EACH_HEIGHT(dot)   \
    switch (rows) {        \
    case 1:                \
        dot(in, tile, 1);  \
        break;             \
    case 2:                \
        dot(in, tile, 2);  \
        break;             \
    case 3:                \
        dot(in, tile, 3);  \
        break;             \
    case 4:                \
        dot(in, tile, 4);  \
        break;             \
    case 5:                \
        dot(in, tile, 5);  \
        break;             \
    case 6:                \
        dot(in, tile, 6);  \
        break;             \
    case 7:                \
        dot(in, tile, 7);  \
        break;             \
    case 8:                \
        dot(in, tile, 8);  \
        break;             \
    case 9:                \
        dot(in, tile, 9);  \
        break;             \
    case 10:               \
        dot(in, tile, 10); \
        break;             \
    case 11:               \
        dot(in, tile, 11); \
        break;             \
    case 12:               \
        dot(in, tile, 12); \
        break;             \
    }

TARGET static void NAME(tile_fp32)(const NAME(reads) * in, NAME(tile) * tile,
                                   int rows){EACH_HEIGHT(NAME(dot_fp32))}

TARGET static void NAME(tile_bf16)(const NAME(reads) * in, NAME(tile) * tile,
                                   int rows){EACH_HEIGHT(NAME(dot_bf16))}

TARGET static void NAME(tile_int8)(const NAME(reads) * in, NAME(tile) * tile, int rows)
{
    EACH_HEIGHT(NAME(dot_int8))
}

#undef EACH_HEIGHT

/* Tiles as equal in height as can be, panel by panel: a panel stays in the first-level cache. */
TARGET static void NAME(linear)(const ce_linear *l, const ce_rows *in, size_t count, size_t panel,
                                size_t panel_end, const ce_linear_output *out)
{
    size_t tall = l->number == CE_NUMBER_INT8 ? TALL_INT8 : TALL;
    size_t tiles = (count + tall - 1) / tall, groups = groups_of(l);
    size_t panel_bytes = groups * CE_PANEL * 4;
    NAME(tile) tile;
    for (; panel < panel_end; panel++) {
        NAME(reads)
        reads = {.stride = in->stride,
                 .panel = (const char *)l->panels + panel * panel_bytes,
                 .groups = groups,
                 .step = (4 * CE_PANEL + tiles - 1) / tiles};
        for (size_t i = 0; i < tiles; i++) {
            size_t row = count * i / tiles, rows = count * (i + 1) / tiles - row;
            reads.rows = (const char *)in->data + row * in->stride;
            reads.next = reads.panel + panel_bytes + panel_bytes * i / tiles;
            if (l->number == CE_NUMBER_FP32)
                NAME(tile_fp32)(&reads, &tile, (int)rows);
            else if (l->number == CE_NUMBER_BF16)
                NAME(tile_bf16)(&reads, &tile, (int)rows);
            else
                NAME(tile_int8)(&reads, &tile, (int)rows);
            NAME(finish)
            (l, out, panel, &tile, in->scales ? in->scales + row : NULL, row, (int)rows);
        }
    }
}

#undef COLUMNS
#undef SUFFIX
#undef TARGET
#undef LANES
#undef HAS_BF16
#undef HAS_VNNI
#undef TALL
#undef TALL_INT8
