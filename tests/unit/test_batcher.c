#include "cmocka_all.h"

#include "batcher.h"

#include <stdlib.h>

enum { MOST = 5000 };

static uint32_t lengths[MOST];
static uint64_t order[MOST];
static ce_batch_range ranges[MOST];

static size_t plan(size_t count, ce_layout layout, size_t budget, unsigned threads, size_t split)
{
    const ce_batch_aim aim = {.budget = budget, .split = split, .threads = threads};
    return ce_batcher_plan(lengths, count, layout, &aim, order, ranges);
}

/* Every text once, budget kept, sums right. */
static void check_plan(size_t count, size_t batches, ce_layout layout, size_t budget)
{
    static unsigned char seen[MOST];
    memset(seen, 0, sizeof seen);
    size_t next = 0;
    for (size_t b = 0; b < batches; b++) {
        const ce_batch_range *range = &ranges[b];
        assert_int_equal(range->first, next);
        assert_true(range->count > 0);
        size_t tokens = 0;
        for (size_t i = 0; i < range->count; i++) {
            size_t text = order[range->first + i];
            assert_in_range(text, 0, count - 1);
            assert_false(seen[text]);
            seen[text] = 1;
            tokens += lengths[text];
            if (layout == CE_LAYOUT_PADDED)
                assert_int_equal(lengths[text], lengths[order[range->first]]);
        }
        assert_int_equal(tokens, range->tokens);
        assert_true(range->count == 1 || tokens <= budget);
        next += range->count;
    }
    assert_int_equal(next, count);
}

static void test_random_plans(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 300; round++) {
        size_t count = (size_t)rand() % 400 + 1;
        size_t longest = round % 3 ? 40 : 600;
        for (size_t i = 0; i < count; i++)
            lengths[i] = (uint32_t)((size_t)rand() % longest + 1);
        size_t budget = (size_t)rand() % 2000 + 16;
        unsigned threads = (unsigned)rand() % 8 + 1;
        ce_layout layout = round % 2 ? CE_LAYOUT_PACKED : CE_LAYOUT_PADDED;
        size_t batches = plan(count, layout, budget, threads, round % 4 < 2 ? 256 : 16);
        check_plan(count, batches, layout, budget);
    }
}

static void test_threads_get_as_much_to_do_each(void **state)
{
    (void)state;
    const uint32_t mixed[] = {10, 90, 20, 30, 80, 70, 60, 40};
    memcpy(lengths, mixed, sizeof mixed);
    assert_int_equal(plan(8, CE_LAYOUT_PACKED, 1000, 4, 16), 4);
    check_plan(8, 4, CE_LAYOUT_PACKED, 1000);
    for (int b = 0; b < 4; b++)
        assert_int_equal(ranges[b].tokens, 100);
    assert_int_equal(order[ranges[0].first + 1], 1); /* what takes longest begins first */
}

static void test_few_tokens_are_split_where_it_is_worth_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        lengths[i] = 20;
    assert_int_equal(plan(2, CE_LAYOUT_PACKED, 256, 2, 16), 2);
    assert_int_equal(plan(2, CE_LAYOUT_PACKED, 256, 2, 256), 1);
    assert_int_equal(plan(3, CE_LAYOUT_PACKED, 256, 2, 16), 2);
    assert_int_equal(plan(3, CE_LAYOUT_PACKED, 256, 8, 16), 3);
    assert_int_equal(plan(3, CE_LAYOUT_PACKED, 256, 8, 21), 2);
}

static void test_tokens_of_a_batch_stay_few_with_one_thread(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++)
        lengths[i] = 64;
    size_t batches = plan(100, CE_LAYOUT_PACKED, 256, 1, 16);
    assert_int_equal(batches, 25);
    check_plan(100, batches, CE_LAYOUT_PACKED, 256);
}

/* Batches that are full before all texts have found room. */
static void test_more_batches_where_the_budget_is_too_small_for_the_aim(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++)
        lengths[i] = 60;
    size_t batches = plan(5, CE_LAYOUT_PACKED, 100, 1, 16);
    check_plan(5, batches, CE_LAYOUT_PACKED, 100);
    assert_int_equal(batches, 5);
}

static void test_large_call_keeps_threads_busy(void **state)
{
    (void)state;
    for (size_t i = 0; i < 64; i++)
        lengths[i] = 26;
    assert_int_equal(plan(64, CE_LAYOUT_PACKED, 4096, 4, 256), 4);
    assert_int_equal(plan(64, CE_LAYOUT_PACKED, 4096, 1, 256), 1);
}

static void test_small_call_is_one_batch(void **state)
{
    (void)state;
    for (size_t i = 0; i < 9; i++)
        lengths[i] = 26;
    assert_int_equal(plan(9, CE_LAYOUT_PACKED, 1024, 8, 256), 1);
    assert_int_equal(plan(1, CE_LAYOUT_PACKED, 16, 8, 256), 1);
    assert_int_equal(plan(0, CE_LAYOUT_PACKED, 16, 8, 256), 0);
}

static void test_too_long_goes_alone(void **state)
{
    (void)state;
    const uint32_t mixed[] = {5, 100, 5};
    memcpy(lengths, mixed, sizeof mixed);
    size_t batches = plan(3, CE_LAYOUT_PACKED, 16, 1, 256);
    check_plan(3, batches, CE_LAYOUT_PACKED, 16);
    assert_int_equal(batches, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_plans),
        cmocka_unit_test(test_threads_get_as_much_to_do_each),
        cmocka_unit_test(test_few_tokens_are_split_where_it_is_worth_it),
        cmocka_unit_test(test_tokens_of_a_batch_stay_few_with_one_thread),
        cmocka_unit_test(test_more_batches_where_the_budget_is_too_small_for_the_aim),
        cmocka_unit_test(test_large_call_keeps_threads_busy),
        cmocka_unit_test(test_small_call_is_one_batch),
        cmocka_unit_test(test_too_long_goes_alone),
    };
    return cmocka_run_group_tests_name("batcher", tests, NULL, NULL);
}
