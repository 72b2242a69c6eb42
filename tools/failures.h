/* Texts that failed while the others go on (JSON lines). */
#ifndef CLI_FAILURES_H
#define CLI_FAILURES_H

#include "buffer.h"
#include "citadel_embed.h"
#include "sink.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct failures {
    size_t count;
    buffer first; /* "FILE, line 3: the reason" */
} failures;

/* Write {"error":...} in the place of the results. False after an error that has been reported. */
bool failures_write(failures *f, sink *out, const char *place, citadel_status status,
                    const char *message);

/* The last word about `total` texts: false if some failed. */
bool failures_report(const failures *f, size_t total);

void failures_free(failures *f);

#endif
