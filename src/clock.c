#include "clock.h"

#include <errno.h>
#include <time.h>

enum { NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

uint64_t ce_clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

ce_deadline ce_deadline_in(uint32_t timeout_ms)
{
    if (timeout_ms == 0)
        return (ce_deadline){0};
    return (ce_deadline){timeout_ms, ce_clock_now() + (uint64_t)timeout_ms * NS_PER_MS};
}

void ce_clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

int ce_clock_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t at)
{
    if (at == 0)
        return pthread_cond_wait(cond, lock) == 0;
    const struct timespec time = {.tv_sec = (time_t)(at / NS_PER_S),
                                  .tv_nsec = (long)(at % NS_PER_S)};
    return pthread_cond_timedwait(cond, lock, &time) != ETIMEDOUT;
}
