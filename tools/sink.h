/* Where results go: standard output, or a file that appears under its name only when it is
 * complete. */
#ifndef CLI_SINK_H
#define CLI_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct sink {
    FILE *file;
    const char *name; /* for messages */
    char *target;     /* what the temporary file will be renamed to; NULL: written in place */
} sink;

/* `path` NULL or "-": standard output. These return false after an error that has been reported; a
 * reader that went away (EPIPE) is no news to anybody and not reported. */
bool sink_open(sink *s, const char *path);
bool sink_write(sink *s, const void *bytes, size_t length);
bool sink_flush(sink *s);

/* All has been written: give the file its name. */
bool sink_finish(sink *s);

/* Without sink_finish what was written to a file is dropped. */
void sink_close(sink *s);

bool sink_is_terminal(const sink *s);

#endif
