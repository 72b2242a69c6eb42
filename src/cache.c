#include "cache.h"

#include "base/mem.h"
#include "engine.h"
#include "form.h"
#include "model.h"
#include "names.h"
#include "pack.h"

#include <string.h>

void ce_cache_init(ce_cache *cache, size_t capacity)
{
    *cache = (ce_cache){.capacity = capacity};
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->changed, NULL);
}

void ce_cache_destroy(ce_cache *cache)
{
    ce_cache_drop_idle(cache);
    pthread_cond_destroy(&cache->changed);
    pthread_mutex_destroy(&cache->lock);
}

static void slot_free(citadel_model *model)
{
    for (int i = 0; i < CE_ALIASES; i++)
        ce_free(model->slot.aliases[i]);
    ce_model_free(model);
    ce_free(model);
}

static int idle(const citadel_model *model)
{
    return model->slot.uses == 0 && model->slot.handles == 0;
}

static void unlink_model(ce_cache *cache, citadel_model *model)
{
    citadel_model **link = &cache->models;
    while (*link != model)
        link = &(*link)->slot.next;
    *link = model->slot.next;
    model->slot.linked = 0;
    cache->count--;
}

static void touch(ce_cache *cache, citadel_model *model)
{
    model->slot.last_use = ++cache->clock;
}

/* An alias carries the precision too, because one name can stand for several forms. */
static int alias_is(const char *alias, const char *name, int32_t precision)
{
    return alias && alias[0] == (char)('0' + precision) && strcmp(alias + 1, name) == 0;
}

/* Or else a model in steady use would never be idle, and a thread that waits for its place wait for ever. */
static int hidden(const ce_cache *cache, const citadel_model *model)
{
    return model->slot.leaving && cache->waiters;
}

/* After an unload the disk has the say, not a name of before. */
static citadel_model *find_alias(const ce_cache *cache, const char *name, int32_t precision)
{
    for (citadel_model *m = cache->models; m; m = m->slot.next)
        for (int i = 0; i < CE_ALIASES && !hidden(cache, m) && !m->slot.unloaded; i++)
            if (alias_is(m->slot.aliases[i], name, precision))
                return m;
    return NULL;
}

/* A name for which there is no room or memory is looked up on the disk again the next time. */
static void add_alias(citadel_model *model, const char *name, int32_t precision)
{
    for (int i = 0; i < CE_ALIASES; i++) {
        char **alias = &model->slot.aliases[i];
        if (alias_is(*alias, name, precision))
            return;
        if (*alias)
            continue;
        size_t length = strlen(name);
        *alias = ce_malloc(length + 2);
        if (*alias) {
            (*alias)[0] = (char)('0' + precision);
            memcpy(*alias + 1, name, length + 1);
        }
        return;
    }
}

/* A model that was to have the pack's first form serves who wants just that, also when it came to have another one. */
static int serves(const citadel_model *model, const ce_pack *pack, int32_t precision)
{
    return model->slot.precision == pack->chosen->precision ||
           (model->slot.automatic && precision == CITADEL_PRECISION_AUTO);
}

static citadel_model *find_pack(const ce_cache *cache, const ce_pack *pack, int32_t precision)
{
    for (citadel_model *m = cache->models; m; m = m->slot.next)
        if (serves(m, pack, precision) && strcmp(m->slot.id, pack->id) == 0 && !hidden(cache, m))
            return m;
    return NULL;
}

/* ---- Room --------------------------------------------------------------------------------- */

static citadel_model *oldest_idle(const ce_cache *cache)
{
    citadel_model *oldest = NULL;
    for (citadel_model *m = cache->models; m; m = m->slot.next)
        if (idle(m) && (!oldest || m->slot.last_use < oldest->slot.last_use))
            oldest = m;
    return oldest;
}

static int all_held(const ce_cache *cache)
{
    for (const citadel_model *m = cache->models; m; m = m->slot.next)
        if (m->slot.handles == 0)
            return 0;
    return 1;
}

/* Of the models in use that nobody holds, let the one used least recently be the next to go. */
static void choose_leaving(ce_cache *cache)
{
    citadel_model *oldest = NULL;
    for (citadel_model *m = cache->models; m; m = m->slot.next) {
        if (m->slot.handles > 0 || m->slot.state != CE_CACHE_READY)
            continue;
        if (m->slot.leaving)
            return;
        if (!oldest || m->slot.last_use < oldest->slot.last_use)
            oldest = m;
    }
    if (oldest)
        oldest->slot.leaving = 1;
}

static void queue_up(ce_cache *cache, ce_cache_waiter *self)
{
    ce_cache_waiter **link = &cache->waiters;
    while (*link && *link != self)
        link = &(*link)->next;
    *link = self;
}

static void leave_queue(ce_cache *cache, ce_cache_waiter *self)
{
    ce_cache_waiter **link = &cache->waiters;
    while (*link && *link != self)
        link = &(*link)->next;
    if (*link) {
        *link = self->next;
        pthread_cond_broadcast(&cache->changed);
    }
}

/* Make room for one model by taking one out of the full cache, which the caller frees without the lock. Without `*room`
 * this has waited: look again for the model that is wanted. */
static int make_room(ce_cache *cache, ce_cache_waiter *self, citadel_model **removed, int *room,
                     ce_error *error)
{
    *room = 0;
    if (!cache->waiters || cache->waiters == self) {
        citadel_model *oldest = cache->count == cache->capacity ? oldest_idle(cache) : NULL;
        if (oldest) {
            unlink_model(cache, oldest);
            oldest->slot.next = NULL;
            *removed = oldest;
        }
        *room = cache->count < cache->capacity;
        if (*room)
            return CE_OK;
    }
    if (cache->count == cache->capacity && all_held(cache))
        return ce_fail(error, CE_E_BUSY,
                       "all %zu cache slots are held by loaded models: unload one, or raise "
                       "cache_models (MODEL_CACHE_SIZE)",
                       cache->capacity);
    choose_leaving(cache);
    queue_up(cache, self);
    pthread_cond_wait(&cache->changed, &cache->lock);
    return CE_OK;
}

static void free_removed(ce_log *log, citadel_model *removed)
{
    if (!removed)
        return;
    ce_log_write(log, CITADEL_LOG_INFO, "model '%s' left the cache to make room",
                 removed->pack->name);
    slot_free(removed);
}

/* ---- Loading ------------------------------------------------------------------------------ */

static int add_slot(citadel_engine *engine, const ce_pack *pack, int32_t precision,
                    citadel_model **out, ce_error *error)
{
    ce_cache *cache = &engine->cache;
    citadel_model *model = ce_calloc(1, sizeof *model);
    if (!model)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a model");
    model->engine = engine;
    model->slot.state = CE_CACHE_LOADING;
    model->slot.linked = 1;
    model->slot.uses = 1;
    model->slot.precision = pack->chosen->precision;
    model->slot.automatic = precision == CITADEL_PRECISION_AUTO;
    memcpy(model->slot.id, pack->id, sizeof model->slot.id);
    model->slot.next = cache->models;
    cache->models = model;
    cache->count++;
    *out = model;
    return CE_OK;
}

/* With the lock held, after a use or the last handle ended. Returns the model if it is to be freed. */
static citadel_model *let_go(ce_cache *cache, citadel_model *model)
{
    pthread_cond_broadcast(&cache->changed);
    if (!idle(model))
        return NULL;
    if (model->slot.linked && model->slot.unloaded)
        unlink_model(cache, model);
    return model->slot.linked ? NULL : model;
}

static citadel_model *end_use(ce_cache *cache, citadel_model *model)
{
    model->slot.uses--;
    return let_go(cache, model);
}

/* Wait for a model that another thread may still be loading. */
static int join(ce_cache *cache, citadel_model *model, citadel_model **dead, ce_error *error)
{
    model->slot.uses++;
    while (model->slot.state == CE_CACHE_LOADING)
        pthread_cond_wait(&cache->changed, &cache->lock);
    if (model->slot.state == CE_CACHE_READY)
        return CE_OK;
    *error = model->slot.failure;
    int status = model->slot.status;
    *dead = end_use(cache, model);
    return status;
}

static int load(ce_cache *cache, citadel_model *model, ce_pack *pack, citadel_model *removed,
                citadel_model **dead, ce_error *error)
{
    pthread_mutex_unlock(&cache->lock);
    /* What was removed is freed before the new model takes its memory. */
    free_removed(&model->engine->log, removed);
    int status = ce_model_load(model, pack, error);
    pthread_mutex_lock(&cache->lock);
    model->slot.state = status == CE_OK ? CE_CACHE_READY : CE_CACHE_FAILED;
    model->slot.precision = pack->chosen->precision;
    if (status != CE_OK) {
        model->slot.status = status;
        model->slot.failure = *error;
        unlink_model(cache, model);
        *dead = end_use(cache, model);
    }
    pthread_cond_broadcast(&cache->changed);
    return status;
}

/* The model if it is there, else a new slot for it, whose `*is_new`. */
static int find_or_add(citadel_engine *engine, const ce_pack *pack, int32_t precision,
                       citadel_model **removed, citadel_model **out, int *is_new, ce_error *error)
{
    ce_cache *cache = &engine->cache;
    ce_cache_waiter self = {NULL};
    int status = CE_OK;
    *is_new = 0;
    do {
        *out = find_pack(cache, pack, precision);
        if (!*out)
            status = make_room(cache, &self, removed, is_new, error);
    } while (status == CE_OK && !*out && !*is_new);
    if (*is_new)
        status = add_slot(engine, pack, precision, out, error);
    leave_queue(cache, &self);
    return status;
}

/* With the lock held, which is let go while a model is loaded or room is waited for. `*pack` is taken when it is used. */
static int find_or_load(citadel_engine *engine, ce_pack **pack, int32_t precision,
                        citadel_model **removed, citadel_model **out, citadel_model **dead,
                        ce_error *error)
{
    int is_new;
    int status = find_or_add(engine, *pack, precision, removed, out, &is_new, error);
    if (status != CE_OK)
        return status;
    if (!is_new)
        return join(&engine->cache, *out, dead, error);
    ce_pack *mine = *pack;
    citadel_model *gone = *removed;
    *pack = NULL;
    *removed = NULL;
    return load(&engine->cache, *out, mine, gone, dead, error);
}

static int open_pack(citadel_engine *engine, const char *name, int32_t precision,
                     const char *require_id, ce_pack **pack, ce_error *error)
{
    char *path;
    int status = ce_names_resolve(name, engine->config.model_path, &path, error);
    if (status != CE_OK)
        return status;
    status = ce_pack_open(path, require_id, pack, error);
    ce_free(path);
    if (status != CE_OK)
        return status;
    status = ce_form_choose(*pack, &engine->config, precision, error);
    if (status != CE_OK) {
        ce_error_prefix(error, "model '%s'", (*pack)->path);
        ce_pack_close(*pack);
    }
    return status;
}

/* `*out` stays NULL when the model that was to be shared came to have another precision than the one asked for: look again,
 * as it is no longer found. */
static int acquire_from_disk(citadel_engine *engine, const char *name, int32_t precision,
                             const char *require_id, citadel_model **out, ce_error *error)
{
    ce_cache *cache = &engine->cache;
    ce_pack *pack;
    int status = open_pack(engine, name, precision, require_id, &pack, error);
    if (status != CE_OK)
        return status;

    citadel_model *removed = NULL, *dead = NULL;
    pthread_mutex_lock(&cache->lock);
    status = find_or_load(engine, &pack, precision, &removed, out, &dead, error);
    if (status == CE_OK && pack && !serves(*out, pack, precision)) {
        dead = end_use(cache, *out);
        *out = NULL;
    } else if (status == CE_OK) {
        /* A relative path means something else after chdir(). */
        if (name[0] == '/' || !strchr(name, '/'))
            add_alias(*out, name, precision);
        (*out)->slot.unloaded = 0;
        touch(cache, *out);
    }
    pthread_mutex_unlock(&cache->lock);

    free_removed(&engine->log, removed);
    if (dead)
        slot_free(dead);
    ce_pack_close(pack);
    if (status != CE_OK)
        *out = NULL;
    return status;
}

int ce_cache_acquire(citadel_engine *engine, const char *name, int32_t precision,
                     const char *require_id, citadel_model **out, ce_error *error)
{
    ce_cache *cache = &engine->cache;
    *out = NULL;
    if (!require_id) {
        pthread_mutex_lock(&cache->lock);
        citadel_model *model = find_alias(cache, name, precision);
        if (model) {
            model->slot.uses++;
            touch(cache, model);
        }
        pthread_mutex_unlock(&cache->lock);
        if (model) {
            *out = model;
            return CE_OK;
        }
    }
    int status;
    do {
        status = acquire_from_disk(engine, name, precision, require_id, out, error);
    } while (status == CE_OK && !*out);
    return status;
}

void ce_cache_hold(citadel_model *model)
{
    ce_cache *cache = &model->engine->cache;
    pthread_mutex_lock(&cache->lock);
    model->slot.uses++;
    touch(cache, model);
    pthread_mutex_unlock(&cache->lock);
}

void ce_cache_release(citadel_model *model)
{
    ce_cache *cache = &model->engine->cache;
    pthread_mutex_lock(&cache->lock);
    citadel_model *dead = end_use(cache, model);
    pthread_mutex_unlock(&cache->lock);
    if (dead)
        slot_free(dead);
}

void ce_cache_add_handle(citadel_model *model)
{
    ce_cache *cache = &model->engine->cache;
    pthread_mutex_lock(&cache->lock);
    model->slot.handles++;
    model->slot.unloaded = 0;
    model->slot.leaving = 0;
    pthread_mutex_unlock(&cache->lock);
}

void ce_cache_drop_handle(citadel_model *model)
{
    ce_cache *cache = &model->engine->cache;
    citadel_model *dead = NULL;
    pthread_mutex_lock(&cache->lock);
    model->slot.handles--;
    if (model->slot.handles == 0) {
        /* Not unlinked while calls run on it: a second copy beside it would be one too many. */
        model->slot.unloaded = 1;
        dead = let_go(cache, model);
    }
    pthread_mutex_unlock(&cache->lock);
    if (dead)
        slot_free(dead);
}

void ce_cache_drop_idle(ce_cache *cache)
{
    citadel_model *removed = NULL;
    pthread_mutex_lock(&cache->lock);
    for (citadel_model *m = cache->models, *next; m; m = next) {
        next = m->slot.next;
        if (m->slot.handles == 0)
            m->slot.unloaded = 1;
        if (!idle(m))
            continue;
        unlink_model(cache, m);
        m->slot.next = removed;
        removed = m;
    }
    pthread_mutex_unlock(&cache->lock);
    while (removed) {
        citadel_model *next = removed->slot.next;
        slot_free(removed);
        removed = next;
    }
}
