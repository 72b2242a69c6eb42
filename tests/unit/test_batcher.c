#include "cmocka_all.h"

#include "batcher.h"

#include <stdlib.h>

enum { MOST = 5000 };

static uint32_t lengths[MOST];
static uint64_t order[MOST];
static ce_batch_range ranges[MOST];

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
        size_t batches = ce_batcher_plan(lengths, count, layout, budget, threads, order, ranges);
        check_plan(count, batches, layout, budget);
    }
}

static void test_packed_keeps_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++)
        lengths[i] = (uint32_t)(i * 37 % 50 + 1);
    ce_batcher_plan(lengths, 100, CE_LAYOUT_PACKED, 64, 2, order, ranges);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(order[i], i);
}

static void test_large_call_keeps_threads_busy(void **state)
{
    (void)state;
    for (size_t i = 0; i < 64; i++)
        lengths[i] = 26;
    assert_int_equal(ce_batcher_plan(lengths, 64, CE_LAYOUT_PACKED, 4096, 4, order, ranges), 4);
    assert_int_equal(ce_batcher_plan(lengths, 64, CE_LAYOUT_PACKED, 4096, 1, order, ranges), 1);
}

static void test_small_call_is_one_batch(void **state)
{
    (void)state;
    for (size_t i = 0; i < 9; i++)
        lengths[i] = 26;
    assert_int_equal(ce_batcher_plan(lengths, 9, CE_LAYOUT_PACKED, 1024, 8, order, ranges), 1);
    assert_int_equal(ce_batcher_plan(lengths, 1, CE_LAYOUT_PACKED, 16, 8, order, ranges), 1);
    assert_int_equal(ce_batcher_plan(lengths, 0, CE_LAYOUT_PACKED, 16, 8, order, ranges), 0);
}

static void test_too_long_goes_alone(void **state)
{
    (void)state;
    const uint32_t mixed[] = {5, 100, 5};
    memcpy(lengths, mixed, sizeof mixed);
    size_t batches = ce_batcher_plan(lengths, 3, CE_LAYOUT_PACKED, 16, 1, order, ranges);
    check_plan(3, batches, CE_LAYOUT_PACKED, 16);
    assert_int_equal(batches, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_plans),
        cmocka_unit_test(test_packed_keeps_order),
        cmocka_unit_test(test_large_call_keeps_threads_busy),
        cmocka_unit_test(test_small_call_is_one_batch),
        cmocka_unit_test(test_too_long_goes_alone),
    };
    return cmocka_run_group_tests_name("batcher", tests, NULL, NULL);
}
