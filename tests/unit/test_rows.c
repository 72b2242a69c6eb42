#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kernels/rows.h"

#include <float.h>
#include <math.h>

static uint32_t seed = 1;

static float uniform(void) /* -1 .. 1 */
{
    seed = seed * 1664525 + 1013904223;
    return (float)(seed >> 8) * 0x1p-23f - 1.0f;
}

static const size_t widths[] = {384, 768, 1000, 1024, 3072, 3073};

/* The first of them are 1 .. 70. */
static size_t width_of(size_t number)
{
    return number < 70 ? number + 1 : widths[number - 70];
}

#define WIDTHS (70 + sizeof widths / sizeof *widths)

enum { ROWS = 3, GUARD = 0xa5, GROUP = 64 };

static ce_rows rows_new(ce_number number, size_t width)
{
    ce_rows rows = {.number = number, .stride = ce_rows_stride(number, width)};
    rows.data = ce_aligned_alloc(64, rows.stride * ROWS);
    assert_non_null(rows.data);
    memset(rows.data, GUARD, rows.stride * ROWS);
    if (number == CE_NUMBER_INT8) {
        rows.group = GROUP;
        rows.groups = ce_groups(width, GROUP);
        rows.scales = ce_malloc(ROWS * rows.groups * sizeof *rows.scales);
        assert_non_null(rows.scales);
    }
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

/* Zeros up to the next multiple of 4, and nothing written behind. */
static void check_rest(const ce_rows *rows, size_t width)
{
    size_t size = rows->number == CE_NUMBER_BF16 ? 2 : 1, padded = (width + 3) / 4 * 4;
    for (size_t row = 0; row < ROWS; row++) {
        const unsigned char *bytes = row_of(rows, row);
        for (size_t i = width * size; i < rows->stride; i++)
            assert_int_equal(bytes[i], i < padded * size ? 0 : GUARD);
    }
}

/* By another way than the kernel's: the nearest of two neighbours, the even one of two equally near. */
static uint16_t bf16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rest = bits & 0xffff, upper = bits >> 16;
    return (uint16_t)(rest > 0x8000 || (rest == 0x8000 && upper % 2) ? upper + 1 : upper);
}

static float widened(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A row of both signs, one of numbers above zero, one of numbers below. */
static ce_rows random_rows(size_t width, float scale)
{
    ce_rows rows = rows_new(CE_NUMBER_FP32, width);
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < width; i++) {
            float value = uniform() * scale;
            const float values[ROWS] = {value, fabsf(value), -fabsf(value)};
            ((float *)row_of(&rows, row))[i] = values[row];
        }
    }
    return rows;
}

static void test_strides_are_odd_multiples_of_a_line(void **state)
{
    (void)state;
    for (int number = CE_NUMBER_FP32; number <= CE_NUMBER_INT8; number++) {
        static const size_t sizes[] = {4, 2, 1};
        for (size_t width = 1; width < 2000; width++) {
            size_t stride = ce_rows_stride((ce_number)number, width);
            assert_int_equal(stride % 128, 64);
            assert_true(stride >= width * sizes[number] && stride < width * sizes[number] + 128);
        }
    }
}

static void test_bf16(void **state)
{
    (void)state;
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (size_t w = 0; w < WIDTHS; w++) {
            size_t width = width_of(w);
            ce_rows from = random_rows(width, 1), to = rows_new(CE_NUMBER_BF16, width);
            /* Halfway between two, both ways; and what rounds up to another power of two. */
            ((float *)from.data)[0] = 0x1.01p0f;
            ((float *)from.data)[width / 2] = 0x1.03p0f;
            ((float *)from.data)[width - 1] = 0x1.fffffep3f;
            ce_rows_convert(&from, ROWS, width, &to, (ce_isa)isa);
            for (size_t row = 0; row < ROWS; row++) {
                const float *x = row_of(&from, row);
                const uint16_t *y = row_of(&to, row);
                for (size_t i = 0; i < width; i++)
                    assert_int_equal(y[i], bf16_of(x[i]));
            }
            check_rest(&to, width);
            rows_free(&from);
            rows_free(&to);
        }
    }
}

/* Half a step away at most, and a little for the arithmetic; the ends of the range are hit. */
static void check_group(const float *x, const uint8_t *q, size_t count, ce_row_scale s)
{
    double low = 0, high = 0;
    for (size_t i = 0; i < count; i++) {
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
    }
    double step = fmax((high - low) / 255, 1e-33);
    assert_true(fabs(s.scale - step) <= step * 1e-6);
    assert_true(s.zero >= 0 && s.zero <= 255 && s.zero == floorf(s.zero));
    for (size_t i = 0; i < count; i++) {
        double error = fabs((double)s.scale * (q[i] - (double)s.zero) - x[i]);
        if (!(error <= step * 0.5001 || ((q[i] == 0 || q[i] == 255) && error <= step * 1.0001)))
            fail_msg("group of %zu, element %zu: %d for %.9g", count, i, q[i], (double)x[i]);
    }
}

static void check_int8(const ce_rows *from, const ce_rows *to, size_t width)
{
    for (size_t row = 0; row < ROWS; row++)
        for (size_t i = 0, g = 0; i < width; i += GROUP, g++)
            check_group((float *)row_of(from, row) + i, (uint8_t *)row_of(to, row) + i,
                        width - i < GROUP ? width - i : GROUP, to->scales[row * to->groups + g]);
}

static void test_int8(void **state)
{
    (void)state;
    static const float scales[] = {1, 0, 1e-40f, 1e-30f, 3e4f, 3.3e38f};
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (size_t w = 0; w < WIDTHS; w++) {
            size_t width = width_of(w);
            for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
                ce_rows from = random_rows(width, scales[s]), to = rows_new(CE_NUMBER_INT8, width);
                ce_rows_convert(&from, ROWS, width, &to, (ce_isa)isa);
                check_int8(&from, &to, width);
                check_rest(&to, width);
                rows_free(&from);
                rows_free(&to);
            }
        }
    }
}

static void test_zeros_stay_zeros(void **state)
{
    (void)state;
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        ce_rows from = random_rows(100, 0), to = rows_new(CE_NUMBER_INT8, 100);
        ce_rows_convert(&from, ROWS, 100, &to, (ce_isa)isa);
        for (size_t g = 0; g < ROWS * to.groups; g++)
            assert_true(isfinite(to.scales[g].scale) && to.scales[g].zero == 0);
        for (size_t row = 0; row < ROWS; row++) {
            for (size_t i = 0; i < 100; i++)
                assert_int_equal(((uint8_t *)row_of(&to, row))[i], 0);
        }
        rows_free(&from);
        rows_free(&to);
    }
}

/* Ranges in which the zero lies halfway between two numbers: rounding must not wrap around. */
static void test_no_number_wraps(void **state)
{
    (void)state;
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        ce_rows from = rows_new(CE_NUMBER_FP32, 2), to = rows_new(CE_NUMBER_INT8, 2);
        for (int half = 1; half < 510; half++) {
            for (int nudge = -3; nudge <= 3; nudge++) {
                for (size_t row = 0; row < ROWS; row++) {
                    float *x = row_of(&from, row);
                    x[0] = (float)-half * (1 + (float)nudge * FLT_EPSILON) * (float)(row + 1);
                    x[1] = (float)(510 - half) * (float)(row + 1);
                }
                ce_rows_convert(&from, ROWS, 2, &to, (ce_isa)isa);
                check_int8(&from, &to, 2);
            }
        }
        rows_free(&from);
        rows_free(&to);
    }
}

static void test_what_is_not_finite_shows(void **state)
{
    (void)state;
    float all_ones;
    uint32_t bits = 0x7fffffff; /* a NaN that rounding could carry into the sign */
    memcpy(&all_ones, &bits, sizeof bits);
    const float bad[] = {NAN, INFINITY, -INFINITY, all_ones};
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (size_t width = 1; width <= 70; width++) {
            for (size_t b = 0; b < 4; b++) {
                ce_rows from = random_rows(width, 1);
                ce_rows half = rows_new(CE_NUMBER_BF16, width),
                        low = rows_new(CE_NUMBER_INT8, width);
                size_t at = seed % width;
                ((float *)row_of(&from, 1))[at] = bad[b];
                ce_rows_convert(&from, ROWS, width, &half, (ce_isa)isa);
                ce_rows_convert(&from, ROWS, width, &low, (ce_isa)isa);
                for (size_t row = 0; row < ROWS; row++) {
                    for (size_t g = 0; g < low.groups; g++)
                        assert_int_equal(!isfinite(low.scales[row * low.groups + g].scale),
                                         row == 1 && g == at / GROUP);
                    for (size_t i = 0; i < width; i++)
                        assert_int_equal(!isfinite(widened(((uint16_t *)row_of(&half, row))[i])),
                                         row == 1 && i == at);
                }
                rows_free(&from);
                rows_free(&half);
                rows_free(&low);
            }
        }
    }
}

static void test_a_row_does_not_depend_on_others(void **state)
{
    (void)state;
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        ce_rows from = random_rows(77, 1), to = rows_new(CE_NUMBER_INT8, 77);
        ce_rows alone = rows_new(CE_NUMBER_INT8, 77), last = ce_rows_from(&from, 2);
        ce_rows_convert(&from, ROWS, 77, &to, (ce_isa)isa);
        ce_rows_convert(&last, 1, 77, &alone, (ce_isa)isa);
        assert_memory_equal(alone.data, row_of(&to, 2), to.stride);
        assert_memory_equal(alone.scales, &to.scales[2 * 2], 2 * sizeof *alone.scales);
        assert_ptr_equal(ce_rows_from(&to, 2).scales, &to.scales[2 * 2]);
        rows_free(&from);
        rows_free(&to);
        rows_free(&alone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strides_are_odd_multiples_of_a_line),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_zeros_stay_zeros),
        cmocka_unit_test(test_no_number_wraps),
        cmocka_unit_test(test_what_is_not_finite_shows),
        cmocka_unit_test(test_a_row_does_not_depend_on_others),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
