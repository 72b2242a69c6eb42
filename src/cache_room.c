#include "cache_room.h"

#include "model.h"

int ce_room_hidden(const ce_cache *cache, const citadel_model *model, const ce_cache_waiter *self)
{
    return model->slot.leaving && cache->waiters && cache->waiters != self;
}

static int held(const citadel_model *model)
{
    return model->slot.handles > 0 || model->slot.pinned;
}

int ce_room_may_evict(const citadel_model *model)
{
    return model->slot.uses == 0 && !held(model) && !model->slot.dropping;
}

void ce_room_unlink(ce_cache *cache, citadel_model *model)
{
    citadel_model **link = &cache->models;
    while (*link != model)
        link = &(*link)->slot.next;
    *link = model->slot.next;
    model->slot.next = NULL;
    model->slot.linked = 0;
    model->slot.going = cache->going;
    cache->going = model;
}

static void take_off(ce_cache *cache, const citadel_model *model)
{
    cache->count--;
    cache->bytes -= model->slot.bytes;
}

void ce_room_forget(ce_cache *cache, citadel_model *model)
{
    citadel_model **link = &cache->going;
    while (*link != model)
        link = &(*link)->slot.going;
    *link = model->slot.going;
    if (!model->slot.evicted)
        take_off(cache, model);
}

int ce_room_wait(ce_cache *cache, const ce_deadline *deadline, const char *what, ce_error *error)
{
    if (ce_clock_wait(&cache->changed, &cache->lock, deadline->at))
        return CE_OK;
    return ce_fail(error, CE_E_BUSY, "waited %u ms (timeout_ms) for %s", deadline->timeout_ms,
                   what);
}

/* ---- The ledger --------------------------------------------------------------------------- */

typedef struct ledger {
    size_t count;
    uint64_t bytes;
} ledger;

static ledger sum_of(const ce_cache *cache, int (*belongs)(const citadel_model *model))
{
    ledger sum = {0};
    for (const citadel_model *m = cache->models; m; m = m->slot.next) {
        if (belongs(m)) {
            sum.count++;
            sum.bytes += m->slot.bytes;
        }
    }
    return sum;
}

/* Whether one more model that needs so much has room beside these. */
static int fits(const ce_cache *cache, ledger there, uint64_t need)
{
    return there.count < cache->capacity && (!cache->budget || there.bytes + need <= cache->budget);
}

static ledger without(const ce_cache *cache, ledger sum)
{
    return (ledger){cache->count - sum.count, cache->bytes - sum.bytes};
}

/* ---- Evicting ----------------------------------------------------------------------------- */

static int may_be_chosen(const citadel_model *model)
{
    return model->slot.state == CE_CACHE_READY && !held(model) && !model->slot.leaving &&
           !model->slot.dropping;
}

static citadel_model *oldest(const ce_cache *cache, int (*belongs)(const citadel_model *model))
{
    citadel_model *found = NULL;
    for (citadel_model *m = cache->models; m; m = m->slot.next)
        if (belongs(m) && (!found || m->slot.last_use < found->slot.last_use))
            found = m;
    return found;
}

/* Off the ledger at once, as whoever evicts frees the memory before taking any. What is left over: ce_room_keep_spare. */
static void evict(ce_cache *cache, ce_cache_waiter *self, citadel_model *model,
                  ce_counter *evictions)
{
    ce_room_unlink(cache, model);
    take_off(cache, model);
    model->slot.evicted = 1;
    model->slot.next = self->removed;
    self->removed = model;
    self->removed_count++;
    self->removed_bytes += model->slot.bytes;
    ce_metrics_add(evictions, 1);
}

void ce_room_keep_spare(ce_cache *cache, ce_cache_waiter *self)
{
    self->spare_count = self->removed_count > 1 ? self->removed_count - 1 : 0;
    self->spare_bytes = self->removed_bytes > self->need ? self->removed_bytes - self->need : 0;
    cache->count += self->spare_count;
    cache->bytes += self->spare_bytes;
}

void ce_room_give_spare(ce_cache *cache, ce_cache_waiter *self)
{
    cache->count -= self->spare_count;
    cache->bytes -= self->spare_bytes;
    self->spare_count = 0;
    self->spare_bytes = 0;
    pthread_cond_broadcast(&cache->changed);
}

/* Nothing goes unless that is enough. */
static int evict_enough(ce_cache *cache, ce_cache_waiter *self)
{
    if (!fits(cache, without(cache, sum_of(cache, ce_room_may_evict)), self->need))
        return 0;
    while (!fits(cache, (ledger){cache->count, cache->bytes}, self->need)) {
        int full = cache->count >= cache->capacity;
        evict(cache, self, oldest(cache, ce_room_may_evict),
              full ? &cache->metrics->evictions_count : &cache->metrics->evictions_bytes);
    }
    return 1;
}

/* ---- Waiting ------------------------------------------------------------------------------ */

static int is_going(const citadel_model *model)
{
    return model->slot.leaving || model->slot.dropping;
}

/* Of the models that nobody holds, let those used least recently be the next to go: as many as it takes. */
static void choose_leaving(ce_cache *cache, uint64_t need)
{
    ledger rest = without(cache, sum_of(cache, is_going));
    while (!fits(cache, rest, need)) {
        citadel_model *next = oldest(cache, may_be_chosen);
        if (!next)
            return;
        next->slot.leaving = 1;
        rest.count--;
        rest.bytes -= next->slot.bytes;
    }
}

static void queue_up(ce_cache *cache, ce_cache_waiter *self)
{
    ce_cache_waiter **link = &cache->waiters;
    while (*link && *link != self)
        link = &(*link)->next;
    *link = self;
}

void ce_room_leave_queue(ce_cache *cache, ce_cache_waiter *self)
{
    ce_cache_waiter **link = &cache->waiters;
    while (*link && *link != self)
        link = &(*link)->next;
    if (!*link)
        return;
    *link = self->next;
    /* They were chosen for the first in the queue; the next one chooses anew. */
    for (citadel_model *m = cache->models; m; m = m->slot.next)
        m->slot.leaving = 0;
    pthread_cond_broadcast(&cache->changed);
}

/* ---- Refusing ----------------------------------------------------------------------------- */

static int check_alone(const ce_cache *cache, const ce_cache_waiter *self, ce_error *error)
{
    if (fits(cache, (ledger){0}, self->need))
        return CE_OK;
    return ce_fail(error, CE_E_NO_MEMORY,
                   "model '%s' is estimated at %llu bytes, above the cache's budget of %llu: raise "
                   "cache_bytes (CITADEL_CACHE_BYTES)",
                   self->pack->name, (unsigned long long)self->need,
                   (unsigned long long)cache->budget);
}

/* What is held goes by its holder's will alone, for which nobody can wait. */
static int check_held(const ce_cache *cache, const ce_cache_waiter *self, ce_error *error)
{
    ledger sum = sum_of(cache, held);
    if (fits(cache, sum, self->need))
        return CE_OK;
    if (sum.count >= cache->capacity)
        return ce_fail(error, CE_E_BUSY,
                       "all %zu cache slots are held by loaded models: unload or unpin one, or "
                       "raise cache_models (MODEL_CACHE_SIZE)",
                       cache->capacity);
    return ce_fail(error, CE_E_BUSY,
                   "model '%s' is estimated at %llu bytes, and of the cache's budget of %llu, %llu "
                   "are held by loaded models: unload or unpin one, or raise cache_bytes "
                   "(CITADEL_CACHE_BYTES)",
                   self->pack->name, (unsigned long long)self->need,
                   (unsigned long long)cache->budget, (unsigned long long)sum.bytes);
}

int ce_room_make(ce_cache *cache, ce_cache_waiter *self, int *room, ce_error *error)
{
    int first = !cache->waiters || cache->waiters == self;
    *room = first && evict_enough(cache, self);
    if (*room)
        return CE_OK;
    int status = check_alone(cache, self, error);
    if (status == CE_OK)
        status = check_held(cache, self, error);
    if (status != CE_OK)
        return status;
    if (first)
        choose_leaving(cache, self->need);
    queue_up(cache, self);
    return ce_room_wait(cache, &self->deadline, "room in the cache", error);
}

/* Nothing goes unless that is enough, here either. */
int ce_room_settle(ce_cache *cache, ce_cache_waiter *self, citadel_model *model, uint64_t bytes,
                   ce_error *error)
{
    uint64_t estimate = model->slot.bytes;
    cache->bytes += bytes - estimate;
    model->slot.bytes = bytes;
    ledger stays = without(cache, sum_of(cache, ce_room_may_evict));
    int enough = !cache->budget || stays.bytes <= cache->budget;
    while (enough && cache->budget && cache->bytes > cache->budget)
        evict(cache, self, oldest(cache, ce_room_may_evict), &cache->metrics->evictions_bytes);
    if (enough)
        return CE_OK;
    return ce_fail(error, bytes > cache->budget ? CE_E_NO_MEMORY : CE_E_BUSY,
                   "model '%s' takes %llu bytes, not the estimated %llu, and other models %llu, "
                   "above the cache's budget of %llu: raise cache_bytes (CITADEL_CACHE_BYTES)",
                   self->pack->name, (unsigned long long)bytes, (unsigned long long)estimate,
                   (unsigned long long)(stays.bytes - bytes), (unsigned long long)cache->budget);
}
