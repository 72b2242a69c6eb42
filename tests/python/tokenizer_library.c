/* The tokenizer as a shared library of its own, so that pytest can drive millions of texts through it. */
#include "base/mem.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef struct driver {
    ce_tokenizer *tokenizer;
    ce_tokenizer_scratch *scratch;
} driver;

EXPORT void driver_destroy(driver *d)
{
    ce_tokenizer_destroy(d->tokenizer);
    ce_tokenizer_scratch_destroy(d->scratch);
    ce_free(d);
}

/* NULL, with the reason in `message` (512 bytes), if the file is refused. */
EXPORT driver *driver_create(const char *json, size_t size, char *message)
{
    ce_error error;
    driver *d = ce_calloc(1, sizeof *d);
    int status = ce_tokenizer_create(json, size, &d->tokenizer, &error);
    if (status == CE_OK)
        status = ce_tokenizer_scratch_create(&d->scratch, &error);
    if (status == CE_OK)
        return d;
    snprintf(message, 512, "%d %s", status, error.message);
    driver_destroy(d);
    return NULL;
}

/* The number of ids, which are written to `ids` as far as there is room; a negative status after a failure. */
EXPORT long driver_encode(driver *d, const char *text, size_t size, size_t max_tokens,
                          const char *prompt, size_t prompt_size, int *ids, size_t capacity,
                          int *truncated, char *message)
{
    const ce_encode_options options = {
        .max_tokens = max_tokens, .prompt = prompt, .prompt_length = prompt_size};
    ce_encoding encoding;
    ce_error error;
    int status =
        ce_tokenizer_encode(d->tokenizer, d->scratch, text, size, &options, &encoding, &error);
    if (status != CE_OK) {
        snprintf(message, 512, "%s", error.message);
        return -status;
    }
    memcpy(ids, encoding.ids,
           (encoding.count < capacity ? encoding.count : capacity) * sizeof *ids);
    *truncated = encoding.truncated;
    return (long)encoding.count;
}

/* Many texts in one go, for sweeps: all ids end to end, and the count for each text. */
EXPORT long driver_encode_batch(driver *d, const char *texts, const size_t *sizes, size_t count,
                                int *ids, size_t capacity, int *counts)
{
    size_t used = 0;
    for (size_t i = 0; i < count; texts += sizes[i++]) {
        ce_encode_options options = {0};
        ce_encoding encoding;
        if (ce_tokenizer_encode(d->tokenizer, d->scratch, texts, sizes[i], &options, &encoding,
                                NULL) != CE_OK ||
            encoding.count > capacity - used)
            return -1;
        memcpy(ids + used, encoding.ids, encoding.count * sizeof *ids);
        used += encoding.count;
        counts[i] = (int)encoding.count;
    }
    return (long)used;
}
