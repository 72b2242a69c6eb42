/* linear.c includes this once for each instruction set, with what vectors.h asks for and TALL, the rows that are worked on
 * together in fp32 and bf16, and TALL_INT8. */

#include "kernels/activation_block.h"

/* Vectors of a panel. */
#define COLUMNS (CE_PANEL / LANES)

/* The sums of a tile: rows by the columns of a panel. */
typedef struct NAME(tile) {
    _Alignas(64) float sum[12][CE_PANEL];
} NAME(tile);

typedef struct NAME(reads) {
    const char *rows; /* of the input */
    size_t stride;
    const char *panel;
    size_t steps;
    const char *next; /* of the next panel, as much as is to be fetched meanwhile */
    size_t next_step;
    /* int8 */
    size_t group; /* in steps */
    size_t groups;
    const ce_row_scale *row_scales; /* [rows, groups] */
    const float *scales, *sums;     /* [groups, CE_PANEL] */
} NAME(reads);

TARGET INLINE void NAME(fetch)(const NAME(reads) * in, size_t step)
{
    __builtin_prefetch(in->next + step * in->next_step, 0, 3);
    if (in->next_step > 64)
        __builtin_prefetch(in->next + step * in->next_step + 64, 0, 3);
}

TARGET INLINE void NAME(dot_fp32)(const NAME(reads) * in, NAME(tile) * tile, int rows)
{
    NAME(vf) sum[12][COLUMNS];
    foreach (r, rows)
        foreach (c, COLUMNS)
            sum[r][c] = (NAME(vf)){0};
    const char *at = in->rows, *w = in->panel;
    for (size_t k = 0; k < in->steps; k++, at += 4, w += 4 * CE_PANEL) {
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
    for (size_t k = 0; k < in->steps; k++, at += 4, w += 4 * CE_PANEL) {
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

/* What the sums of one group of inputs stand for, to the tile. `rows` and `first` are constants. */
TARGET INLINE void NAME(add_group)(const NAME(reads) * in, size_t group, NAME(vi) sum[][COLUMNS],
                                   NAME(tile) * tile, int rows, int first)
{
    const ce_row_scale *scale = in->row_scales + group;
    NAME(vf) scales[COLUMNS], sums[COLUMNS];
    foreach (c, COLUMNS) {
        scales[c] = NAME(load)(in->scales + group * CE_PANEL + c * LANES);
        sums[c] = NAME(load)(in->sums + group * CE_PANEL + c * LANES);
    }
    foreach (r, rows) {
        foreach (c, COLUMNS) {
            float *to = tile->sum[r] + c * LANES;
            NAME(vf) whole = __builtin_convertvector(sum[r][c], NAME(vf)) - sums[c] * scale->zero;
            NAME(vf) factor = scales[c] * scale->scale;
            NAME(store)(to, first ? whole * factor : whole * factor + NAME(load)(to));
        }
        scale += in->groups;
    }
}

TARGET INLINE void NAME(dot_int8)(const NAME(reads) * in, NAME(tile) * tile, int rows)
{
    const char *at = in->rows, *w = in->panel;
    for (size_t g = 0, k = 0; g < in->groups; g++) {
        NAME(vi) sum[12][COLUMNS];
        foreach (r, rows)
            foreach (c, COLUMNS)
                sum[r][c] = (NAME(vi)){0};
        size_t left = in->steps - k, end = k + (left < in->group ? left : in->group);
        for (; k < end; k++, at += 4, w += 4 * CE_PANEL) {
            NAME(fetch)(in, k);
            foreach (r, rows) {
                uint32_t x = *(const uint32_t *)(at + (size_t)r * in->stride);
                foreach (c, COLUMNS)
                    sum[r][c] = NAME(add_quads)(sum[r][c], w + c * 4 * LANES, x);
            }
        }
        if (g == 0)
            NAME(add_group)(in, g, sum, tile, rows, 1);
        else
            NAME(add_group)(in, g, sum, tile, rows, 0);
    }
}

/* ---- What becomes of the sums -------------------------------------------------------------- */

TARGET INLINE NAME(vf) NAME(activate)(ce_activation activation, int exact, NAME(vf) x)
{
    if (activation == CE_ACTIVATION_GELU)
        return exact ? NAME(gelu)(x) : NAME(gelu_rough)(x);
    return activation == CE_ACTIVATION_GELU_TANH ? NAME(gelu_tanh)(x) : x;
}

/* Where a result goes, and how. */
typedef enum NAME(target) { NAME(TO_FP32), NAME(TO_BF16), NAME(ADD_FP32) } NAME(target);

/* At most `left` lanes; of bf16, behind them zeros up to where a linear layer reads. */
TARGET INLINE void NAME(put)(char *to, NAME(vf) x, size_t left, NAME(target) target)
{
    if (target == NAME(TO_BF16)) {
        NAME(store_narrow_some)((uint16_t *)to, x, left);
        for (size_t i = left; i < LANES && i % 4; i++)
            ((uint16_t *)to)[i] = 0;
        return;
    }
    if (target == NAME(ADD_FP32))
        x += NAME(load_some)((float *)to, left);
    NAME(store_some)((float *)to, x, left);
}

/* What is written beside each other: a vector of each row. */
typedef struct NAME(strip) {
    const float *sum, *up; /* of the first row; `up` only where a gate is */
    NAME(vf) bias, up_bias;
    char *to;
    size_t stride;
} NAME(strip);

/* All but the strip and the rows are constants where whole vectors are written. */
TARGET INLINE void NAME(finish_strip)(const NAME(strip) * strip, int rows, size_t left,
                                      NAME(target) target, ce_activation activation, int exact)
{
    char *to = strip->to;
    for (int r = 0; r < rows; r++, to += strip->stride) {
        NAME(vf) x = NAME(load)(strip->sum + r * CE_PANEL) + strip->bias;
        if (activation == CE_ACTIVATION_SILU_GATE)
            x = NAME(gated)(x, x) * (NAME(load)(strip->up + r * CE_PANEL) + strip->up_bias);
        else
            x = NAME(activate)(activation, exact, x);
        NAME(put)(to, x, left, target);
    }
}

TARGET INLINE void NAME(finish_as)(const ce_linear *l, const ce_linear_output *out, size_t panel,
                                   const NAME(tile) * tile, size_t row, int rows,
                                   NAME(target) target, ce_activation activation, int exact)
{
    int gate = activation == CE_ACTIVATION_SILU_GATE;
    size_t half = CE_PANEL / 2, columns = gate ? half : CE_PANEL, first = panel * CE_PANEL;
    size_t width = gate ? l->out / 2 : l->out, size = target == NAME(TO_BF16) ? 2 : 4;
    for (size_t at = 0; at < columns && panel * columns + at < width; at += LANES) {
        size_t column = panel * columns + at, left = width - column;
        NAME(strip)
        strip = {.sum = tile->sum[0] + at,
                 .bias = NAME(load)(l->bias + first + at),
                 .to = (char *)out->rows.data + row * out->rows.stride + column * size,
                 .stride = out->rows.stride};
        if (gate) {
            strip.up = strip.sum + half;
            strip.up_bias = NAME(load)(l->bias + first + half + at);
        }
        if (left >= LANES)
            NAME(finish_strip)(&strip, rows, LANES, target, activation, exact);
        else
            NAME(finish_strip)(&strip, rows, left, target, activation, exact);
    }
}

TARGET static __attribute__((noinline)) void NAME(finish)(const ce_linear *l,
                                                          const ce_linear_output *out, size_t panel,
                                                          const NAME(tile) * tile, size_t row,
                                                          int rows)
{
#define FINISH(target, activation, exact) \
    NAME(finish_as)(l, out, panel, tile, row, rows, NAME(target), activation, exact)
#define FINISH_EITHER(activation, exact)        \
    do {                                        \
        if (out->rows.number == CE_NUMBER_BF16) \
            FINISH(TO_BF16, activation, exact); \
        else                                    \
            FINISH(TO_FP32, activation, exact); \
    } while (0)
    switch (out->activation) {
    case CE_ACTIVATION_NONE:
        if (out->add)
            FINISH(ADD_FP32, CE_ACTIVATION_NONE, 1);
        else
            FINISH_EITHER(CE_ACTIVATION_NONE, 1);
        break;
    case CE_ACTIVATION_GELU:
        if (l->number == CE_NUMBER_FP32)
            FINISH_EITHER(CE_ACTIVATION_GELU, 1);
        else
            FINISH_EITHER(CE_ACTIVATION_GELU, 0);
        break;
    case CE_ACTIVATION_GELU_TANH:
        FINISH_EITHER(CE_ACTIVATION_GELU_TANH, 1);
        break;
    case CE_ACTIVATION_SILU_GATE:
        FINISH_EITHER(CE_ACTIVATION_SILU_GATE, 1);
        break;
    }
#undef FINISH_EITHER
#undef FINISH
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

/* What the tile is going to be added to, or written over, fetched while it is summed up. */
TARGET INLINE void NAME(fetch_output)(const ce_linear_output *out, size_t panel, size_t row,
                                      size_t rows)
{
    size_t columns = out->activation == CE_ACTIVATION_SILU_GATE ? CE_PANEL / 2 : CE_PANEL;
    size_t bytes = columns * (out->rows.number == CE_NUMBER_BF16 ? 2 : 4);
    const char *to = (const char *)out->rows.data + row * out->rows.stride + panel * bytes;
    for (size_t r = 0; r < rows; r++, to += out->rows.stride) {
        __builtin_prefetch(to, 1, 3);
        if (bytes > 64)
            __builtin_prefetch(to + 64, 1, 3);
    }
}

/* Tiles as equal in height as can be, panel by panel: a panel stays in the first-level cache. */
TARGET static void NAME(linear)(const ce_linear *l, const ce_rows *in, size_t count, size_t panel,
                                size_t panel_end, const ce_linear_output *out)
{
    int int8 = l->number == CE_NUMBER_INT8;
    size_t tall = int8 ? TALL_INT8 : TALL, tiles = (count + tall - 1) / tall;
    size_t steps = steps_of(l), groups = int8 ? groups_of(l) : 0;
    size_t panel_bytes = steps * CE_PANEL * 4;
    NAME(tile) tile;
    for (; panel < panel_end; panel++) {
        NAME(reads)
        reads = {.stride = in->stride,
                 .panel = (const char *)l->panels + panel * panel_bytes,
                 .steps = steps,
                 .next_step = (4 * CE_PANEL + tiles - 1) / tiles,
                 .group = l->group / 4,
                 .groups = groups};
        if (int8) {
            reads.scales = l->scales + panel * groups * CE_PANEL;
            reads.sums = l->sums + panel * groups * CE_PANEL;
        }
        for (size_t i = 0; i < tiles; i++) {
            size_t row = count * i / tiles, rows = count * (i + 1) / tiles - row;
            reads.rows = (const char *)in->data + row * in->stride;
            reads.next = reads.panel + panel_bytes + panel_bytes * i / tiles;
            NAME(fetch_output)(out, panel, row, rows);
            if (int8)
                reads.row_scales = in->scales + row * groups;
            if (l->number == CE_NUMBER_FP32)
                NAME(tile_fp32)(&reads, &tile, (int)rows);
            else if (l->number == CE_NUMBER_BF16)
                NAME(tile_bf16)(&reads, &tile, (int)rows);
            else
                NAME(tile_int8)(&reads, &tile, (int)rows);
            NAME(finish)(l, out, panel, &tile, row, (int)rows);
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
