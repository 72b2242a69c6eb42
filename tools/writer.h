/* Vectors in one of the output formats. */
#ifndef CLI_WRITER_H
#define CLI_WRITER_H

#include "buffer.h"
#include "citadel_embed.h"
#include "sink.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct writer {
    sink *out;
    uint32_t format;
    size_t dim;
    buffer row;
    FILE *spool; /* npy: the rows, because their number comes before them */
    uint64_t rows;
} writer;

/* These return false after an error that has been reported. */
bool writer_open(writer *w, sink *out, uint32_t format, size_t dim);
bool writer_vector(writer *w, const float *vector, const citadel_text_result *result);
bool writer_finish(writer *w);
void writer_close(writer *w);

#endif
