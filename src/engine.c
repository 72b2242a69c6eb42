#include "engine.h"

#include "base/mem.h"
#include "options.h"

#include <unistd.h>

int ce_engine_forked(const citadel_engine *engine)
{
    return engine->pid != getpid();
}

void ce_engine_hold(citadel_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->references++;
    pthread_mutex_unlock(&engine->lock);
}

int ce_engine_enter(citadel_engine *engine, ce_error *error)
{
    if (ce_engine_forked(engine))
        return ce_fail(error, CE_E_FORKED,
                       "the engine belongs to process %ld, this is its child %ld: create an engine "
                       "after fork()",
                       (long)engine->pid, (long)getpid());
    ce_engine_hold(engine);
    return CE_OK;
}

static void engine_free(citadel_engine *engine)
{
    ce_reaper_destroy(engine->reaper);
    ce_cache_destroy(engine);
    ce_workers_destroy(engine->workers);
    ce_call_pool_destroy(&engine->calls);
    ce_log_destroy(&engine->log);
    ce_config_free(&engine->config);
    pthread_mutex_destroy(&engine->lock);
    ce_free(engine);
}

void ce_engine_leave(citadel_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    size_t left = --engine->references;
    pthread_mutex_unlock(&engine->lock);
    if (left == 0)
        engine_free(engine);
}

static int create(const citadel_engine_options *options, citadel_engine **out, ce_error *error)
{
    citadel_engine *engine = ce_calloc(1, sizeof *engine);
    if (!engine)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for an engine");
    int status = ce_config_read(&engine->config, options, error);
    if (status == CE_OK)
        status = ce_workers_create(engine->config.threads, &engine->workers, error);
    if (status != CE_OK) {
        ce_config_free(&engine->config);
        ce_free(engine);
        return status;
    }
    engine->pid = getpid();
    engine->references = 1;
    pthread_mutex_init(&engine->lock, NULL);
    ce_log_init(&engine->log, engine->config.log, engine->config.log_user,
                engine->config.log_level);
    ce_cache_init(&engine->cache, &engine->config, &engine->metrics);
    ce_call_pool_init(&engine->calls, 2 * engine->config.threads);
    if (engine->config.cache_idle_seconds)
        status = ce_reaper_create(engine, &engine->reaper, error);
    if (status != CE_OK) {
        engine_free(engine);
        return status;
    }
    *out = engine;
    return CE_OK;
}

citadel_status citadel_engine_create(const citadel_engine_options *options, citadel_engine **engine,
                                     citadel_error *error)
{
    if (engine)
        *engine = NULL;
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = engine ? create(options, engine, &failure)
                        : ce_fail(&failure, CE_E_INVALID_ARGUMENT, "engine is NULL");
    return ce_error_report(error, status, &failure);
}

void citadel_engine_destroy(citadel_engine *engine)
{
    if (!engine || ce_engine_forked(engine))
        return;
    ce_cache_drop_idle(engine);
    ce_engine_leave(engine);
}
