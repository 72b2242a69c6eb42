#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kernels/pool.h"

#include <math.h>

static uint32_t seed = 1;

static float uniform(void) /* -1 .. 1 */
{
    seed = seed * 1664525 + 1013904223;
    return (float)(seed >> 8) * 0x1p-23f - 1.0f;
}

static ce_rows random_rows(size_t count, size_t width)
{
    ce_rows rows = {.number = CE_NUMBER_FP32, .stride = ce_rows_stride(CE_NUMBER_FP32, width)};
    rows.data = ce_aligned_alloc(64, rows.stride * count);
    assert_non_null(rows.data);
    for (size_t i = 0; i < rows.stride * count / 4; i++)
        ((float *)rows.data)[i] = uniform();
    return rows;
}

static double element(const ce_rows *rows, size_t row, size_t i)
{
    return ((const float *)((const char *)rows->data + row * rows->stride))[i];
}

static double expect(ce_pooling pooling, const ce_rows *rows, size_t count, size_t i)
{
    double sum = 0, weighted = 0, weights = 0, most = element(rows, 0, i);
    for (size_t row = 0; row < count; row++) {
        double x = element(rows, row, i), weight = (double)row + 1;
        sum += x;
        weighted += x * weight;
        weights += weight;
        most = fmax(most, x);
    }
    const double results[] = {
        [CE_POOL_CLS] = element(rows, 0, i),
        [CE_POOL_MAX] = most,
        [CE_POOL_MEAN] = sum / (double)count,
        [CE_POOL_MEAN_SQRT_LEN] = sum / sqrt((double)count),
        [CE_POOL_WEIGHTED_MEAN] = weighted / weights,
        [CE_POOL_LAST] = element(rows, count - 1, i),
    };
    return results[pooling];
}

static void check(size_t count, size_t width, ce_isa isa)
{
    ce_rows rows = random_rows(count, width);
    float *out = ce_malloc(width * sizeof *out);
    assert_non_null(out);
    for (int pooling = CE_POOL_CLS; pooling <= CE_POOL_LAST; pooling++) {
        ce_pool_rows((ce_pooling)pooling, &rows, count, width, out, isa);
        for (size_t i = 0; i < width; i++) {
            double expected = expect((ce_pooling)pooling, &rows, count, i);
            assert_true(fabs(out[i] - expected) <= 1e-7 * (double)count + 1e-7);
        }
    }
    ce_free(out);
    ce_free(rows.data);
}

static void test_every_pooling(void **state)
{
    (void)state;
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (size_t width = 1; width <= 70; width++)
            check(width % 9 + 1, width, (ce_isa)isa);
        for (size_t count = 1; count <= 40; count++)
            check(count, 384, (ce_isa)isa);
    }
}

static void test_normalize(void **state)
{
    (void)state;
    static const float scales[] = {1, 1e-5f, 1e-11f, 1e-14f, 1e-30f, 1e10f, 1e25f};
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (size_t width = 1; width <= 70; width++) {
            for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
                float vector[70];
                double expected[70], norm = 0;
                for (size_t i = 0; i < width; i++) {
                    vector[i] = uniform() * scales[s];
                    expected[i] = vector[i];
                    norm += expected[i] * expected[i];
                }
                norm = fmax(sqrt(norm), 1e-12);
                ce_pool_normalize(vector, width, (ce_isa)isa);
                for (size_t i = 0; i < width; i++)
                    assert_true(fabs(vector[i] - expected[i] / norm) <=
                                fabs(expected[i] / norm) * 1e-7 + 1e-44);
            }
        }
        float zeros[33] = {0};
        ce_pool_normalize(zeros, 33, (ce_isa)isa);
        for (size_t i = 0; i < 33; i++)
            assert_true(zeros[i] == 0);
    }
}

static void test_what_is_not_finite_shows(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY};
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (int b = 0; b < 2; b++) {
            for (size_t row = 0; row < 5; row++) {
                ce_rows rows = random_rows(5, 37);
                float out[37];
                ((float *)((char *)rows.data + row * rows.stride))[row * 9] = bad[b];
                for (int pooling = CE_POOL_MAX; pooling <= CE_POOL_WEIGHTED_MEAN; pooling++) {
                    ce_pool_rows((ce_pooling)pooling, &rows, 5, 37, out, (ce_isa)isa);
                    for (size_t i = 0; i < 37; i++)
                        assert_int_equal(!isfinite(out[i]), i == row * 9);
                    ce_pool_normalize(out, 37, (ce_isa)isa);
                    assert_false(isfinite(out[row * 9]));
                }
                ce_free(rows.data);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pooling),
        cmocka_unit_test(test_normalize),
        cmocka_unit_test(test_what_is_not_finite_shows),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
