#include "session.h"

#include "report.h"

#include <stdlib.h>

static int32_t log_level(const settings *s)
{
    return s->quiet ? CITADEL_LOG_ERROR : s->verbose ? CITADEL_LOG_INFO : CITADEL_LOG_WARNING;
}

static bool failed(const citadel_error *error)
{
    report_error("%s", error->message);
    return false;
}

bool session_open_engine(citadel_engine **engine, const settings *wanted)
{
    citadel_error error = CITADEL_ERROR_INIT;
    citadel_engine_options options = CITADEL_ENGINE_OPTIONS_INIT;
    options.config_file = wanted->config;
    options.threads = wanted->threads;
    options.backend = (int32_t)wanted->backend;
    options.log = report_log;
    options.log_level = log_level(wanted);
    options.compile = wanted->no_compile ? CITADEL_SWITCH_OFF : CITADEL_SWITCH_DEFAULT;
    options.mixed_precision = wanted->mixed_precision ? CITADEL_SWITCH_ON : CITADEL_SWITCH_DEFAULT;
    return citadel_engine_create(&options, engine, &error) == CITADEL_OK || failed(&error);
}

bool session_open(session *s, const settings *wanted)
{
    citadel_error error = CITADEL_ERROR_INIT;
    citadel_load_options load = CITADEL_LOAD_OPTIONS_INIT;
    load.precision = (int32_t)wanted->precision;

    *s = (session){0};
    if (!session_open_engine(&s->engine, wanted))
        return false;
    return citadel_model_load(s->engine, wanted->model, &load, &s->model, &error) == CITADEL_OK ||
           failed(&error);
}

void session_close(session *s)
{
    citadel_model_unload(s->model);
    citadel_engine_destroy(s->engine);
    *s = (session){0};
}

bool session_config(const session *s, buffer *text)
{
    citadel_error error = CITADEL_ERROR_INIT;
    size_t length;
    if (citadel_config_text(s->engine, NULL, 0, &length, &error) != CITADEL_OK)
        return failed(&error);
    char *room = buffer_reserve(text, length + 1);
    if (citadel_config_text(s->engine, room, length + 1, NULL, &error) != CITADEL_OK)
        return failed(&error);
    text->used += length;
    return true;
}

/* A pack may come to be between the two calls: then the names no longer fit. */
bool session_names(const session *s, uint32_t which, buffer *text)
{
    citadel_error error = CITADEL_ERROR_INIT;
    size_t length = 0;
    citadel_status status = citadel_model_names(s->engine, which, NULL, 0, &length, &error);
    while (status == CITADEL_OK || status == CITADEL_E_CAPACITY) {
        char *room = buffer_reserve(text, length + 1);
        status = citadel_model_names(s->engine, which, room, length + 1, &length, &error);
        if (status == CITADEL_OK) {
            text->used += length;
            return true;
        }
    }
    return failed(&error);
}

bool session_forms(const session *s, const char *name, buffer *text, citadel_error *error)
{
    size_t length = 0;
    citadel_status status = citadel_model_forms(s->engine, name, NULL, NULL, 0, &length, error);
    while (status == CITADEL_OK || status == CITADEL_E_CAPACITY) {
        char *room = buffer_reserve(text, length + 1);
        status = citadel_model_forms(s->engine, name, NULL, room, length + 1, &length, error);
        if (status == CITADEL_OK) {
            text->used += length;
            return true;
        }
    }
    return false;
}

bool is_text_failure(citadel_status status)
{
    return status == CITADEL_E_INVALID_UTF8 || status == CITADEL_E_NOT_FINITE ||
           status == CITADEL_E_UNSUPPORTED; /* an empty text, for a model without special tokens */
}

const char *explain_failure(const session *s, const char *text, size_t length,
                            citadel_status status, citadel_error *error)
{
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    if (citadel_tokenize(s->model, text, length, NULL, &tokens, error) == status)
        return error->message;
    return citadel_status_string(status);
}

bool embedder_open(embedder *e, const session *s, const citadel_embed_options *options)
{
    *e = (embedder){.session = s, .options = *options};
    e->dim = options->truncate_dim ? options->truncate_dim : citadel_model_dim(s->model);
    citadel_error error = CITADEL_ERROR_INIT;
    if (citadel_model_embed(s->model, NULL, NULL, 0, options, NULL, 0, NULL, &error) != CITADEL_OK)
        return failed(&error);
    return true;
}

static void make_room(embedder *e, size_t count)
{
    if (count <= e->capacity)
        return;
    e->vectors = must_resize(e->vectors, count, e->dim * sizeof *e->vectors);
    e->results = must_resize(e->results, count, sizeof *e->results);
    e->capacity = count;
}

/* The call's status is that of its first bad text, or of an error that stopped it: then every
 * text has it. */
bool embedder_run(embedder *e, const chunk *texts)
{
    citadel_error error = CITADEL_ERROR_INIT;
    make_room(e, texts->count);
    citadel_status status =
        citadel_model_embed(e->session->model, texts->texts, texts->lengths, texts->count,
                            &e->options, e->vectors, texts->count * e->dim, e->results, &error);
    return status == CITADEL_OK || is_text_failure(status) ? true : failed(&error);
}

void embedder_close(embedder *e)
{
    free(e->vectors);
    free(e->results);
    *e = (embedder){0};
}
