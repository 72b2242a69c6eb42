/* The models in memory: one of each, however it is asked for, never more of them than the cache holds, and never more
 * bytes than it may. */
#ifndef CE_CACHE_H
#define CE_CACHE_H

#include "base/error.h"
#include "citadel_embed.h"
#include "clock.h"
#include "config.h"
#include "metrics.h"
#include "pack.h"

#include <pthread.h>
#include <stdint.h>

enum { CE_ALIASES = 8 };

typedef enum ce_cache_state { CE_CACHE_LOADING, CE_CACHE_READY, CE_CACHE_FAILED } ce_cache_state;

/* A model's place in the cache; guarded by the cache's lock. */
typedef struct ce_cache_slot {
    citadel_model *next;
    citadel_model *going; /* the next of those that left the list and are not freed yet */
    ce_cache_state state;
    int linked;                /* in the list, so that others find it */
    int unloaded;              /* goes with its last use, unless it is loaded again before that */
    int leaving;               /* next to go: nobody new finds it while others wait for room */
    int dropping;              /* an unload by name waits for its uses to end, then frees it */
    int evicted;               /* off the ledger already */
    int pinned;                /* stays, whatever happens */
    size_t uses;               /* running calls, and threads that wait for the load */
    size_t handles;            /* references that callers hold */
    uint64_t last_use;         /* on the cache's clock */
    uint64_t idle_since;       /* in nanoseconds; of an idle model where there is a time-out */
    uint64_t bytes;            /* estimated until it is loaded, then what it takes */
    char id[65];               /* identity of the model */
    int32_t precision;         /* of its form; of the first to be tried, while it loads */
    int automatic;             /* the form was not asked for by its precision */
    char *aliases[CE_ALIASES]; /* names that led here, to find it without touching the disk */
    int status;                /* of a failed load */
    ce_error failure;
    /* Where its prompts come from; NULL: its pack. */
    const ce_config_model *prompts;
} ce_cache_slot;

/* A thread that wants a model, on its own stack; queued while it waits for room. */
typedef struct ce_cache_waiter {
    struct ce_cache_waiter *next;
    const ce_pack *pack;
    int32_t asked;     /* CITADEL_PRECISION_* of the options */
    int32_t precision; /* of the form that is to be tried first */
    uint64_t need;     /* bytes, by the estimate */
    ce_deadline deadline;
    citadel_model *removed; /* made room, and must be freed before the load; chained by slot.next */
    size_t removed_count;   /* of these, and their bytes */
    uint64_t removed_bytes;
    size_t spare_count; /* what they gave beyond the need: nobody's, until they are freed */
    uint64_t spare_bytes;
} ce_cache_waiter;

typedef struct ce_cache {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a load ended, a use ended, memory was freed */
    citadel_model *models, *going;
    /* Of the models in the list, and of those that left it and are not freed yet. */
    size_t count, capacity;
    uint64_t bytes, budget;   /* no budget: 0 */
    uint64_t idle_ns;         /* time-out; none: 0 */
    ce_cache_waiter *waiters; /* the first to come is the first to get room */
    uint64_t clock;
    ce_metrics *metrics;
} ce_cache;

void ce_cache_init(ce_cache *cache, const ce_config *config, ce_metrics *metrics);
void ce_cache_destroy(citadel_engine *engine);

/* The pack that a name stands for, and in it the form that a load with these options would take. */
int ce_cache_open_pack(citadel_engine *engine, const char *name,
                       const citadel_load_options *options, ce_pack **pack, ce_error *error);

/* Find or load a model, and hold it for a running call: end with ce_cache_release. `options` are checked. */
int ce_cache_acquire(citadel_engine *engine, const char *name, const citadel_load_options *options,
                     citadel_model **out, ce_error *error);
void ce_cache_hold(citadel_model *model);
void ce_cache_release(citadel_model *model);

/* References of callers. */
void ce_cache_add_handle(citadel_model *model);
void ce_cache_drop_handle(citadel_model *model);

/* A pinned model is loaded if need be, and leaves by ce_cache_unload alone. Unpinning concerns all forms in memory. */
int ce_cache_pin(citadel_engine *engine, const char *name, const citadel_load_options *options,
                 ce_error *error);
int ce_cache_unpin(citadel_engine *engine, const char *name, ce_error *error);

/* Free all forms of a model, once the calls that run on it have ended. */
int ce_cache_unload(citadel_engine *engine, const char *name, citadel_unload_report *report,
                    ce_error *error);

/* Free the models that were idle for too long. Returns when to look again, on ce_clock_now. */
uint64_t ce_cache_expire(citadel_engine *engine);

/* Free every model that no caller holds, as soon as no call uses it. */
void ce_cache_drop_idle(citadel_engine *engine);

#endif
