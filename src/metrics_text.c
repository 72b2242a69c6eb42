/* Metrics in the exposition format of Prometheus, under names that operators of embedding servers know. */
#include "engine.h"
#include "form.h"
#include "metrics.h"
#include "model.h"
#include "options.h"
#include "precision.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What does not fit is counted all the same. */
typedef struct text {
    char *buffer;
    size_t capacity, length;
} text;

static void put(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(text *t, const char *format, ...)
{
    size_t room = t->length < t->capacity ? t->capacity - t->length : 0;
    va_list arguments;
    va_start(arguments, format);
    int printed = vsnprintf(room ? t->buffer + t->length : NULL, room, format, arguments);
    va_end(arguments);
    t->length += printed > 0 ? (size_t)printed : 0;
}

/* Not with %f, which writes the decimal point of the host's locale. */
static const char *seconds(char out[32], double value)
{
    uint64_t ns = (uint64_t)(value * 1e9 + .5);
    int length =
        snprintf(out, 32, "%" PRIu64 ".%09" PRIu64, ns / UINT64_C(1000000000), ns % 1000000000);
    while (out[length - 1] == '0' && out[length - 2] != '.')
        out[--length] = '\0';
    return out;
}

static void head(text *t, const char *name, const char *type, const char *help)
{
    put(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void counter(text *t, const char *name, const char *help, uint64_t value)
{
    head(t, name, "counter", help);
    put(t, "%s %" PRIu64 "\n", name, value);
}

static void gauge(text *t, const char *name, const char *help, uint64_t value)
{
    head(t, name, "gauge", help);
    put(t, "%s %" PRIu64 "\n", name, value);
}

/* A counter with one label; ends with a label of NULL. */
typedef struct labelled {
    const char *label;
    uint64_t value;
} labelled;

static void counters(text *t, const char *name, const char *help, const char *label,
                     const labelled *values)
{
    head(t, name, "counter", help);
    for (; values->label; values++)
        put(t, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, values->label, values->value);
}

/* Buckets here hold those of the smaller ones too. */
static void histogram(text *t, const char *name, const char *help, const citadel_histogram *h,
                      int is_time)
{
    char number[32];
    uint64_t below = 0;
    head(t, name, "histogram", help);
    for (int i = 0; i < CITADEL_HISTOGRAM_BUCKETS - 1; i++) {
        below += h->buckets[i];
        uint64_t multiple = UINT64_C(1) << i;
        if (is_time)
            seconds(number, 1e-9 * (double)(CE_HISTOGRAM_FIRST_NS * multiple));
        else
            snprintf(number, sizeof number, "%" PRIu64, multiple);
        put(t, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, number, below);
    }
    put(t, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, h->count);
    put(t, "%s_sum %s\n%s_count %" PRIu64 "\n", name, seconds(number, h->sum), name, h->count);
}

static void summary(text *t, const char *name, const char *help, double sum, uint64_t count)
{
    char number[32];
    head(t, name, "summary", help);
    put(t, "%s_sum %s\n%s_count %" PRIu64 "\n", name, seconds(number, sum), name, count);
}

static void escaped(text *t, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n')
            put(t, "\\n");
        else
            put(t, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
    }
}

/* ---- Families ----------------------------------------------------------------------------- */

static void put_requests(text *t, const citadel_metrics *m)
{
    counter(t, "citadel_request_success_total", "Calls that embedded all their texts.",
            m->requests_ok);
    counters(t, "citadel_request_failure_total", "Calls that failed, by reason.", "err",
             (const labelled[]){{"invalid", m->failed_invalid},
                                {"text", m->failed_text},
                                {"not_finite", m->failed_not_finite},
                                {"model", m->failed_model},
                                {"memory", m->failed_memory},
                                {"busy", m->failed_busy},
                                {"backend", m->failed_backend},
                                {"internal", m->failed_internal},
                                {NULL, 0}});
    counter(t, "citadel_texts_total", "Texts computed.", m->texts);
    counter(t, "citadel_tokens_total", "Tokens computed, special tokens included.", m->tokens);
    histogram(t, "citadel_request_duration_seconds", "Time of a call without the load of a model.",
              &m->total, 1);
    histogram(t, "citadel_request_tokenization_duration_seconds", "Time to tokenize its texts.",
              &m->tokenize, 1);
    histogram(t, "citadel_request_queue_duration_seconds", "Time it waited for a free thread.",
              &m->queue, 1);
    histogram(t, "citadel_request_inference_duration_seconds", "Time to compute its vectors.",
              &m->compute, 1);
    histogram(t, "citadel_batch_size", "Texts in a pass through a model.", &m->batch_texts, 0);
    histogram(t, "citadel_batch_tokens", "Tokens in a pass through a model.", &m->batch_tokens, 0);
    counter(t, "citadel_nan_recoveries_total",
            "Texts computed again in higher precision because of NaN or infinity.",
            m->nan_recoveries);
}

static void put_cache(text *t, const citadel_metrics *m)
{
    counter(t, "citadel_cache_hits_total", "Calls whose model was loaded.", m->hits);
    counter(t, "citadel_cache_misses_total", "Calls whose model was not loaded.", m->misses);
    counter(t, "citadel_cache_joins_total", "Calls whose model another thread was loading.",
            m->joins);
    counters(t, "citadel_cache_evictions_total", "Models that left memory, by reason.", "reason",
             (const labelled[]){{"count", m->evictions_count},
                                {"bytes", m->evictions_bytes},
                                {"idle", m->evictions_idle},
                                {NULL, 0}});
    summary(t, "citadel_model_load_duration_seconds", "Time of loads that ended well.",
            m->load_seconds, m->loads);
    counter(t, "citadel_model_load_failures_total", "Loads that failed.", m->load_failures);
    summary(t, "citadel_model_warmup_duration_seconds", "Time of warm-ups that ended well.",
            m->warmup_seconds, m->warmups);
    counter(t, "citadel_model_fallbacks_total", "Forms of models that failed and gave way.",
            m->fallbacks);
    gauge(t, "citadel_cache_models", "Models in memory.", m->models);
    gauge(t, "citadel_cache_models_limit", "Models that may be in memory.", m->models_limit);
    gauge(t, "citadel_cache_models_pinned", "Models that stay in memory.", m->models_pinned);
    gauge(t, "citadel_cache_bytes", "Memory of all models.", m->bytes);
    gauge(t, "citadel_cache_limit_bytes", "Memory that all models may take; 0: no limit.",
          m->bytes_limit);
    gauge(t, "citadel_process_resident_bytes", "Resident memory of the process.", m->process_bytes);
}

static int is_ready(const citadel_model *model)
{
    return model->slot.state == CE_CACHE_READY;
}

/* A form may be there twice, when one model fell back to it and another was asked for: for Prometheus it is one. */
static int same_series(const citadel_model *a, const citadel_model *b)
{
    return is_ready(a) && is_ready(b) && strcmp(a->slot.id, b->slot.id) == 0 &&
           a->pack->chosen->precision == b->pack->chosen->precision &&
           strcmp(a->pack->chosen->form, b->pack->chosen->form) == 0;
}

static int seen_before(const ce_cache *cache, const citadel_model *model)
{
    const citadel_model *m = cache->models;
    while (m != model && !same_series(m, model))
        m = m->slot.next;
    return m != model;
}

static void put_model(text *t, const char *name, const citadel_model *model)
{
    uint64_t bytes = 0;
    for (const citadel_model *m = model; m; m = m->slot.next)
        bytes += same_series(m, model) ? m->slot.bytes : 0;
    put(t, "%s{model=\"", name);
    escaped(t, model->pack->name);
    put(t, "\",id=\"%.12s\",form=\"", model->slot.id);
    escaped(t, model->pack->chosen->form);
    put(t, "\",precision=\"%s\"} %" PRIu64 "\n", ce_precision_name(model->pack->chosen->precision),
        bytes);
}

static void put_models(text *t, ce_cache *cache)
{
    const char *name = "citadel_model_resident_bytes";
    head(t, name, "gauge", "Memory of a model, its mapped weights included.");
    pthread_mutex_lock(&cache->lock);
    for (const citadel_model *m = cache->models; m; m = m->slot.next)
        if (is_ready(m) && !seen_before(cache, m))
            put_model(t, name, m);
    pthread_mutex_unlock(&cache->lock);
}

static void put_all(text *t, citadel_engine *engine)
{
    citadel_metrics metrics;
    ce_metrics_take(engine, &metrics);
    put_requests(t, &metrics);
    put_cache(t, &metrics);
    put_models(t, &engine->cache);
    head(t, "citadel_build_info", "gauge", "The version of the library.");
    put(t, "citadel_build_info{version=\"%s\"} 1\n", citadel_version());
}

/* ---- Public ------------------------------------------------------------------------------- */

static int write_text(citadel_engine *engine, char *buffer, size_t capacity, size_t *length,
                      ce_error *error)
{
    if (!engine || !length || (!buffer && capacity))
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL",
                       !engine   ? "engine"
                       : !length ? "length"
                                 : "buffer");
    int status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    text t = {.buffer = buffer, .capacity = buffer ? capacity : 0};
    put_all(&t, engine);
    ce_engine_leave(engine);
    *length = t.length;
    if (buffer && t.length >= capacity)
        return ce_fail(error, CE_E_CAPACITY,
                       "buffer has room for %zu bytes, but the metrics are %zu and NUL", capacity,
                       t.length);
    return CE_OK;
}

citadel_status citadel_metrics_text(const citadel_engine *engine, char *buffer, size_t capacity,
                                    size_t *length, citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = write_text((citadel_engine *)engine, buffer, capacity, length, &failure);
    return ce_error_report(error, status, &failure);
}
