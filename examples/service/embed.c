#include "embed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_SIZE = 512 };

/* A request as it was understood; everything points into `json`. */
typedef struct wanted {
    json_t *json;
    const char *model, *prompt_name;
    bool single; /* "text", not "texts" */
    size_t count;
    const char **texts;
    size_t *lengths;
} wanted;

json_t *error_answer(unsigned status, const char *message)
{
    json_t *text = json_string(message);
    return json_pack("{s{so si}}", "error", "message", text ? text : json_string("no message"),
                     "status", (int)status);
}

static bool refuse(char *why, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, WHY_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

/* A name that is cut could end inside a character. */
static const char *shown(const char *name)
{
    return strlen(name) <= 100 ? name : "(a long name)";
}

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {"an object", "an array", "a string", "a number",
                                        "a number",  "true",     "false",    "null"};
    return names[json_typeof(value)];
}

/* ---- Understanding ------------------------------------------------------------------------ */

/* A name goes to the library as a C string: a NUL would cut it. */
static bool read_name(const char *key, const json_t *value, const char **out, char *why)
{
    if (!value || json_is_null(value))
        return true;
    if (!json_is_string(value))
        return refuse(why, "\"%s\" is %s, expected a string", key, type_name(value));
    *out = json_string_value(value);
    if (strlen(*out) != json_string_length(value))
        return refuse(why, "\"%s\" has a NUL in it", key);
    return true;
}

static bool check_keys(json_t *json, char *why)
{
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        if (strcmp(key, "text") != 0 && strcmp(key, "texts") != 0 && strcmp(key, "model") != 0 &&
            strcmp(key, "prompt_name") != 0)
            return refuse(why, "unknown member \"%s\", expected text, texts, model, prompt_name",
                          shown(key));
    }
    return true;
}

static bool read_text(wanted *w, size_t i, const json_t *value, char *why)
{
    if (!json_is_string(value))
        return w->single
                   ? refuse(why, "\"text\" is %s, expected a string", type_name(value))
                   : refuse(why, "\"texts\"[%zu] is %s, expected a string", i, type_name(value));
    w->texts[i] = json_string_value(value);
    w->lengths[i] = json_string_length(value);
    return true;
}

static bool read_texts(wanted *w, size_t max_texts, char *why)
{
    const json_t *one = json_object_get(w->json, "text"), *many = json_object_get(w->json, "texts");
    if (!one == !many)
        return refuse(why, "expected either \"text\" or \"texts\"");
    if (many && !json_is_array(many))
        return refuse(why, "\"texts\" is %s, expected an array", type_name(many));
    w->single = one != NULL;
    w->count = one ? 1 : json_array_size(many);
    if (w->count == 0 || w->count > max_texts)
        return refuse(why, "\"texts\" has %zu texts, expected 1 to %zu", w->count, max_texts);
    w->texts = calloc(w->count, sizeof *w->texts);
    w->lengths = calloc(w->count, sizeof *w->lengths);
    if (!w->texts || !w->lengths)
        return refuse(why, "no memory for %zu texts", w->count);
    for (size_t i = 0; i < w->count; i++)
        if (!read_text(w, i, one ? one : json_array_get(many, i), why))
            return false;
    return true;
}

static bool understand(wanted *w, const char *body, size_t size, size_t max_texts, char *why)
{
    json_error_t error;
    w->json = json_loadb(body ? body : "", size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!w->json)
        return refuse(why, "the body is not JSON: line %d, column %d: %s", error.line, error.column,
                      error.text);
    if (!json_is_object(w->json))
        return refuse(why, "the body is %s, expected an object", type_name(w->json));
    return check_keys(w->json, why) &&
           read_name("model", json_object_get(w->json, "model"), &w->model, why) &&
           read_name("prompt_name", json_object_get(w->json, "prompt_name"), &w->prompt_name,
                     why) &&
           read_texts(w, max_texts, why);
}

static void wanted_free(wanted *w)
{
    json_decref(w->json);
    free(w->texts);
    free(w->lengths);
}

/* ---- Answering ---------------------------------------------------------------------------- */

static json_t *vector_json(const float *vector, size_t dim)
{
    json_t *array = json_array();
    for (size_t d = 0; d < dim; d++)
        json_array_append_new(array, json_real((double)vector[d]));
    return array;
}

static json_t *vectors_json(const wanted *w, const embedding *e)
{
    if (w->single)
        return vector_json(e->vectors, e->dim);
    json_t *array = json_array();
    for (size_t i = 0; i < w->count; i++)
        json_array_append_new(array, vector_json(e->vectors + i * e->dim, e->dim));
    return array;
}

static json_t *answer(const models *m, const wanted *w, unsigned *status, embed_log *log)
{
    embedding e = {0};
    citadel_error error = CITADEL_ERROR_INIT;
    served_model *model = models_find(m, w->model);
    if (!model) {
        *status = 404;
        snprintf(error.message, sizeof error.message,
                 "no model \"%s\" is served; GET /health has those that are", shown(w->model));
        return error_answer(*status, error.message);
    }
    log->model = model->name;
    log->texts = w->count;
    *status = models_embed(m, model, w->texts, w->lengths, w->count, w->prompt_name, &e, &error);
    log->tokens = e.tokens;
    json_t *json = *status == 200
                       ? json_pack("{ss sI so sI}", "model", model->name, "dim", (json_int_t)e.dim,
                                   w->single ? "embedding" : "embeddings", vectors_json(w, &e),
                                   "tokens", (json_int_t)e.tokens)
                       : error_answer(*status, error.message);
    free(e.vectors);
    return json;
}

json_t *embed_answer(const models *m, const char *body, size_t size, size_t max_texts,
                     unsigned *status, embed_log *log)
{
    wanted w = {0};
    char why[WHY_SIZE] = "";
    json_t *json;
    if (understand(&w, body, size, max_texts, why)) {
        json = answer(m, &w, status, log);
    } else {
        *status = 400;
        json = error_answer(*status, why);
    }
    wanted_free(&w);
    return json;
}
