/* Where the threads of a team wait for each other: some microseconds at a time, a hundred times in a batch. */
#ifndef CE_BASE_BARRIER_H
#define CE_BASE_BARRIER_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct ce_barrier {
    unsigned threads;
    _Alignas(64) atomic_uint arrived; /* in this round */
    _Alignas(64) atomic_uint round;   /* a line of its own: everyone looks at it while waiting */
    atomic_uint asleep;
} ce_barrier;

/* Nothing to destroy: when all threads have left, its memory may be used again. */
void ce_barrier_init(ce_barrier *barrier, int threads);

/* Return when `threads` threads have come here. What each wrote before, all of them see afterwards. */
void ce_barrier_wait(ce_barrier *barrier);

/* Look at `word` until it is another number than `value`, for so many nanoseconds at most: whether it is. What was written
 * before it changed is seen afterwards. */
int ce_spin(const atomic_uint *word, unsigned value, int64_t ns);

#endif
