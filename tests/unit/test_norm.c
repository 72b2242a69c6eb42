#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kernels/norm.h"

#include <math.h>

static uint32_t seed = 1;

static float uniform(void) /* -1 .. 1 */
{
    seed = seed * 1664525 + 1013904223;
    return (float)(seed >> 8) * 0x1p-23f - 1.0f;
}

enum { ROWS = 3, WIDEST = 3073, GUARD = 0xa5, GROUP = 64 };

static const size_t widths[] = {384, 768, 1000, 1024, 3072, WIDEST};

/* The first of them are 1 .. 70. */
static size_t width_of(size_t number)
{
    return number < 70 ? number + 1 : widths[number - 70];
}

#define WIDTHS (70 + sizeof widths / sizeof *widths)

static ce_rows rows_new(ce_number number, size_t width)
{
    ce_rows rows = {.number = number,
                    .stride = ce_rows_stride(number, width),
                    .group = GROUP,
                    .groups = ce_groups(width, GROUP)};
    rows.data = ce_aligned_alloc(64, rows.stride * ROWS);
    rows.scales = ce_malloc(ROWS * rows.groups * sizeof *rows.scales);
    assert_true(rows.data && rows.scales);
    memset(rows.data, GUARD, rows.stride * ROWS);
    return rows;
}

static void rows_free(ce_rows *rows)
{
    ce_free(rows->data);
    ce_free(rows->scales);
}

static void *row_of(const ce_rows *rows, size_t row)
{
    return (char *)rows->data + row * rows->stride;
}

static void rows_fill(const ce_rows *rows, size_t width, float scale, float offset)
{
    for (size_t row = 0; row < ROWS; row++)
        for (size_t i = 0; i < width; i++)
            ((float *)row_of(rows, row))[i] = uniform() * scale + offset;
}

static float gain[WIDEST], bias[WIDEST], smooth[WIDEST];
static double expected[WIDEST], tolerance[WIDEST];

static void expect(const ce_norm *norm, const float *x)
{
    double mean = 0, square = 0, most = 0;
    for (size_t i = 0; i < norm->width && norm->centred; i++)
        mean += x[i] / (double)norm->width;
    for (size_t i = 0; i < norm->width; i++) {
        square += (x[i] - mean) * (x[i] - mean) / (double)norm->width;
        most = fmax(most, fabs((double)x[i]));
    }
    double factor = 1 / sqrt(square + (double)norm->eps);
    for (size_t i = 0; i < norm->width; i++) {
        double shift = norm->bias ? norm->bias[i] : 0;
        expected[i] = (x[i] - mean) * factor * norm->gain[i] + shift;
        /* The mean is known to one part in 2^24 of the largest element, and so is the difference to it. */
        double slack =
            most * factor * (norm->centred ? 3e-7 : 0) + fabs(x[i] - mean) * factor * 1e-6;
        tolerance[i] = slack * fabs((double)norm->gain[i]) + fabs(expected[i]) * 2e-7 +
                       fabs(shift) * 2e-7 + 1e-42;
    }
}

static float widened(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double element(const ce_rows *rows, size_t row, size_t i)
{
    const void *data = row_of(rows, row);
    if (rows->number == CE_NUMBER_FP32)
        return ((const float *)data)[i];
    if (rows->number == CE_NUMBER_BF16)
        return widened(((const uint16_t *)data)[i]);
    ce_row_scale s = rows->scales[row * rows->groups + i / GROUP];
    return (double)s.scale * (((const uint8_t *)data)[i] - (double)s.zero);
}

/* What rounding to the number adds to the tolerance. */
static double rounding(const ce_rows *rows, size_t row, size_t i, double value)
{
    if (rows->number == CE_NUMBER_FP32)
        return 0;
    return rows->number == CE_NUMBER_BF16
               ? fabs(value) / 255
               : (double)rows->scales[row * rows->groups + i / GROUP].scale * 1.001;
}

/* `smoothed`: what the next linear layer reads. */
static void check(const ce_norm *norm, const ce_rows *in, const ce_rows *out, int smoothed)
{
    static const size_t sizes[] = {4, 2, 1};
    for (size_t row = 0; row < ROWS; row++) {
        expect(norm, row_of(in, row));
        for (size_t i = 0; i < norm->width; i++) {
            double value = element(out, row, i),
                   factor = smoothed && norm->smooth ? (double)norm->smooth[i] : 1;
            expected[i] *= factor;
            tolerance[i] = tolerance[i] * factor + fabs(expected[i]) * 1e-7;
            if (!(fabs(value - expected[i]) <= tolerance[i] + rounding(out, row, i, expected[i])))
                fail_msg("width %zu element %zu number %d: %.9g is not %.9g", norm->width, i,
                         (int)out->number, value, expected[i]);
        }
        size_t size = sizes[out->number], end = norm->width * size;
        size_t padded = out->number == CE_NUMBER_FP32 ? end : (norm->width + 3) / 4 * 4 * size;
        const unsigned char *bytes = row_of(out, row);
        for (size_t i = end; i < out->stride; i++)
            assert_int_equal(bytes[i], i < padded ? 0 : GUARD);
    }
}

static void run_and_check(const ce_norm *norm, const ce_rows *in, ce_isa isa)
{
    ce_rows out = rows_new(CE_NUMBER_FP32, norm->width);
    ce_norm_rows(norm, in, ROWS, &out, NULL, isa);
    check(norm, in, &out, 0);
    for (int number = CE_NUMBER_FP32; number <= CE_NUMBER_INT8; number++) {
        ce_rows low = rows_new((ce_number)number, norm->width);
        ce_rows alone = rows_new((ce_number)number, norm->width);
        ce_rows again = rows_new(CE_NUMBER_FP32, norm->width);
        ce_norm_rows(norm, in, ROWS, NULL, &alone, isa);
        check(norm, in, &alone, 1);

        /* Both at once, in place: the same bits. */
        memcpy(again.data, in->data, in->stride * ROWS);
        ce_norm_rows(norm, &again, ROWS, &again, &low, isa);
        for (size_t row = 0; row < ROWS; row++)
            assert_memory_equal(row_of(&again, row), row_of(&out, row),
                                norm->width * sizeof(float));
        assert_memory_equal(low.data, alone.data, low.stride * ROWS);
        if (number == CE_NUMBER_INT8)
            assert_memory_equal(low.scales, alone.scales, ROWS * low.groups * sizeof *low.scales);
        rows_free(&low);
        rows_free(&alone);
        rows_free(&again);
    }
    rows_free(&out);
}

static void test_every_width(void **state)
{
    (void)state;
    for (size_t i = 0; i < WIDEST; i++) {
        gain[i] = uniform() + 1.5f;
        bias[i] = uniform();
        smooth[i] = uniform() + 1.5f;
    }
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (size_t w = 0; w < WIDTHS; w++) {
            for (int kind = 0; kind < 8; kind++) {
                ce_norm norm = {kind & 1,
                                width_of(w),
                                1e-5f,
                                gain,
                                kind & 2 ? bias : NULL,
                                kind & 4 ? smooth : NULL};
                ce_rows in = rows_new(CE_NUMBER_FP32, norm.width);
                rows_fill(&in, norm.width, 2, 0.5f);
                run_and_check(&norm, &in, (ce_isa)isa);
                rows_free(&in);
            }
        }
    }
}

/* A mean far from zero takes the small differences with it if squares are summed first. */
static void test_a_mean_far_from_zero(void **state)
{
    (void)state;
    ce_norm norm = {1, 384, 1e-12f, gain, bias, NULL};
    ce_rows in = rows_new(CE_NUMBER_FP32, 384);
    rows_fill(&in, 384, 1, 1e4f);
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++)
        run_and_check(&norm, &in, (ce_isa)isa);
    rows_free(&in);
}

static void test_extreme_scales(void **state)
{
    (void)state;
    static const float scales[] = {0, 1e-40f, 1e-20f, 1e-10f, 1e10f, 1e18f};
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
            for (int centred = 0; centred < 2; centred++) {
                ce_norm norm = {centred, 384, 1e-12f, gain, bias, NULL};
                ce_rows in = rows_new(CE_NUMBER_FP32, 384);
                rows_fill(&in, 384, scales[s], 0);
                run_and_check(&norm, &in, (ce_isa)isa);
                rows_free(&in);
            }
        }
    }
}

static void test_what_is_not_finite_shows(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (size_t width = 1; width <= 70; width++) {
            for (int kind = 0; kind < 6; kind++) {
                ce_norm norm = {kind % 2, width, 1e-5f, gain, bias, NULL};
                ce_rows in = rows_new(CE_NUMBER_FP32, width);
                ce_rows out = rows_new(CE_NUMBER_FP32, width);
                ce_rows low = rows_new(CE_NUMBER_INT8, width);
                rows_fill(&in, width, 1, 0);
                size_t at = seed % width;
                ((float *)row_of(&in, 1))[at] = bad[kind / 2];
                ce_norm_rows(&norm, &in, ROWS, &out, &low, (ce_isa)isa);
                for (size_t row = 0; row < ROWS; row++) {
                    assert_int_equal(!isfinite(((float *)row_of(&out, row))[at]), row == 1);
                    assert_int_equal(!isfinite(low.scales[row * low.groups + at / GROUP].scale),
                                     row == 1);
                }
                ce_norm_rows(&norm, &in, ROWS, NULL, &low, (ce_isa)isa);
                assert_false(isfinite(low.scales[low.groups + at / GROUP].scale));
                rows_free(&in);
                rows_free(&out);
                rows_free(&low);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_width),
        cmocka_unit_test(test_a_mean_far_from_zero),
        cmocka_unit_test(test_extreme_scales),
        cmocka_unit_test(test_what_is_not_finite_shows),
    };
    return cmocka_run_group_tests_name("norm", tests, NULL, NULL);
}
