#include "cache.h"

#include "base/mem.h"
#include "cache_room.h"
#include "engine.h"
#include "estimate.h"
#include "form.h"
#include "memory.h"
#include "model.h"
#include "names.h"

#include <string.h>

enum { NS_PER_S = 1000000000 };

void ce_cache_init(ce_cache *cache, const ce_config *config, ce_metrics *metrics)
{
    *cache = (ce_cache){.capacity = config->cache_models,
                        .budget = config->cache_bytes,
                        .idle_ns = (uint64_t)config->cache_idle_seconds * NS_PER_S,
                        .metrics = metrics};
    pthread_mutex_init(&cache->lock, NULL);
    ce_clock_cond_init(&cache->changed);
}

void ce_cache_destroy(citadel_engine *engine)
{
    ce_cache_drop_idle(engine);
    pthread_cond_destroy(&engine->cache.changed);
    pthread_mutex_destroy(&engine->cache.lock);
}

/* ---- Freeing ------------------------------------------------------------------------------ */

static void empty(citadel_model *model)
{
    for (int i = 0; i < CE_ALIASES; i++)
        ce_free(model->slot.aliases[i]);
    ce_model_free(model);
}

/* Of models that left the list, and the log told `how`, unless that is NULL or their load failed, which its caller has
 * been told. Until its memory is free a model counts, so that nobody takes it a second time, and is not loaded again. */
static void free_models(citadel_engine *engine, citadel_model *models, const char *how)
{
    ce_cache *cache = &engine->cache;
    while (models) {
        citadel_model *model = models;
        models = model->slot.next;
        if (how && model->slot.state == CE_CACHE_READY)
            ce_log_write(&engine->log, CITADEL_LOG_INFO, "model '%s' %s: %llu bytes",
                         model->pack->name, how, (unsigned long long)model->slot.bytes);
        empty(model);
        pthread_mutex_lock(&cache->lock);
        ce_room_forget(cache, model);
        pthread_cond_broadcast(&cache->changed);
        pthread_mutex_unlock(&cache->lock);
        ce_free(model);
    }
}

static void free_evicted(citadel_engine *engine, ce_cache_waiter *self)
{
    free_models(engine, self->removed, "left the cache to make room");
    self->removed = NULL;
}

static int idle(const citadel_model *model)
{
    return model->slot.uses == 0 && model->slot.handles == 0;
}

static void take_out(ce_cache *cache, citadel_model *model, citadel_model **list)
{
    ce_room_unlink(cache, model);
    model->slot.next = *list;
    *list = model;
}

/* With the lock held, after a use or the last handle ended. Returns the model if it is to be freed. */
static citadel_model *let_go(ce_cache *cache, citadel_model *model)
{
    pthread_cond_broadcast(&cache->changed);
    if (!idle(model))
        return NULL;
    if (cache->idle_ns)
        model->slot.idle_since = ce_clock_now();
    if (model->slot.linked && model->slot.unloaded && !model->slot.dropping)
        ce_room_unlink(cache, model);
    return model->slot.linked ? NULL : model;
}

static citadel_model *end_use(ce_cache *cache, citadel_model *model)
{
    model->slot.uses--;
    return let_go(cache, model);
}

/* ---- Finding ------------------------------------------------------------------------------ */

static void touch(ce_cache *cache, citadel_model *model)
{
    model->slot.last_use = ++cache->clock;
}

/* An alias carries the precision too, because one name can stand for several forms. */
static int alias_is(const char *alias, const char *name, int32_t precision)
{
    return alias && alias[0] == (char)('0' + precision) && strcmp(alias + 1, name) == 0;
}

/* After an unload the disk has the say, not a name of before. */
static int passed_over(const ce_cache *cache, const citadel_model *model)
{
    return model->slot.unloaded || model->slot.dropping || ce_room_hidden(cache, model, NULL);
}

static citadel_model *find_alias(const ce_cache *cache, const char *name, int32_t precision)
{
    for (citadel_model *m = cache->models; m; m = m->slot.next)
        for (int i = 0; i < CE_ALIASES && !passed_over(cache, m); i++)
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

/* One pack under two names of the configuration can have two sets of prompts. */
static const ce_config_model *own_prompts(const ce_pack *pack)
{
    const ce_config_model *model = pack->configured;
    return model && (model->prompts || model->default_prompt) ? model : NULL;
}

/* A model that was to have the pack's first form serves who wants just that, also when it came to have another one. */
static int serves(const citadel_model *model, const ce_cache_waiter *self)
{
    int precision = model->slot.precision == self->precision ||
                    (model->slot.automatic && self->asked == CITADEL_PRECISION_AUTO);
    return precision && strcmp(model->slot.id, self->pack->id) == 0 &&
           model->slot.prompts == own_prompts(self->pack);
}

/* Also one that is going: it is not to be in memory twice. */
static citadel_model *find_form(const ce_cache *cache, const ce_cache_waiter *self)
{
    for (citadel_model *m = cache->models; m; m = m->slot.next)
        if (serves(m, self) && !ce_room_hidden(cache, m, self))
            return m;
    citadel_model *going = cache->going;
    while (going && !serves(going, self))
        going = going->slot.going;
    return going;
}

/* ---- Loading ------------------------------------------------------------------------------ */

static int add_slot(citadel_engine *engine, ce_cache_waiter *self, citadel_model **out,
                    ce_error *error)
{
    ce_cache *cache = &engine->cache;
    citadel_model *model = ce_calloc(1, sizeof *model);
    if (!model)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a model");
    model->engine = engine;
    model->slot.state = CE_CACHE_LOADING;
    model->slot.linked = 1;
    model->slot.uses = 1;
    model->slot.precision = self->precision;
    model->slot.automatic = self->asked == CITADEL_PRECISION_AUTO;
    model->slot.bytes = self->need;
    memcpy(model->slot.id, self->pack->id, sizeof model->slot.id);
    model->slot.prompts = own_prompts(self->pack);
    model->slot.next = cache->models;
    cache->models = model;
    cache->count++;
    cache->bytes += self->need;
    ce_room_keep_spare(cache, self);
    *out = model;
    return CE_OK;
}

/* Wait for a model that another thread may still be loading. */
static int join(ce_cache *cache, citadel_model *model, const ce_deadline *deadline,
                citadel_model **dead, ce_error *error)
{
    int waits = model->slot.state == CE_CACHE_LOADING;
    int status = CE_OK;
    ce_metrics_add(waits ? &cache->metrics->joins : &cache->metrics->hits, 1);
    model->slot.uses++;
    while (model->slot.state == CE_CACHE_LOADING && status == CE_OK)
        status = ce_room_wait(cache, deadline, "another thread's load", error);
    if (model->slot.state == CE_CACHE_READY)
        return CE_OK;
    if (model->slot.state == CE_CACHE_FAILED) {
        *error = model->slot.failure;
        status = model->slot.status;
    }
    *dead = end_use(cache, model);
    return status;
}

static int load(ce_cache *cache, ce_cache_waiter *self, citadel_model *model, ce_pack *pack,
                citadel_model **dead, ce_error *error)
{
    pthread_mutex_unlock(&cache->lock);
    /* What was removed is freed before the new model takes its memory. */
    free_evicted(model->engine, self);
    pthread_mutex_lock(&cache->lock);
    ce_room_give_spare(cache, self);
    pthread_mutex_unlock(&cache->lock);
    int status = ce_model_load(model, pack, error);
    pthread_mutex_lock(&cache->lock);
    if (status == CE_OK)
        status = ce_room_settle(cache, self, model, ce_model_bytes(model), error);
    model->slot.state = status == CE_OK ? CE_CACHE_READY : CE_CACHE_FAILED;
    model->slot.precision = pack->chosen->precision;
    ce_metrics_add(status == CE_OK ? &cache->metrics->loads : &cache->metrics->load_failures, 1);
    if (status == CE_OK)
        ce_metrics_add(&cache->metrics->load_ns, (uint64_t)(1e9 * model->times.load));
    if (status != CE_OK) {
        model->slot.status = status;
        model->slot.failure = *error;
        ce_room_unlink(cache, model);
        *dead = end_use(cache, model);
    }
    pthread_cond_broadcast(&cache->changed);
    return status;
}

/* The model if it is there, else a new slot for it, whose `*is_new`. */
static int find_or_add(citadel_engine *engine, ce_cache_waiter *self, citadel_model **out,
                       int *is_new, ce_error *error)
{
    ce_cache *cache = &engine->cache;
    int status = CE_OK;
    *is_new = 0;
    while (status == CE_OK && !*is_new) {
        *out = find_form(cache, self);
        if (*out && (*out)->slot.linked && !(*out)->slot.dropping)
            break;
        /* Whatever was found may be gone after a wait. */
        status = *out ? ce_room_wait(cache, &self->deadline, "an unload of the model", error)
                      : ce_room_make(cache, self, is_new, error);
    }
    if (*is_new)
        status = add_slot(engine, self, out, error);
    ce_room_leave_queue(cache, self);
    return status;
}

/* With the lock held, which is let go while a model is loaded or room is waited for. `*pack` is taken when it is used. */
static int find_or_load(citadel_engine *engine, ce_cache_waiter *self, ce_pack **pack,
                        citadel_model **out, citadel_model **dead, ce_error *error)
{
    ce_cache *cache = &engine->cache;
    int is_new;
    int status = find_or_add(engine, self, out, &is_new, error);
    if (status == CE_OK && !is_new)
        return join(cache, *out, &self->deadline, dead, error);
    ce_metrics_add(&cache->metrics->misses, 1);
    if (status != CE_OK)
        return status;
    ce_pack *mine = *pack;
    *pack = NULL;
    return load(cache, self, *out, mine, dead, error);
}

/* What the configuration says of a directory that was asked for by another name than it has there. */
static int find_configured(const ce_config *config, const char *path, const ce_config_model **out,
                           ce_error *error)
{
    *out = NULL;
    for (size_t i = 0; i < config->file.model_count && !*out; i++) {
        char *own;
        int status =
            ce_names_resolve(config->file.models[i].target, config->model_path, &own, error);
        if (status == CE_E_NO_MEMORY)
            return status;
        if (status == CE_OK && strcmp(own, path) == 0)
            *out = &config->file.models[i];
        ce_free(own);
    }
    return CE_OK;
}

static int find_pack(citadel_engine *engine, const char *name, const char *require_id,
                     ce_pack **pack, ce_error *error)
{
    const ce_config *config = &engine->config;
    const ce_config_model *model = ce_config_file_find(&config->file, name);
    char *path;
    int status = ce_names_resolve(model ? model->target : name, config->model_path, &path, error);
    if (status != CE_OK) {
        if (model)
            ce_error_prefix(error, "%s: line %u", config->file.path, model->line);
        return status;
    }
    if (!model)
        status = find_configured(config, path, &model, error);
    if (status == CE_OK)
        status = ce_pack_open(path, require_id, pack, error);
    ce_free(path);
    if (status != CE_OK || !model)
        return status;
    status = ce_pack_configure(*pack, model, error);
    if (status != CE_OK) {
        ce_error_prefix(error, "%s: line %u", config->file.path, model->line);
        ce_pack_close(*pack);
    }
    return status;
}

int ce_cache_open_pack(citadel_engine *engine, const char *name,
                       const citadel_load_options *options, ce_pack **pack, ce_error *error)
{
    int status = find_pack(engine, name, options->require_id, pack, error);
    if (status != CE_OK)
        return status;
    (*pack)->asked = options->precision == CITADEL_PRECISION_AUTO
                         ? ce_config_precision(&engine->config, (*pack)->configured)
                         : options->precision;
    status = ce_form_choose(*pack, &engine->config, (*pack)->asked, error);
    if (status != CE_OK) {
        ce_error_prefix(error, "model '%s'", (*pack)->path);
        ce_pack_close(*pack);
    }
    return status;
}

/* `*out` stays NULL when the model that was to be shared came to have another precision than the one asked for: look again,
 * as it is no longer found. */
static int acquire_from_disk(citadel_engine *engine, const char *name,
                             const citadel_load_options *options, citadel_model **out,
                             ce_error *error)
{
    ce_cache *cache = &engine->cache;
    ce_pack *pack;
    int status = ce_cache_open_pack(engine, name, options, &pack, error);
    if (status != CE_OK)
        return status;

    ce_cache_waiter self = {.pack = pack,
                            .asked = pack->asked,
                            .precision = pack->chosen->precision,
                            .need = ce_estimate_resident(pack),
                            .deadline = ce_deadline_in(options->timeout_ms)};
    citadel_model *dead = NULL;
    pthread_mutex_lock(&cache->lock);
    status = find_or_load(engine, &self, &pack, out, &dead, error);
    if (status == CE_OK && pack && !serves(*out, &self)) {
        dead = end_use(cache, *out);
        *out = NULL;
    } else if (status == CE_OK) {
        /* A relative path means something else after chdir(). */
        if (name[0] == '/' || !strchr(name, '/'))
            add_alias(*out, name, options->precision);
        (*out)->slot.unloaded = 0;
        touch(cache, *out);
    }
    pthread_mutex_unlock(&cache->lock);

    free_evicted(engine, &self);
    free_models(engine, dead, NULL);
    ce_pack_close(pack);
    if (status != CE_OK)
        *out = NULL;
    return status;
}

int ce_cache_acquire(citadel_engine *engine, const char *name, const citadel_load_options *options,
                     citadel_model **out, ce_error *error)
{
    ce_cache *cache = &engine->cache;
    *out = NULL;
    if (!options->require_id) {
        pthread_mutex_lock(&cache->lock);
        citadel_model *model = find_alias(cache, name, options->precision);
        if (model) {
            model->slot.uses++;
            touch(cache, model);
            ce_metrics_add(&cache->metrics->hits, 1);
        }
        pthread_mutex_unlock(&cache->lock);
        if (model) {
            *out = model;
            return CE_OK;
        }
    }
    int status;
    do {
        status = acquire_from_disk(engine, name, options, out, error);
    } while (status == CE_OK && !*out);
    return status;
}

/* ---- Holding ------------------------------------------------------------------------------ */

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
    citadel_engine *engine = model->engine;
    pthread_mutex_lock(&engine->cache.lock);
    citadel_model *dead = end_use(&engine->cache, model);
    pthread_mutex_unlock(&engine->cache.lock);
    free_models(engine, dead, "was unloaded");
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
    citadel_engine *engine = model->engine;
    citadel_model *dead = NULL;
    pthread_mutex_lock(&engine->cache.lock);
    model->slot.handles--;
    if (model->slot.handles == 0) {
        /* Not unlinked while calls run on it: a second copy beside it would be one too many. */
        model->slot.unloaded = !model->slot.pinned;
        dead = let_go(&engine->cache, model);
    }
    pthread_mutex_unlock(&engine->cache.lock);
    free_models(engine, dead, "was unloaded");
}

void ce_cache_drop_idle(citadel_engine *engine)
{
    ce_cache *cache = &engine->cache;
    citadel_model *removed = NULL;
    pthread_mutex_lock(&cache->lock);
    for (citadel_model *m = cache->models, *next; m; m = next) {
        next = m->slot.next;
        m->slot.pinned = 0;
        if (m->slot.handles == 0)
            m->slot.unloaded = 1;
        if (ce_room_may_evict(m))
            take_out(cache, m, &removed);
    }
    pthread_mutex_unlock(&cache->lock);
    free_models(engine, removed, NULL);
}

uint64_t ce_cache_expire(citadel_engine *engine)
{
    ce_cache *cache = &engine->cache;
    citadel_model *expired = NULL;
    pthread_mutex_lock(&cache->lock);
    /* A model that becomes idle later than now expires later than this. */
    uint64_t now = ce_clock_now(), next_time = now + cache->idle_ns;
    for (citadel_model *m = cache->models, *next; m; m = next) {
        next = m->slot.next;
        if (!ce_room_may_evict(m))
            continue;
        uint64_t at = m->slot.idle_since + cache->idle_ns;
        if (at <= now) {
            take_out(cache, m, &expired);
            ce_metrics_add(&cache->metrics->evictions_idle, 1);
        } else if (at < next_time) {
            next_time = at;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    if (expired) {
        free_models(engine, expired, "was not used for cache_idle_seconds");
        ce_memory_trim();
    }
    return next_time;
}

/* ---- By name ------------------------------------------------------------------------------ */

static int was_found_by(const citadel_model *model, const char *name)
{
    for (int i = 0; i < CE_ALIASES; i++)
        if (model->slot.aliases[i] && strcmp(model->slot.aliases[i] + 1, name) == 0)
            return 1;
    return 0;
}

static int find_known(ce_cache *cache, const char *name, char id[65])
{
    pthread_mutex_lock(&cache->lock);
    const citadel_model *model = cache->models;
    while (model && !was_found_by(model, name))
        model = model->slot.next;
    if (model)
        memcpy(id, model->slot.id, sizeof model->slot.id);
    pthread_mutex_unlock(&cache->lock);
    return model != NULL;
}

/* The identity behind a name: of a model in memory even if its files are gone, else of a pack. */
static int identify(citadel_engine *engine, const char *name, char id[65], ce_error *error)
{
    if (find_known(&engine->cache, name, id))
        return CE_OK;
    ce_pack *pack;
    int status = find_pack(engine, name, NULL, &pack, error);
    if (status != CE_OK)
        return status;
    memcpy(id, pack->id, sizeof pack->id);
    ce_pack_close(pack);
    return CE_OK;
}

static citadel_model *next_form(citadel_model *from, const char *id)
{
    while (from && strcmp(from->slot.id, id) != 0)
        from = from->slot.next;
    return from;
}

static int not_there(const char *name, ce_error *error)
{
    return ce_fail(error, CE_E_NOT_FOUND, "model '%s' is not loaded", name);
}

int ce_cache_pin(citadel_engine *engine, const char *name, const citadel_load_options *options,
                 ce_error *error)
{
    citadel_model *model;
    int status = ce_cache_acquire(engine, name, options, &model, error);
    if (status != CE_OK)
        return status;
    pthread_mutex_lock(&engine->cache.lock);
    model->slot.pinned = 1;
    model->slot.leaving = 0;
    model->slot.unloaded = 0;
    pthread_mutex_unlock(&engine->cache.lock);
    ce_cache_release(model);
    return CE_OK;
}

int ce_cache_unpin(citadel_engine *engine, const char *name, ce_error *error)
{
    ce_cache *cache = &engine->cache;
    char id[65];
    int status = identify(engine, name, id, error);
    if (status != CE_OK)
        return status;
    pthread_mutex_lock(&cache->lock);
    citadel_model *first = next_form(cache->models, id);
    for (citadel_model *m = first; m; m = next_form(m->slot.next, id)) {
        m->slot.pinned = 0;
        let_go(cache, m);
    }
    pthread_mutex_unlock(&cache->lock);
    return first ? CE_OK : not_there(name, error);
}

/* With the lock held, which is let go while calls run on the model. Meanwhile it is neither joined nor loaded anew; a
 * handle that one of those calls is still to give to its caller ends the wait. */
static int drop(ce_cache *cache, const char *name, const char *id, citadel_model **dropped,
                ce_error *error)
{
    for (;;) {
        size_t handles = 0, uses = 0;
        citadel_model *first = next_form(cache->models, id);
        if (!first)
            return not_there(name, error);
        for (citadel_model *m = first; m; m = next_form(m->slot.next, id)) {
            handles += m->slot.handles;
            uses += m->slot.uses;
        }
        for (citadel_model *m = first; m; m = next_form(m->slot.next, id))
            m->slot.dropping = handles == 0;
        if (handles > 0) {
            pthread_cond_broadcast(&cache->changed);
            return ce_fail(error, CE_E_BUSY, "model '%s' is held by %zu handle%s", name, handles,
                           handles == 1 ? "" : "s");
        }
        if (uses == 0)
            break;
        pthread_cond_wait(&cache->changed, &cache->lock);
    }
    for (citadel_model *m; (m = next_form(cache->models, id));)
        take_out(cache, m, dropped);
    return CE_OK;
}

int ce_cache_unload(citadel_engine *engine, const char *name, citadel_unload_report *report,
                    ce_error *error)
{
    ce_cache *cache = &engine->cache;
    char id[65];
    int status = identify(engine, name, id, error);
    if (status != CE_OK)
        return status;
    citadel_model *dropped = NULL;
    pthread_mutex_lock(&cache->lock);
    status = drop(cache, name, id, &dropped, error);
    report->cache_bytes_before = cache->bytes;
    pthread_mutex_unlock(&cache->lock);
    if (status != CE_OK)
        return status;
    for (const citadel_model *m = dropped; m; m = m->slot.next) {
        report->models++;
        report->model_bytes += m->slot.bytes;
    }
    report->process_bytes_before = ce_memory_resident();
    free_models(engine, dropped, "was unloaded");
    ce_memory_trim();
    report->process_bytes_after = ce_memory_resident();
    pthread_mutex_lock(&cache->lock);
    report->cache_bytes_after = cache->bytes;
    pthread_mutex_unlock(&cache->lock);
    return CE_OK;
}
