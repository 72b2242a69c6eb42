/* Room in the cache: who makes it, who waits for it, who is refused. Everything here is called with the cache's lock
 * held. */
#ifndef CE_CACHE_ROOM_H
#define CE_CACHE_ROOM_H

#include "cache.h"

/* Make room for the model that `self` wants, by taking others out of the cache (self->removed). Without `*room` this
 * has waited: look again for the model itself. */
int ce_room_make(ce_cache *cache, ce_cache_waiter *self, int *room, ce_error *error);
void ce_room_leave_queue(ce_cache *cache, ce_cache_waiter *self);

/* Models that made room are in memory until they are freed: what they gave beyond the need stays on the ledger until
 * then. */
void ce_room_keep_spare(ce_cache *cache, ce_cache_waiter *self);
void ce_room_give_spare(ce_cache *cache, ce_cache_waiter *self);

/* A model has been loaded and takes `bytes`: the budget is to hold for that, not for the estimate. */
int ce_room_settle(ce_cache *cache, ce_cache_waiter *self, citadel_model *model, uint64_t bytes,
                   ce_error *error);

/* Whether others wait for this model to go. Or else a model in steady use would never be idle, and they would wait for
 * ever. `self` may be NULL. */
int ce_room_hidden(const ce_cache *cache, const citadel_model *model, const ce_cache_waiter *self);

/* Nobody uses, holds, pinned or is about to free it. */
int ce_room_may_evict(const citadel_model *model);

/* Out of the list, so that nobody gets it any more, and, once its memory is free, out of everything. */
void ce_room_unlink(ce_cache *cache, citadel_model *model);
void ce_room_forget(ce_cache *cache, citadel_model *model);

/* Wait for a change. BUSY when the deadline comes first; `what` is what was waited for. */
int ce_room_wait(ce_cache *cache, const ce_deadline *deadline, const char *what, ce_error *error);

#endif
