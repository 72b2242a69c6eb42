#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kernels/rope.h"

#include <math.h>

static uint32_t seed = 1;

static float uniform(void) /* -1 .. 1 */
{
    seed = seed * 1664525 + 1013904223;
    return (float)(seed >> 8) * 0x1p-23f - 1.0f;
}

enum { ROWS = 5, HEADS = 3, FIRST = 7, POSITIONS = 40, GUARD = 11 };

static const int32_t positions[ROWS] = {0, 1, 2, 17, POSITIONS - 1};

static float widened(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float element(const ce_rows *rows, size_t row, size_t i)
{
    const char *data = (const char *)rows->data + row * rows->stride;
    return rows->number == CE_NUMBER_BF16 ? widened(((const uint16_t *)data)[i])
                                          : ((const float *)data)[i];
}

static ce_rows random_rows(ce_number number, size_t width)
{
    ce_rows rows = {.number = number, .stride = ce_rows_stride(number, width)};
    rows.data = ce_aligned_alloc(64, rows.stride * ROWS);
    assert_non_null(rows.data);
    for (size_t i = 0; i < rows.stride * ROWS / 4; i++) {
        float value = uniform();
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        bits = number == CE_NUMBER_BF16 ? (bits & 0xffff0000) | bits >> 16 : bits;
        memcpy((char *)rows.data + i * 4, &bits, sizeof bits);
    }
    return rows;
}

static void check(ce_number number, size_t half, size_t rest, const float *cos, const float *sin,
                  ce_isa isa)
{
    size_t dim = 2 * half + rest, width = FIRST + HEADS * dim + GUARD;
    ce_rows rows = random_rows(number, width), before = rows;
    before.data = ce_aligned_alloc(64, rows.stride * ROWS);
    assert_non_null(before.data);
    memcpy(before.data, rows.data, rows.stride * ROWS);
    ce_rope rope = {2 * half, cos, sin};
    ce_rope_rows(&rope, &rows, ROWS, positions, FIRST, HEADS, dim, isa);
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < width; i++) {
            size_t d = i < FIRST ? dim : (i - FIRST) % dim;
            double expected = element(&before, row, i), tolerance = 0;
            if (i >= FIRST && i < FIRST + HEADS * dim && d < 2 * half) {
                size_t at = (size_t)positions[row] * half + d % half;
                size_t other = d < half ? i + half : i - half;
                double turn = element(&before, row, other) * (double)sin[at];
                expected = expected * (double)cos[at] + (d < half ? -turn : turn);
                tolerance = number == CE_NUMBER_BF16 ? fabs(expected) / 255 + 1e-6 : 2e-7;
            }
            assert_true(fabs(element(&rows, row, i) - expected) <= tolerance);
        }
    }
    ce_free(rows.data);
    ce_free(before.data);
}

static void test_every_width(void **state)
{
    (void)state;
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (size_t half = 1; half <= 70; half++) {
            float *angles = ce_malloc(2 * POSITIONS * half * sizeof *angles);
            assert_non_null(angles);
            for (size_t i = 0; i < POSITIONS * half; i++) {
                angles[i] = (float)cos((double)i);
                angles[POSITIONS * half + i] = (float)sin((double)i);
            }
            for (size_t rest = 0; rest <= 6; rest += 3) {
                check(CE_NUMBER_FP32, half, rest, angles, angles + POSITIONS * half, (ce_isa)isa);
                check(CE_NUMBER_BF16, half, rest, angles, angles + POSITIONS * half, (ce_isa)isa);
            }
            ce_free(angles);
        }
    }
}

static void test_what_is_not_finite_shows(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const float cos[8] = {1, .5f, .5f, .5f, .5f, .5f, .5f, .5f}, sin[8] = {0, 1, 1, 1, 1, 1, 1, 1};
    const int32_t position = 0;
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (int b = 0; b < 3; b++) {
            float row[16] = {bad[b], bad[b]};
            ce_rows rows = {.data = row, .stride = sizeof row};
            ce_rope rope = {16, cos, sin};
            ce_rope_rows(&rope, &rows, 1, &position, 0, 1, 16, (ce_isa)isa);
            for (size_t i = 0; i < 16; i++)
                assert_int_equal(!isfinite(row[i]), i % 8 < 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_width),
        cmocka_unit_test(test_what_is_not_finite_shows),
    };
    return cmocka_run_group_tests_name("rope", tests, NULL, NULL);
}
