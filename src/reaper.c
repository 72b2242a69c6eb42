#include "reaper.h"

#include "base/mem.h"
#include "cache.h"
#include "clock.h"
#include "thread.h"

struct ce_reaper {
    citadel_engine *engine;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end;
    int ending;
};

static void *reap(void *argument)
{
    ce_reaper *reaper = argument;
    pthread_mutex_lock(&reaper->lock);
    while (!reaper->ending) {
        pthread_mutex_unlock(&reaper->lock);
        uint64_t next = ce_cache_expire(reaper->engine);
        pthread_mutex_lock(&reaper->lock);
        while (!reaper->ending && ce_clock_wait(&reaper->end, &reaper->lock, next)) {
        }
    }
    pthread_mutex_unlock(&reaper->lock);
    return NULL;
}

static void reaper_free(ce_reaper *reaper)
{
    pthread_cond_destroy(&reaper->end);
    pthread_mutex_destroy(&reaper->lock);
    ce_free(reaper);
}

int ce_reaper_create(citadel_engine *engine, ce_reaper **out, ce_error *error)
{
    *out = NULL;
    ce_reaper *reaper = ce_calloc(1, sizeof *reaper);
    if (!reaper)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a thread");
    reaper->engine = engine;
    pthread_mutex_init(&reaper->lock, NULL);
    ce_clock_cond_init(&reaper->end);
    int failed = ce_thread_start(&reaper->thread, reap, reaper);
    if (failed) {
        reaper_free(reaper);
        return ce_fail_errno(error, CE_E_NO_MEMORY, failed,
                             "cannot start the thread for cache_idle_seconds");
    }
    *out = reaper;
    return CE_OK;
}

void ce_reaper_destroy(ce_reaper *reaper)
{
    if (!reaper)
        return;
    pthread_mutex_lock(&reaper->lock);
    reaper->ending = 1;
    pthread_cond_signal(&reaper->end);
    pthread_mutex_unlock(&reaper->lock);
    pthread_join(reaper->thread, NULL);
    reaper_free(reaper);
}
