#include "cmocka_all.h"

#include "histogram.h"

enum { LAST = CITADEL_HISTOGRAM_BUCKETS - 1 };

static int bucket_of(uint64_t first, uint64_t value)
{
    ce_histogram histogram = {0};
    ce_histogram_add(&histogram, first, value);
    citadel_histogram read = ce_histogram_read(&histogram, 1);
    assert_int_equal(read.count, 1);
    for (int i = 0; i <= LAST; i++)
        if (read.buckets[i])
            return i;
    return -1;
}

static void test_a_bound_belongs_to_its_bucket(void **state)
{
    (void)state;
    const uint64_t firsts[] = {CE_HISTOGRAM_FIRST_NUMBER, CE_HISTOGRAM_FIRST_NS, 3};
    for (int f = 0; f < 3; f++) {
        assert_int_equal(bucket_of(firsts[f], 0), 0);
        for (int i = 0; i < LAST; i++) {
            uint64_t bound = firsts[f] << i;
            assert_int_equal(bucket_of(firsts[f], bound), i);
            assert_int_equal(bucket_of(firsts[f], bound + 1), i + 1);
        }
    }
}

static void test_the_last_bucket_has_no_end(void **state)
{
    (void)state;
    assert_int_equal(bucket_of(1, UINT64_MAX), LAST);
    assert_int_equal(bucket_of(CE_HISTOGRAM_FIRST_NS, UINT64_MAX), LAST);
    assert_int_equal(bucket_of(1, UINT64_C(1) << (LAST + 1)), LAST);
}

static void test_sums_are_in_the_unit_that_is_asked_for(void **state)
{
    (void)state;
    ce_histogram histogram = {0};
    for (uint64_t value = 1; value <= 100; value++)
        ce_histogram_add(&histogram, 1, value);
    citadel_histogram read = ce_histogram_read(&histogram, .5);
    assert_int_equal(read.count, 100);
    assert_true(read.sum == 2525);
    assert_int_equal(read.buckets[0], 1);
    assert_int_equal(read.buckets[1], 1);
    assert_int_equal(read.buckets[6], 32);
    assert_int_equal(read.buckets[7], 36);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bound_belongs_to_its_bucket),
        cmocka_unit_test(test_the_last_bucket_has_no_end),
        cmocka_unit_test(test_sums_are_in_the_unit_that_is_asked_for),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
