/* What all calls share. */
#ifndef CE_ENGINE_H
#define CE_ENGINE_H

#include "cache.h"
#include "call.h"
#include "config.h"
#include "log.h"
#include "metrics.h"
#include "reaper.h"
#include "workers.h"

#include <pthread.h>
#include <sys/types.h>

struct citadel_engine {
    pid_t pid;
    pthread_mutex_t lock; /* guards `references` */
    size_t references;    /* the owner, every model handle, every running call */
    ce_config config;
    ce_log log;
    ce_workers *workers;
    ce_metrics metrics;
    ce_cache cache;
    ce_reaper *reaper; /* NULL without an idle time-out */
    ce_call_pool calls;
};

/* A running call holds the engine. Fails in a child of fork(), where the threads are missing. */
int ce_engine_enter(citadel_engine *engine, ce_error *error);
void ce_engine_hold(citadel_engine *engine); /* for a holder that is in already */
void ce_engine_leave(citadel_engine *engine);

int ce_engine_forked(const citadel_engine *engine);

#endif
