#include "batcher.h"

#include <stdlib.h>

/* Tokens below which a batch is too small to repay being computed apart. */
enum { WORTH_SPLITTING = 256 };

static size_t divide_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

/* The batch size to aim at: within the budget, and a number of batches that keeps all threads busy. */
static size_t target_tokens(size_t total, size_t budget, unsigned threads)
{
    size_t batches = divide_up(total, budget);
    size_t worthwhile = total / WORTH_SPLITTING;
    size_t wanted = divide_up(batches, threads) * threads;
    if (wanted > worthwhile)
        wanted = worthwhile;
    if (batches < wanted)
        batches = wanted;
    return batches ? divide_up(total, batches) : budget;
}

static int longest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* Length and number share a word while they are sorted. */
static void sort_by_length(uint64_t *order, const uint32_t *lengths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        order[i] = (uint64_t)lengths[i] << 32 | i;
    qsort(order, count, sizeof order[0], longest_first);
    for (size_t i = 0; i < count; i++)
        order[i] &= UINT32_MAX;
}

size_t ce_batcher_plan(const uint32_t *lengths, size_t count, ce_layout layout, size_t budget,
                       unsigned threads, uint64_t *order, ce_batch_range *ranges)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        order[i] = i;
        total += lengths[i];
    }
    if (layout == CE_LAYOUT_PADDED)
        sort_by_length(order, lengths, count);

    size_t target = target_tokens(total, budget, threads);
    size_t batches = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = lengths[order[i]];
        ce_batch_range *last = batches ? &ranges[batches - 1] : NULL;
        int fits = last && last->tokens + length <= target &&
                   (layout != CE_LAYOUT_PADDED || lengths[order[last->first]] == length);
        if (!fits) {
            last = &ranges[batches++];
            *last = (ce_batch_range){.first = i};
        }
        last->count++;
        last->tokens += length;
    }
    return batches;
}
