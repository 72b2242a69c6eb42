#ifndef MODELS_H
#define MODELS_H

#include <citadel_embed.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

/* A model that is served. Nothing else can be asked for: a pack can hold code. */
typedef struct served_model {
    char *source;     /* name or path, for the library */
    const char *name; /* for clients: the last part of the path */
    pthread_mutex_t lock;
    /* Guarded by the lock. */
    bool ready;
    size_t dim;
    const char *precision;
    char form[24];
    citadel_error error;
} served_model;

typedef struct models {
    citadel_engine *engine;
    served_model *list;
    size_t count;
} models;

typedef struct embedding {
    float *vectors; /* [count, dim]; free() it */
    size_t dim;
    unsigned long long tokens;
} embedding;

/* Loads what is named in `names`; a model that fails is tried again when it is asked for. False if
 * there can be no service at all, after a line on standard error. */
bool models_open(models *m, const char *names);
void models_close(models *m);

/* NULL: the first. NULL if there is none of that name. */
served_model *models_find(const models *m, const char *name);

/* The HTTP status; other than 200 with the error filled. */
unsigned models_embed(const models *m, served_model *model, const char *const *texts,
                      const size_t *lengths, size_t count, const char *prompt_name, embedding *out,
                      citadel_error *error);

/* The answer to GET /health, and its HTTP status. */
json_t *models_health(const models *m, unsigned *status);

#endif
