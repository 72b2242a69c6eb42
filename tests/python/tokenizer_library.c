/* The tokenizer as a shared library of its own, so that Python can drive millions of texts through it, and time it
 * without Python in between. */
#include "base/mem.h"
#include "tokenizer/tokenizer.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_THREADS 16

/* One scratch for each thread, kept for the next call as a program would keep it. */
typedef struct driver {
    ce_tokenizer *tokenizer;
    ce_tokenizer_scratch *scratches[MAX_THREADS];
} driver;

/* Texts end to end, what to do with each, and room for what comes out, end to end too. tokenizer_driver.py has the
 * same struct. */
typedef struct driver_batch {
    const char *texts;
    const size_t *sizes;
    const char *pairs; /* NULL, or a second text for each */
    const size_t *pair_sizes;
    size_t count;
    const char *prompt;
    size_t prompt_size;
    size_t max_tokens;
    int no_specials;
    int truncate_left;
    int32_t *ids;
    ce_span *spans;    /* NULL: none wanted */
    int32_t *type_ids; /* NULL: none wanted */
    size_t capacity;   /* of the three above */
    int32_t *counts;
    int32_t *truncated;
} driver_batch;

EXPORT void driver_destroy(driver *d)
{
    ce_tokenizer_destroy(d->tokenizer);
    for (size_t i = 0; i < MAX_THREADS; i++)
        ce_tokenizer_scratch_destroy(d->scratches[i]);
    ce_free(d);
}

/* NULL, with the reason in `message` (512 bytes), if the file is refused. */
EXPORT driver *driver_create(const char *json, size_t size, char *message)
{
    ce_error error;
    driver *d = ce_calloc(1, sizeof *d);
    int status = ce_tokenizer_create(json, size, &d->tokenizer, &error);
    if (status == CE_OK)
        status = ce_tokenizer_scratch_create(&d->scratches[0], &error);
    if (status == CE_OK)
        return d;
    snprintf(message, 512, "%d %s", status, error.message);
    driver_destroy(d);
    return NULL;
}

static ce_encode_options options_of(const driver_batch *b, const char *pair, size_t index)
{
    return (ce_encode_options){
        .max_tokens = b->max_tokens,
        .no_specials = b->no_specials,
        .truncate_left = b->truncate_left,
        .offsets = b->spans != NULL,
        .prompt = b->prompt,
        .prompt_length = b->prompt_size,
        .pair = pair,
        .pair_length = pair ? b->pair_sizes[index] : 0,
    };
}

static void keep(const driver_batch *b, size_t index, size_t used, const ce_encoding *e)
{
    memcpy(b->ids + used, e->ids, e->count * sizeof *e->ids);
    if (b->spans)
        memcpy(b->spans + used, e->offsets, e->count * sizeof *e->offsets);
    if (b->type_ids && e->type_ids)
        memcpy(b->type_ids + used, e->type_ids, e->count * sizeof *e->type_ids);
    else if (b->type_ids)
        memset(b->type_ids + used, 0, e->count * sizeof *b->type_ids);
    b->counts[index] = (int32_t)e->count;
    b->truncated[index] = e->truncated;
}

/* The number of ids of all texts; -1, with the reason in `message`, at the first text that fails. */
EXPORT long driver_encode(driver *d, const driver_batch *b, char *message)
{
    const char *text = b->texts, *pair = b->pairs;
    size_t used = 0;
    for (size_t i = 0; i < b->count; i++) {
        ce_encode_options options = options_of(b, pair, i);
        ce_encoding encoding;
        ce_error error;
        int status = ce_tokenizer_encode(d->tokenizer, d->scratches[0], text, b->sizes[i], &options,
                                         &encoding, &error);
        if (status != CE_OK || encoding.count > b->capacity - used) {
            snprintf(message, 512, "%d %s", status,
                     status == CE_OK ? "no room for the ids" : error.message);
            return -1;
        }
        keep(b, i, used, &encoding);
        used += encoding.count;
        text += b->sizes[i];
        pair = pair ? pair + b->pair_sizes[i] : NULL;
    }
    return (long)used;
}

typedef struct timed_part {
    const ce_tokenizer *tokenizer;
    ce_tokenizer_scratch *scratch;
    const driver_batch *batch;
    const char *texts;
    size_t first, end;
    long tokens; /* -1 after a failure */
} timed_part;

static void *encode_part(void *argument)
{
    timed_part *p = argument;
    const char *text = p->texts;
    for (size_t i = p->first; i < p->end && p->tokens >= 0; text += p->batch->sizes[i++]) {
        ce_encode_options options = options_of(p->batch, NULL, i);
        ce_encoding encoding;
        int status = ce_tokenizer_encode(p->tokenizer, p->scratch, text, p->batch->sizes[i],
                                         &options, &encoding, NULL);
        p->tokens = status == CE_OK ? p->tokens + (long)encoding.count : -1;
    }
    return NULL;
}

/* Share the texts out by their number. 0 if a thread has no scratch. */
static int make_parts(driver *d, const driver_batch *b, timed_part *parts, size_t threads)
{
    const char *text = b->texts;
    size_t first = 0;
    for (size_t i = 0; i < threads; i++) {
        size_t end = b->count * (i + 1) / threads;
        if (!d->scratches[i] && ce_tokenizer_scratch_create(&d->scratches[i], NULL) != CE_OK)
            return 0;
        parts[i] = (timed_part){d->tokenizer, d->scratches[i], b, text, first, end, 0};
        for (; first < end; first++)
            text += b->sizes[first];
    }
    return 1;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds for all texts, shared out among threads of which the caller is the first; negative after a failure.
 * Nothing of the encodings is kept. */
EXPORT double driver_time(driver *d, const driver_batch *b, size_t threads)
{
    timed_part parts[MAX_THREADS];
    pthread_t running[MAX_THREADS];
    if (threads == 0 || threads > MAX_THREADS || !make_parts(d, b, parts, threads))
        return -1;
    double before = seconds_now();
    size_t started = 1;
    while (started < threads &&
           pthread_create(&running[started], NULL, encode_part, &parts[started]) == 0)
        started++;
    encode_part(&parts[0]);
    int failed = started < threads || parts[0].tokens < 0;
    for (size_t i = 1; i < started; i++) {
        pthread_join(running[i], NULL);
        failed |= parts[i].tokens < 0;
    }
    double elapsed = seconds_now() - before;
    return failed ? -1 : elapsed;
}
