/* The clock that only goes forward. */
#ifndef CE_CLOCK_H
#define CE_CLOCK_H

#include <pthread.h>
#include <stdint.h>

uint64_t ce_clock_now(void); /* nanoseconds */

/* When a wait ends; of zeros: never. */
typedef struct ce_deadline {
    uint32_t timeout_ms;
    uint64_t at;
} ce_deadline;

ce_deadline ce_deadline_in(uint32_t timeout_ms); /* 0: never */

/* A condition variable for ce_clock_wait. */
void ce_clock_cond_init(pthread_cond_t *cond);

/* As pthread_cond_wait; false once the clock has reached `at`, unless that is 0. */
int ce_clock_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t at);

#endif
