/* The models in memory: one of each, however it is asked for, and never more than the cache holds. */
#ifndef CE_CACHE_H
#define CE_CACHE_H

#include "base/error.h"
#include "citadel_embed.h"

#include <pthread.h>
#include <stdint.h>

enum { CE_ALIASES = 8 };

typedef enum ce_cache_state { CE_CACHE_LOADING, CE_CACHE_READY, CE_CACHE_FAILED } ce_cache_state;

/* A model's place in the cache; guarded by the cache's lock. */
typedef struct ce_cache_slot {
    citadel_model *next;
    ce_cache_state state;
    int linked;                /* in the list, so that others find it */
    int unloaded;              /* goes with its last use, unless it is loaded again before that */
    int leaving;               /* next to go: nobody new finds it while others wait for room */
    size_t uses;               /* running calls, and threads that wait for the load */
    size_t handles;            /* references that callers hold */
    uint64_t last_use;         /* on the cache's clock */
    char id[65];               /* identity of the model */
    int32_t precision;         /* of its form; of the first to be tried, while it loads */
    int automatic;             /* the form was not asked for by its precision */
    char *aliases[CE_ALIASES]; /* names that led here, to find it without touching the disk */
    int status;                /* of a failed load */
    ce_error failure;
} ce_cache_slot;

/* A thread that waits for room, on its own stack. */
typedef struct ce_cache_waiter {
    struct ce_cache_waiter *next;
} ce_cache_waiter;

typedef struct ce_cache {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a load ended, a use ended */
    citadel_model *models;
    size_t count, capacity;
    ce_cache_waiter *waiters; /* the first to come is the first to get room */
    uint64_t clock;
} ce_cache;

void ce_cache_init(ce_cache *cache, size_t capacity);
void ce_cache_destroy(ce_cache *cache);

/* Find or load a model, and hold it for a running call: end with ce_cache_release. */
int ce_cache_acquire(citadel_engine *engine, const char *name, int32_t precision,
                     const char *require_id, citadel_model **out, ce_error *error);
void ce_cache_hold(citadel_model *model);
void ce_cache_release(citadel_model *model);

/* References of callers. */
void ce_cache_add_handle(citadel_model *model);
void ce_cache_drop_handle(citadel_model *model);

/* Free every model that no caller holds, as soon as no call uses it. */
void ce_cache_drop_idle(ce_cache *cache);

#endif
