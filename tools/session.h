/* The library as the commands use it: one engine, one model, texts in chunks. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "buffer.h"
#include "citadel_embed.h"
#include "options.h"
#include "reader.h"

#include <stdbool.h>

typedef struct session {
    citadel_engine *engine;
    citadel_model *model;
} session;

/* These return false after an error that has been reported. */
bool session_open_engine(citadel_engine **engine, const settings *wanted);
bool session_open(session *s, const settings *wanted);
void session_close(session *s);

/* Texts of the library, appended. */
bool session_config(const session *s, buffer *text);
bool session_names(const session *s, uint32_t which, buffer *text); /* CITADEL_MODELS_* */

/* Here a failure is not reported, but left in `error`. */
bool session_forms(const session *s, const char *name, buffer *text, citadel_error *error);

/* Whether `status` is about one text, so that the others can go on. */
bool is_text_failure(citadel_status status);

/* Why `text` failed with `status`, without its place; valid as long as `error`. */
const char *explain_failure(const session *s, const char *text, size_t length,
                            citadel_status status, citadel_error *error);

/* Embeds chunks with one set of options; `vectors` and `results` hold the last chunk's. */
typedef struct embedder {
    const session *session;
    citadel_embed_options options;
    size_t dim;
    size_t capacity;
    float *vectors;
    citadel_text_result *results;
} embedder;

/* The options are checked here, before any text is read. */
bool embedder_open(embedder *e, const session *s, const citadel_embed_options *options);

/* True also if single texts failed: `results` tells. */
bool embedder_run(embedder *e, const chunk *texts);

void embedder_close(embedder *e);

#endif
