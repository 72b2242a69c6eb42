/* What it costs to record one call of one text: nanoseconds, the median of some rounds, on standard output. */
#include "clock.h"
#include "metrics.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 21, CALLS = 200000, CLOCK_READS = 10 };

/* As src/embed.c does. */
static void record_call(ce_metrics *metrics)
{
    uint64_t times[CLOCK_READS];
    for (int i = 0; i < CLOCK_READS; i++)
        times[i] = ce_clock_now();
    const ce_work work = {.texts = 1,
                          .tokens = 16,
                          .tokenize = times[1] - times[0],
                          .queue = times[4] - times[3],
                          .compute = times[8] - times[5],
                          .total = times[CLOCK_READS - 1] - times[0]};
    ce_metrics_record_batch(metrics, 1, 16);
    ce_metrics_record(metrics, &work);
    ce_metrics_count_call(metrics, CITADEL_OK);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static ce_metrics metrics;
    double rounds[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t since = ce_clock_now();
        for (int i = 0; i < CALLS; i++)
            record_call(&metrics);
        rounds[round] = (double)(ce_clock_now() - since) / CALLS;
    }
    qsort(rounds, ROUNDS, sizeof rounds[0], ascending);
    printf("%.1f\n", rounds[ROUNDS / 2]);
    return 0;
}
