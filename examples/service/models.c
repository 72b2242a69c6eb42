#include "models.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *precision_name(int32_t precision)
{
    static const char *const names[] = {"auto", "fp32", "bf16", "fp16", "int8", "int8-accurate"};
    return precision >= 0 && precision <= CITADEL_PRECISION_INT8_ACCURATE ? names[precision]
                                                                          : "unknown";
}

/* ---- Load --------------------------------------------------------------------------------- */

/* A pin keeps the model while it has no other owner; without either it would leave the cache. */
static citadel_status load(citadel_engine *engine, served_model *m, citadel_error *error)
{
    citadel_model *handle = NULL;
    citadel_info info = CITADEL_INFO_INIT;
    citadel_status status = citadel_model_pin(engine, m->source, NULL, 1, error);
    if (status != CITADEL_OK)
        return status;
    status = citadel_model_load(engine, m->source, NULL, &handle, error);
    if (status == CITADEL_OK)
        status = citadel_model_info(handle, &info, error);
    if (status == CITADEL_OK) {
        m->dim = info.dim;
        m->precision = precision_name(info.precision);
        snprintf(m->form, sizeof m->form, "%s", info.form);
        fprintf(stderr, "%s: %s %s, %u dimensions, loaded in %.2f s\n", m->name, m->form,
                m->precision, info.dim, info.load_seconds);
    }
    citadel_model_unload(handle);
    citadel_error ignored = CITADEL_ERROR_INIT;
    (void)!citadel_model_pin(engine, m->source, NULL, 0, &ignored);
    return status;
}

/* Called with the lock. */
static bool prepare(citadel_engine *engine, served_model *m)
{
    if (m->ready)
        return true;
    m->ready = load(engine, m, &m->error) == CITADEL_OK;
    if (!m->ready)
        fprintf(stderr, "%s: %s\n", m->name, m->error.message);
    return m->ready;
}

static bool add(models *m, const char *source, size_t length)
{
    served_model *list = realloc(m->list, (m->count + 1) * sizeof *list);
    if (!list)
        return false;
    m->list = list;
    served_model *model = &list[m->count];
    *model = (served_model){.source = strndup(source, length), .error = CITADEL_ERROR_INIT};
    if (!model->source)
        return false;
    m->count++;
    return true;
}

static bool add_all(models *m, const char *names)
{
    for (const char *at = names; *at;) {
        size_t length = strcspn(at, ",");
        if (length > 0 && !add(m, at, length))
            return false;
        at += length;
        at += *at == ',';
    }
    return m->count > 0;
}

bool models_open(models *m, const char *names)
{
    citadel_error error = CITADEL_ERROR_INIT;
    *m = (models){0};
    if (citadel_engine_create(NULL, &m->engine, &error) != CITADEL_OK) {
        fprintf(stderr, "%s\n", error.message);
        return false;
    }
    if (!add_all(m, names)) {
        fprintf(stderr, "CITADEL_SERVICE_MODELS is '%s', expected names with commas between\n",
                names);
        models_close(m);
        return false;
    }
    for (size_t i = 0; i < m->count; i++) {
        served_model *model = &m->list[i];
        const char *slash = strrchr(model->source, '/');
        model->name = slash ? slash + 1 : model->source;
        pthread_mutex_init(&model->lock, NULL);
        prepare(m->engine, model);
    }
    return true;
}

void models_close(models *m)
{
    for (size_t i = 0; i < m->count; i++) {
        pthread_mutex_destroy(&m->list[i].lock);
        free(m->list[i].source);
    }
    free(m->list);
    citadel_engine_destroy(m->engine);
    *m = (models){0};
}

served_model *models_find(const models *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (!name || strcmp(m->list[i].name, name) == 0)
            return &m->list[i];
    return NULL;
}

/* ---- Embed -------------------------------------------------------------------------------- */

/* Of a model that could be loaded once. */
static unsigned http_status(citadel_status status, bool prompt_named)
{
    switch (status) {
    case CITADEL_OK:
        return 200;
    case CITADEL_E_INVALID_ARGUMENT:
    case CITADEL_E_INVALID_UTF8:
    case CITADEL_E_UNSUPPORTED: /* an empty text, for a model without special tokens */
        return 400;
    case CITADEL_E_NOT_FOUND: /* the prompt, or a pack that was deleted since */
        return prompt_named ? 400 : 503;
    case CITADEL_E_BUSY:
    case CITADEL_E_NO_MEMORY:
        return 503;
    default:
        return 500;
    }
}

/* The dimension that was known when the room was made; 0 with the error filled. */
static size_t dim_of(const models *m, served_model *model, citadel_error *error)
{
    pthread_mutex_lock(&model->lock);
    size_t dim = prepare(m->engine, model) ? model->dim : 0;
    if (!dim)
        *error = model->error;
    pthread_mutex_unlock(&model->lock);
    return dim;
}

static void forget(served_model *model)
{
    pthread_mutex_lock(&model->lock);
    model->ready = false;
    pthread_mutex_unlock(&model->lock);
}

static unsigned no_memory(citadel_error *error)
{
    error->code = CITADEL_E_NO_MEMORY;
    snprintf(error->message, sizeof error->message, "no memory for the vectors");
    return 503;
}

unsigned models_embed(const models *m, served_model *model, const char *const *texts,
                      const size_t *lengths, size_t count, const char *prompt_name, embedding *out,
                      citadel_error *error)
{
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.prompt_name = prompt_name;
    *out = (embedding){.dim = dim_of(m, model, error)};
    if (!out->dim)
        return 503;
    size_t floats = count * out->dim;
    citadel_text_result *results = calloc(count + 1, sizeof *results);
    out->vectors = malloc((floats + 1) * sizeof *out->vectors);
    if (!results || !out->vectors) {
        free(results);
        return no_memory(error);
    }
    if (floats > 0)
        out->vectors[floats - 1] = NAN;
    citadel_status status = citadel_embed(m->engine, model->source, texts, lengths, count, &options,
                                          out->vectors, floats, results, error);
    for (size_t i = 0; i < count; i++)
        out->tokens += results[i].tokens;
    free(results);
    /* The model was loaded anew from a pack of another dimension, which has to be asked for. */
    if (status == CITADEL_E_CAPACITY ||
        (status == CITADEL_OK && floats > 0 && isnan(out->vectors[floats - 1]))) {
        forget(model);
        snprintf(error->message, sizeof error->message, "the pack of '%s' was replaced: try again",
                 model->name);
        return 503;
    }
    return http_status(status, prompt_name != NULL);
}

/* ---- Health ------------------------------------------------------------------------------- */

static json_t *describe(served_model *m)
{
    pthread_mutex_lock(&m->lock);
    json_t *found = m->ready
                        ? json_pack("{ss ss ss ss sI}", "name", m->name, "status", "ready", "form",
                                    m->form, "precision", m->precision, "dim", (json_int_t)m->dim)
                        : json_pack("{ss ss ss}", "name", m->name, "status", "failed", "error",
                                    m->error.message);
    pthread_mutex_unlock(&m->lock);
    return found;
}

static bool is_ready(const json_t *description)
{
    return strcmp(json_string_value(json_object_get(description, "status")), "ready") == 0;
}

json_t *models_health(const models *m, unsigned *status)
{
    json_t *list = json_array();
    size_t ready = 0;
    for (size_t i = 0; i < m->count; i++) {
        json_t *description = describe(&m->list[i]);
        if (!description)
            continue;
        ready += is_ready(description);
        json_array_append_new(list, description);
    }
    *status = ready > 0 ? 200 : 503;
    return json_pack("{ss ss so}", "status",
                     ready == m->count ? "ok"
                     : ready > 0       ? "degraded"
                                       : "failed",
                     "version", citadel_version(), "models", list);
}
