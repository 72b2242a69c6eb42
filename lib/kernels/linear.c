#include "kernels/linear.h"

#include "kernels/simd.h"

#include <float.h>
#include <math.h>

/* Inputs whose products with a column are summed in one step. */
static size_t step_size(ce_number number)
{
    return number == CE_NUMBER_FP32 ? 1 : number == CE_NUMBER_BF16 ? 2 : 4;
}

/* All of them take four bytes. */
static size_t steps(ce_number number, size_t in)
{
    size_t size = step_size(number);
    return (in + size - 1) / size;
}

static size_t steps_of(const ce_linear *linear)
{
    return steps(linear->number, linear->in);
}

static size_t groups_of(const ce_linear *linear)
{
    return ce_groups(linear->in, linear->group);
}

/* ---- Layout ------------------------------------------------------------------------------- */

enum { VECTOR_BYTES = CE_PANEL * 4 }; /* of a bias, scale or sum for each column of a panel */

static size_t panels_bytes(ce_number number, size_t in, size_t out)
{
    return ce_linear_panels(out) * steps(number, in) * CE_PANEL * 4;
}

size_t ce_linear_bytes(ce_number number, size_t in, size_t out, size_t group)
{
    size_t vectors = number == CE_NUMBER_INT8 ? 1 + 2 * ce_groups(in, group) : 1;
    return panels_bytes(number, in, out) + ce_linear_panels(out) * VECTOR_BYTES * vectors;
}

void ce_linear_place(ce_linear *linear, ce_number number, size_t in, size_t out, size_t group,
                     const void *memory)
{
    size_t columns = ce_linear_panels(out) * CE_PANEL;
    const float *vectors = (const float *)((const char *)memory + panels_bytes(number, in, out));
    *linear = (ce_linear){
        .number = number, .in = in, .out = out, .group = group, .panels = memory, .bias = vectors};
    if (number == CE_NUMBER_INT8) {
        linear->scales = vectors + columns;
        linear->sums = linear->scales + columns * groups_of(linear);
    }
}

static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value))
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* What is not finite makes its group so. */
static float group_scale(const float *weights, size_t count)
{
    float most = 0;
    for (size_t k = 0; k < count; k++) {
        float magnitude = fabsf(weights[k]);
        if (!(magnitude <= most))
            most = magnitude;
        if (!isfinite(magnitude))
            return NAN;
    }
    return most > 0 ? fmaxf(most / 127, FLT_MIN) : 1;
}

/* Behind the last input come zeros. */
static void pack_floats(const ce_linear *l, char *to, const float *weights)
{
    size_t size = step_size(l->number);
    for (size_t k = 0; k < steps_of(l) * size; k++) {
        size_t at = k / size * CE_PANEL * size + k % size;
        float value = weights && k < l->in ? weights[k] : 0;
        if (l->number == CE_NUMBER_FP32)
            ((float *)to)[at] = value;
        else
            ((uint16_t *)to)[at] = to_bf16(value);
    }
}

/* A group of a column; `to` is where its first step lies. */
static void pack_group(const float *weights, size_t count, int8_t *to, float *scale, float *sum)
{
    *scale = weights ? group_scale(weights, count) : 1;
    *sum = 0;
    for (size_t k = 0; k < steps(CE_NUMBER_INT8, count) * 4; k++) {
        int usable = weights && k < count && isfinite(*scale);
        float whole = usable ? nearbyintf(weights[k] / *scale) : 0;
        to[k / 4 * CE_PANEL * 4 + k % 4] = (int8_t)whole;
        *sum += whole;
    }
}

static void pack_integers(const ce_linear *l, size_t panel, size_t c, char *to,
                          const float *weights)
{
    size_t groups = groups_of(l);
    for (size_t g = 0; g < groups; g++) {
        size_t first = g * l->group, left = l->in - first;
        size_t at = (panel * groups + g) * CE_PANEL + c;
        pack_group(weights ? weights + first : NULL, left < l->group ? left : l->group,
                   (int8_t *)to + first * CE_PANEL, (float *)&l->scales[at], (float *)&l->sums[at]);
    }
}

void ce_linear_pack(const ce_linear *l, size_t panel, const float *weights, size_t stride,
                    const float *bias, size_t columns)
{
    char *to = (char *)l->panels + panel * steps_of(l) * CE_PANEL * 4;
    for (size_t c = 0; c < CE_PANEL; c++) {
        const float *column = c < columns ? weights + c * stride : NULL;
        ((float *)l->bias)[panel * CE_PANEL + c] = column && bias ? bias[c] : 0;
        if (l->number == CE_NUMBER_INT8)
            pack_integers(l, panel, c, to + c * 4, column);
        else
            pack_floats(l, to + c * 4, column);
    }
}

/* ---- Kernels ------------------------------------------------------------------------------ */

#define SUFFIX _generic
#define TARGET
#define LANES 4
#define HAS_BF16 0
#define HAS_VNNI 0
#define TALL 1
#define TALL_INT8 1
#include "kernels/vectors.h"

#include "kernels/linear_block.h"

#if defined(__x86_64__)
#define SUFFIX _avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define HAS_BF16 0
#define HAS_VNNI 0
#define TALL 3
#define TALL_INT8 2
#include "kernels/vectors.h"

#include "kernels/linear_block.h"

#include "kernels/gelu_pieces.h"

#define AVX512 "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"

#define SUFFIX _avx512
#define TARGET __attribute__((target(AVX512)))
#define LANES 16
#define HAS_BF16 0
#define HAS_VNNI 0
#define TALL 12
#define TALL_INT8 8
#include "kernels/vectors.h"

#include "kernels/linear_block.h"

#define SUFFIX _avx512_vnni
#define TARGET __attribute__((target("avx512vnni," AVX512)))
#define LANES 16
#define HAS_BF16 0
#define HAS_VNNI 1
#define TALL 12
#define TALL_INT8 8
#include "kernels/vectors.h"

#include "kernels/linear_block.h"

#define SUFFIX _avx512_bf16
#define TARGET __attribute__((target("avx512bf16,avx512vnni," AVX512)))
#define LANES 16
#define HAS_BF16 1
#define HAS_VNNI 1
#define TALL 12
#define TALL_INT8 8
#include "kernels/vectors.h"

#include "kernels/linear_block.h"
#endif

typedef void linear_fn(const ce_linear *linear, const ce_rows *in, size_t count, size_t panel,
                       size_t panel_end, const ce_linear_output *out);

void ce_linear_run(const ce_linear *linear, const ce_rows *in, size_t count, size_t panel,
                   size_t panel_end, const ce_linear_output *out, ce_isa isa)
{
    if (count == 0)
        return;
#if defined(__x86_64__)
    static linear_fn *const variants[] = {linear_generic, linear_avx2, linear_avx512,
                                          linear_avx512_vnni, linear_avx512_bf16};
    variants[isa](linear, in, count, panel, panel_end, out);
#else
    (void)isa;
    linear_generic(linear, in, count, panel, panel_end, out);
#endif
}
