#ifndef EMBED_H
#define EMBED_H

#include "models.h"

/* What the log tells of a request. */
typedef struct embed_log {
    const char *model;
    size_t texts;
    unsigned long long tokens;
} embed_log;

/* The answer to POST /embed with this body, and its HTTP status. NULL: no memory. */
json_t *embed_answer(const models *m, const char *body, size_t size, size_t max_texts,
                     unsigned *status, embed_log *log);

/* {"error": {"message", "status"}}, as every answer that is not 200. */
json_t *error_answer(unsigned status, const char *message);

#endif
