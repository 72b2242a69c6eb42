/* Memory for prepared weights: a file of the cache, mapped, or pages of our own where there is none. */
#ifndef CE_NATIVE_STORE_H
#define CE_NATIVE_STORE_H

#include "backend.h"
#include "base/error.h"

#include <stddef.h>

typedef struct ce_store {
    void *mapping;
    size_t mapped;
    void *data; /* [size], aligned to 64 bytes */
    size_t size;
    ce_accuracy accuracy; /* of the model, kept beside its weights */
    /* Of a file that is being written: its name to be (else NULL), the one that it has until then, if any, and its
     * descriptor. */
    char *path, *temporary;
    int file;
} ce_store;

/* Map a file that was prepared for `key` (64 hexadecimal digits) and has `size` bytes of data that agree with
 * their checksum. It must belong to the process's user, or to root, and nobody else may write it. 0: there is none. */
int ce_store_open(ce_store *store, const char *path, const char *key, size_t size);

/* Writable memory: in a new file beside `path`, with room for all of it, or, where that cannot be made or `path` is NULL,
 * in memory alone. */
int ce_store_create(ce_store *store, const char *path, size_t size, ce_error *error);

/* The data are complete: from here on they are read only, and a file takes its name. A file that cannot is no
 * failure: the memory stays. */
void ce_store_finish(ce_store *store, const char *key);

void ce_store_close(ce_store *store); /* zeros are allowed */

#endif
