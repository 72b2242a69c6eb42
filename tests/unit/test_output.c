#include "cmocka_all.h"

#include "output.h"

#include <math.h>

static const float vector[] = {3, -4, 12, 0};

static void assert_near(float a, double b)
{
    assert_true(fabs(a - b) <= 1e-7 * fmax(1, fabs(b)));
}

static void test_as_pooled(void **state)
{
    (void)state;
    float row[4];
    ce_output output = {.model_dim = 4, .dim = 4};
    assert_true(ce_output_write(&output, vector, row));
    assert_memory_equal(row, vector, sizeof row);
}

static void test_model_normalisation_comes_before_the_cut(void **state)
{
    (void)state;
    float row[3] = {0, 0, 77};
    ce_output output = {.model_dim = 4, .dim = 2, .normalize_model = 1};
    assert_true(ce_output_write(&output, vector, row));
    assert_near(row[0], 3.0 / 13);
    assert_near(row[1], -4.0 / 13);
    assert_true(row[2] == 77);
}

static void test_normalisation_after_the_cut(void **state)
{
    (void)state;
    float row[2];
    for (int model = 0; model < 2; model++) {
        ce_output output = {.model_dim = 4, .dim = 2, .normalize_model = model, .normalize_cut = 1};
        assert_true(ce_output_write(&output, vector, row));
        assert_near(row[0], 0.6);
        assert_near(row[1], -0.8);
    }
}

static void test_zero_vector_stays_zero(void **state)
{
    (void)state;
    const float zero[2] = {0, 0};
    float row[2] = {1, 1};
    ce_output output = {.model_dim = 2, .dim = 2, .normalize_model = 1, .normalize_cut = 1};
    assert_true(ce_output_write(&output, zero, row));
    assert_true(row[0] == 0 && row[1] == 0);
}

static void test_huge_vector(void **state)
{
    (void)state;
    const float huge[2] = {3e38f, 3e38f};
    float row[2];
    ce_output output = {.model_dim = 2, .dim = 2, .normalize_model = 1};
    assert_true(ce_output_write(&output, huge, row));
    assert_near(row[0], sqrt(0.5));
}

/* Also where the bad number lies behind the cut: it is a sign that the rest is wrong too. */
static void test_not_finite_is_refused(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        float poisoned[4] = {1, 2, 3, bad[i]};
        float row[2] = {7, 7};
        ce_output output = {.model_dim = 4, .dim = 2};
        assert_false(ce_output_write(&output, poisoned, row));
        assert_true(row[0] == 0 && row[1] == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_pooled),
        cmocka_unit_test(test_model_normalisation_comes_before_the_cut),
        cmocka_unit_test(test_normalisation_after_the_cut),
        cmocka_unit_test(test_zero_vector_stays_zero),
        cmocka_unit_test(test_huge_vector),
        cmocka_unit_test(test_not_finite_is_refused),
    };
    return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
