#include "batcher.h"

#include <stdlib.h>

static size_t divide_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many batches to aim at: within the budget, and a number that keeps all threads busy. */
static size_t target_batches(size_t total, size_t count, const ce_batch_aim *aim)
{
    size_t batches = divide_up(total, aim->budget);
    size_t wanted = divide_up(batches, aim->threads) * aim->threads;
    wanted = smaller(smaller(wanted, total / aim->split), count);
    return batches < wanted ? wanted : smaller(batches, count);
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int longest_first(const void *a, const void *b)
{
    return ascending(b, a);
}

/* Number and what it is sorted by share a word. */
static void sort(uint64_t *order, size_t count, int (*compare)(const void *, const void *))
{
    qsort(order, count, sizeof order[0], compare);
    for (size_t i = 0; i < count; i++)
        order[i] &= UINT32_MAX;
}

static void sort_by_length(uint64_t *order, const uint32_t *lengths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        order[i] = (uint64_t)lengths[i] << 32 | i;
    sort(order, count, longest_first);
}

/* ---- Balanced ----------------------------------------------------------------------------- */

/* Batches that are being filled are a heap with the lightest on top; `first` is their number meanwhile. */
static void swap(ce_batch_range *a, ce_batch_range *b)
{
    ce_batch_range other = *a;
    *a = *b;
    *b = other;
}

static void sink_top(ce_batch_range *heap, size_t count)
{
    for (size_t at = 0, child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && heap[child + 1].tokens < heap[child].tokens)
            child++;
        if (heap[at].tokens <= heap[child].tokens)
            return;
        swap(&heap[at], &heap[child]);
    }
}

static void lift_last(ce_batch_range *heap, size_t count)
{
    for (size_t at = count - 1; at > 0 && heap[at].tokens < heap[(at - 1) / 2].tokens;
         at = (at - 1) / 2)
        swap(&heap[at], &heap[(at - 1) / 2]);
}

static int by_number(const void *a, const void *b)
{
    size_t x = ((const ce_batch_range *)a)->first, y = ((const ce_batch_range *)b)->first;
    return (x > y) - (x < y);
}

/* The longest text first, each into the lightest batch, or into a new one where it would be too much. */
static size_t fill_evenly(const uint32_t *lengths, size_t count, size_t batches, size_t budget,
                          uint64_t *order, ce_batch_range *heap)
{
    sort_by_length(order, lengths, count);
    for (size_t b = 0; b < batches; b++)
        heap[b] = (ce_batch_range){.first = b};
    for (size_t i = 0; i < count; i++) {
        uint32_t length = lengths[order[i]];
        int fits = heap[0].count == 0 || heap[0].tokens + length <= budget;
        ce_batch_range *batch = fits ? &heap[0] : &heap[batches];
        if (!fits)
            *batch = (ce_batch_range){.first = batches++};
        order[i] |= (uint64_t)batch->first << 32;
        batch->count++;
        batch->tokens += length;
        if (fits)
            sink_top(heap, batches);
        else
            lift_last(heap, batches);
    }
    return batches;
}

static size_t plan_packed(const uint32_t *lengths, size_t count, size_t batches, size_t budget,
                          uint64_t *order, ce_batch_range *ranges)
{
    batches = fill_evenly(lengths, count, batches, budget, order, ranges);
    sort(order, count, ascending);
    qsort(ranges, batches, sizeof ranges[0], by_number);
    size_t first = 0;
    for (size_t b = 0; b < batches; b++) {
        ranges[b].first = first;
        first += ranges[b].count;
    }
    return batches;
}

/* ---- Of one length ------------------------------------------------------------------------ */

static size_t plan_padded(const uint32_t *lengths, size_t count, size_t target, uint64_t *order,
                          ce_batch_range *ranges)
{
    size_t batches = 0;
    sort_by_length(order, lengths, count);
    for (size_t i = 0; i < count; i++) {
        size_t length = lengths[order[i]];
        ce_batch_range *last = batches ? &ranges[batches - 1] : NULL;
        if (!last || last->tokens + length > target || lengths[order[last->first]] != length) {
            last = &ranges[batches++];
            *last = (ce_batch_range){.first = i};
        }
        last->count++;
        last->tokens += length;
    }
    return batches;
}

size_t ce_batcher_plan(const uint32_t *lengths, size_t count, ce_layout layout,
                       const ce_batch_aim *aim, uint64_t *order, ce_batch_range *ranges)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += lengths[i];
    if (count == 0)
        return 0;
    size_t batches = target_batches(total, count, aim);
    if (layout == CE_LAYOUT_PADDED)
        return plan_padded(lengths, count, smaller(divide_up(total, batches), aim->budget), order,
                           ranges);
    return plan_packed(lengths, count, batches, aim->budget, order, ranges);
}
