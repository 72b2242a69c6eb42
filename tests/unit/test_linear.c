#include "cmocka_all.h"

#include "base/mem.h"
#include "kernels/linear.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Linear layers against sums in double precision of the very numbers that are multiplied. */

enum { WIDTH = 160, ROWS = 80, GUARD = 0x5A, GROUP = 64 };

static uint32_t seed = 1;

static float next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (1 << 23) - 1;
}

static float from_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* ---- A layer and its rows ----------------------------------------------------------------- */

typedef struct layer {
    ce_linear linear;
    void *memory;
    float *weights, *bias; /* [out, in], [out] */
    ce_rows in;
    size_t count;
    double *sums, *bounds; /* [count, out]: x W^T + b, and what rounding may do to it */
} layer;

/* Which row of weights is column `column` of a panel; SIZE_MAX: none. */
static size_t row_of(size_t out, int gate, size_t panel, size_t column)
{
    size_t row = panel * CE_PANEL + column, half = out / 2;
    if (!gate)
        return row < out ? row : SIZE_MAX;
    size_t i = panel * 16 + column % 16;
    return i >= half ? SIZE_MAX : column < 16 ? i : half + i;
}

static void pack(layer *l, int gate)
{
    size_t in = l->linear.in, out = l->linear.out;
    float *rows = malloc(CE_PANEL * in * sizeof *rows), bias[CE_PANEL];
    for (size_t panel = 0; panel < ce_linear_panels(out); panel++) {
        size_t columns = 0;
        for (size_t c = 0; c < CE_PANEL; c++) {
            size_t row = row_of(out, gate, panel, c);
            bias[c] = 0;
            memset(rows + c * in, 0, in * sizeof *rows);
            if (row == SIZE_MAX)
                continue;
            memcpy(rows + c * in, l->weights + row * in, in * sizeof *rows);
            bias[c] = l->bias[row];
            columns = c + 1;
        }
        ce_linear_pack(&l->linear, panel, rows, in, bias, columns);
    }
    free(rows);
}

static void fill_rows(layer *l)
{
    size_t in = l->linear.in;
    memset(l->in.data, 0, l->count * l->in.stride);
    for (size_t r = 0; r < l->count; r++) {
        char *row = (char *)l->in.data + r * l->in.stride;
        for (size_t k = 0; k < in; k++) {
            if (l->linear.number == CE_NUMBER_FP32)
                ((float *)row)[k] = next_random();
            else if (l->linear.number == CE_NUMBER_BF16)
                ((uint16_t *)row)[k] = to_bf16(next_random());
            else
                ((uint8_t *)row)[k] = (uint8_t)(127.5f * (next_random() + 1));
        }
        if (l->linear.number == CE_NUMBER_INT8)
            for (size_t g = 0; g < l->in.groups; g++)
                l->in.scales[r * l->in.groups + g] = (ce_row_scale){
                    0.01f + 0.001f * (float)r + 0.02f * (float)g, (float)((r + 17 * g) % 200)};
    }
}

static double input(const layer *l, size_t row, size_t k)
{
    const char *at = (const char *)l->in.data + row * l->in.stride;
    if (l->linear.number == CE_NUMBER_FP32)
        return ((const float *)at)[k];
    if (l->linear.number == CE_NUMBER_BF16)
        return from_bf16(((const uint16_t *)at)[k]);
    ce_row_scale scale = l->in.scales[row * l->in.groups + k / l->in.group];
    return (((const uint8_t *)at)[k] - (double)scale.zero) * scale.scale;
}

/* A row of weights as packing keeps it. */
static void kept_weights(const layer *l, size_t row, double *kept)
{
    const float *weights = l->weights + row * l->linear.in;
    size_t group = l->linear.group;
    for (size_t k = 0; k < l->linear.in; k++) {
        float most = 0;
        for (size_t i = k / group * group; i < l->linear.in && i < (k / group + 1) * group; i++)
            most = fmaxf(most, fabsf(weights[i]));
        float scale = most > 0 ? most / 127 : 1;
        kept[k] = l->linear.number == CE_NUMBER_FP32 ? weights[k]
                  : l->linear.number == CE_NUMBER_BF16
                      ? from_bf16(to_bf16(weights[k]))
                      : (double)nearbyintf(weights[k] / scale) * scale;
    }
}

static void sum_up(layer *l)
{
    size_t in = l->linear.in, out = l->linear.out;
    double *kept = malloc(in * sizeof *kept);
    for (size_t c = 0; c < out; c++) {
        kept_weights(l, c, kept);
        for (size_t r = 0; r < l->count; r++) {
            double total = l->bias[c], magnitude = fabs(total);
            for (size_t k = 0; k < in; k++) {
                double product = input(l, r, k) * kept[k];
                total += product;
                magnitude += fabs(product);
            }
            l->sums[r * out + c] = total;
            l->bounds[r * out + c] = magnitude * 1e-6;
        }
    }
    free(kept);
}

static layer make(ce_number number, size_t in, size_t out, size_t count, int gate)
{
    layer l = {.count = count};
    l.memory = ce_aligned_alloc(64, ce_linear_bytes(number, in, out, GROUP));
    ce_linear_place(&l.linear, number, in, out, GROUP, l.memory);
    l.weights = malloc(out * in * sizeof(float));
    l.bias = malloc(out * sizeof(float));
    for (size_t i = 0; i < out * in; i++)
        l.weights[i] = next_random();
    for (size_t i = 0; i < out; i++)
        l.bias[i] = next_random();
    pack(&l, gate);
    l.in = (ce_rows){.number = number,
                     .stride = ce_rows_stride(number, in),
                     .group = GROUP,
                     .groups = ce_groups(in, GROUP)};
    l.in.data = ce_aligned_alloc(64, count * l.in.stride);
    l.in.scales = calloc(count * l.in.groups, sizeof *l.in.scales);
    fill_rows(&l);
    l.sums = malloc(count * out * sizeof(double));
    l.bounds = malloc(count * out * sizeof(double));
    sum_up(&l);
    return l;
}

static void drop(layer *l)
{
    ce_free(l->memory);
    ce_free(l->in.data);
    free(l->in.scales);
    free(l->weights);
    free(l->bias);
    free(l->sums);
    free(l->bounds);
}

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x * 0.70710678118654752));
}

static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}

static double expected(const layer *l, const ce_linear_output *out, size_t row, size_t column,
                       double *bound)
{
    size_t at = row * l->linear.out + column;
    double x = l->sums[at];
    *bound = l->bounds[at];
    static const double gelu_errors[] = {3e-7, 5e-5, 5e-5}; /* by ce_number */
    switch (out->activation) {
    case CE_ACTIVATION_NONE:
        return x;
    case CE_ACTIVATION_GELU:
        *bound = 1.2 * *bound + gelu_errors[l->linear.number] * fmax(1, fabs(x));
        return gelu(x);
    case CE_ACTIVATION_GELU_TANH:
        *bound = 1.2 * *bound + 1e-6 * fmax(1, fabs(x));
        return gelu_tanh(x);
    case CE_ACTIVATION_SILU_GATE: {
        double up = l->sums[at + l->linear.out / 2], up_bound = l->bounds[at + l->linear.out / 2];
        double silu = x / (1 + exp(-x));
        *bound = 1.2 * *bound * fabs(up) + up_bound * fabs(silu) + 1e-6 * fabs(silu * up);
        return silu * up;
    }
    }
    return 0;
}

/* ---- Comparing ---------------------------------------------------------------------------- */

static _Alignas(64) char memory[ROWS * (WIDTH * 4 + 128)];

static double read_out(const ce_linear_output *out, size_t row, size_t column)
{
    const char *at = (const char *)out->rows.data + row * out->rows.stride;
    return out->rows.number == CE_NUMBER_FP32 ? ((const float *)at)[column]
                                              : from_bf16(((const uint16_t *)at)[column]);
}

static void check_guards(const ce_linear_output *out, size_t count, size_t width)
{
    size_t element = out->rows.number == CE_NUMBER_FP32 ? 4 : 2;
    size_t padded = element == 2 ? (width + 3) / 4 * 4 : width;
    for (size_t r = 0; r < count; r++) {
        const unsigned char *row = (const unsigned char *)out->rows.data + r * out->rows.stride;
        for (size_t i = width * element; i < padded * element; i++)
            assert_int_equal(row[i], 0);
        for (size_t i = padded * element; i < out->rows.stride; i++)
            assert_int_equal(row[i], GUARD);
    }
    assert_int_equal(((unsigned char *)out->rows.data)[count * out->rows.stride], GUARD);
}

static void check(const layer *l, ce_linear_output out, ce_isa isa)
{
    size_t width = out.activation == CE_ACTIVATION_SILU_GATE ? l->linear.out / 2 : l->linear.out;
    out.rows.data = memory;
    out.rows.stride = ce_rows_stride(out.rows.number, width);
    assert_true(l->count * out.rows.stride < sizeof memory);
    memset(memory, GUARD, sizeof memory);
    if (out.add)
        for (size_t r = 0; r < l->count; r++)
            for (size_t c = 0; c < width; c++)
                ((float *)(memory + r * out.rows.stride))[c] = (float)(c % 7) - 3;
    ce_linear_run(&l->linear, &l->in, l->count, 0, ce_linear_panels(l->linear.out), &out, isa);
    check_guards(&out, l->count, width);
    for (size_t r = 0; r < l->count; r++) {
        for (size_t c = 0; c < width; c++) {
            double bound, value = expected(l, &out, r, c, &bound);
            if (out.add)
                value += (double)(c % 7) - 3;
            if (out.rows.number == CE_NUMBER_BF16)
                bound += fabs(value) / 256;
            bound += 1e-6;
            double found = read_out(&out, r, c);
            if (!(fabs(found - value) <= bound))
                fail_msg(
                    "%s number %d %zux%zu rows %zu activation %d: [%zu, %zu] is %.9g, expected "
                    "%.9g within %g",
                    ce_isa_name(isa), (int)l->linear.number, l->linear.in, l->linear.out, l->count,
                    (int)out.activation, r, c, found, value, bound);
        }
    }
}

static void check_all_outputs(const layer *l, int gate)
{
    static const ce_number numbers[] = {CE_NUMBER_FP32, CE_NUMBER_BF16};
    for (int isa = 0; isa <= (int)ce_isa_best(); isa++) {
        for (int n = 0; n < 2; n++) {
            ce_linear_output out = {.rows.number = numbers[n]};
            if (gate) {
                out.activation = CE_ACTIVATION_SILU_GATE;
                check(l, out, (ce_isa)isa);
            }
            for (int a = 0; a < 3 && !gate; a++) {
                out.activation = (ce_activation)a;
                check(l, out, (ce_isa)isa);
            }
        }
        if (!gate)
            check(l, (ce_linear_output){.add = 1}, (ce_isa)isa);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    for (int number = 0; number < 3; number++) {
        for (size_t i = 1; i <= 70; i++) {
            size_t in = i, out = 1 + (i * 29) % 70, count = 1 + (i * 13) % 27;
            layer l = make((ce_number)number, in, out, count, 0);
            check_all_outputs(&l, 0);
            drop(&l);
            l = make((ce_number)number, in, 2 * out, count, 1);
            check_all_outputs(&l, 1);
            drop(&l);
        }
        layer l = make((ce_number)number, 384, 96, 60, 0);
        check_all_outputs(&l, 0);
        drop(&l);
    }
}

/* A row's bits do not depend on what is computed beside it. */
static void test_rows_stand_alone(void **state)
{
    (void)state;
    static _Alignas(64) char one[ROWS * (WIDTH * 4 + 128)];
    for (int number = 0; number < 3; number++) {
        layer l = make((ce_number)number, 150, 100, 31, 0);
        for (int isa = 0; isa <= (int)ce_isa_best(); isa++) {
            ce_linear_output out = {.rows = {.number = CE_NUMBER_FP32,
                                             .data = memory,
                                             .stride = ce_rows_stride(CE_NUMBER_FP32, 100)},
                                    .activation = CE_ACTIVATION_GELU};
            ce_linear_run(&l.linear, &l.in, l.count, 0, 4, &out, (ce_isa)isa);
            for (size_t r = 0; r < l.count; r++) {
                for (size_t count = 1; r + count <= l.count; count += 1 + count / 4) {
                    ce_rows in = ce_rows_from(&l.in, r);
                    ce_linear_output part = out;
                    part.rows.data = one;
                    ce_linear_run(&l.linear, &in, count, 0, 1, &part, (ce_isa)isa);
                    ce_linear_run(&l.linear, &in, count, 1, 4, &part, (ce_isa)isa);
                    for (size_t i = 0; i < count; i++)
                        assert_memory_equal(one + i * out.rows.stride,
                                            memory + (r + i) * out.rows.stride, 400);
                }
            }
        }
        drop(&l);
    }
}

static float run_one(const layer *l, ce_activation activation, ce_isa isa)
{
    ce_linear_output out = {.rows = {.number = CE_NUMBER_FP32, .data = memory, .stride = 192},
                            .activation = activation};
    ce_linear_run(&l->linear, &l->in, l->count, 0, 1, &out, isa);
    return ((float *)memory)[0];
}

/* The largest bytes over many inputs: no sum saturates. */
static void test_int8_extremes(void **state)
{
    (void)state;
    layer l = make(CE_NUMBER_INT8, 8192, 1, 1, 0);
    memset(l.in.data, 255, l.in.stride);
    for (size_t g = 0; g < l.in.groups; g++)
        l.in.scales[g] = (ce_row_scale){1, 0};
    for (int sign = -1; sign <= 1; sign += 2) {
        for (size_t k = 0; k < 8192; k++)
            l.weights[k] = 127.0f * (float)sign;
        l.bias[0] = 0;
        pack(&l, 0);
        for (int isa = 0; isa <= (int)ce_isa_best(); isa++)
            assert_true(run_one(&l, CE_ACTIVATION_NONE, (ce_isa)isa) ==
                        (float)(sign * 255 * 127 * 8192));
    }
    drop(&l);
}

/* Of one input, weight 1: the activation by itself. */
static void test_activations_far_out(void **state)
{
    (void)state;
    const float values[] = {0,     -0.0f, 1e-30f, -1e-30f,  1e-42f,    5,      -5,    9,
                            -9,    20,    -20,    88,       -88,       1000,   -1000, 1e6f,
                            -1e6f, 1e20f, -1e20f, INFINITY, -INFINITY, FLT_MAX};
    for (int number = 0; number < 2; number++) {
        layer l = make((ce_number)number, 1, 1, 1, 0);
        l.weights[0] = 1;
        l.bias[0] = 0;
        pack(&l, 0);
        for (int isa = 0; isa <= (int)ce_isa_best(); isa++) {
            for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
                for (int a = CE_ACTIVATION_GELU; a <= CE_ACTIVATION_GELU_TANH; a++) {
                    uint16_t half = to_bf16(values[i]);
                    float x = number ? from_bf16(half) : values[i];
                    memcpy(l.in.data, number ? (void *)&half : (void *)&x, number ? 2 : 4);
                    float found = run_one(&l, (ce_activation)a, (ce_isa)isa);
                    double value = x < 0 ? fmin(0, gelu(fmax(x, -40))) : x < 40 ? gelu(x) : x;
                    double bound = isinf(value) ? 0 : 5e-4 + 1e-5 * fabs(value);
                    if (found != value && !(fabs(found - value) <= bound))
                        fail_msg("%s number %d activation %d of %g is %g", ce_isa_name((ce_isa)isa),
                                 number, a, (double)x, (double)found);
                }
            }
            for (int a = 0; a < 3; a++) {
                float nan = NAN;
                uint16_t half = 0x7FC0;
                memcpy(l.in.data, number ? (void *)&half : (void *)&nan, number ? 2 : 4);
                assert_true(isnan(run_one(&l, (ce_activation)a, (ce_isa)isa)));
            }
        }
        drop(&l);
    }
}

/* No finite weights become what is no number, and no others pass for numbers. */
static void test_weights_far_out(void **state)
{
    (void)state;
    const float values[] = {1e-44f, FLT_MIN, 1e30f, NAN, INFINITY};
    for (int number = 0; number < 3; number++) {
        layer l = make((ce_number)number, 4, 1, 1, 0);
        l.bias[0] = 1;
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            for (size_t k = 0; k < 4; k++)
                l.weights[k] = k == 1 ? values[i] : 0;
            pack(&l, 0);
            for (int isa = 0; isa <= (int)ce_isa_best(); isa++) {
                float found = run_one(&l, CE_ACTIVATION_NONE, (ce_isa)isa);
                if ((isfinite(found) != 0) != (isfinite(values[i]) != 0))
                    fail_msg("%s number %d: weight %g gives %g", ce_isa_name((ce_isa)isa), number,
                             (double)values[i], (double)found);
            }
        }
        drop(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),          cmocka_unit_test(test_rows_stand_alone),
        cmocka_unit_test(test_int8_extremes),   cmocka_unit_test(test_activations_far_out),
        cmocka_unit_test(test_weights_far_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
