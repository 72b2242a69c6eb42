/* Texts: from the command line, or from a file or pipe with one text a line or JSON lines. */
#ifndef CLI_READER_H
#define CLI_READER_H

#include "buffer.h"
#include "options.h"

#include <stdbool.h>
#include <stddef.h>

/* Some texts that follow each other; they live until the next reader_next. */
typedef struct chunk {
    size_t first; /* number of texts[0], counted from 0 */
    size_t count;
    const char **texts;
    size_t *lengths;
    const char **pairs; /* NULL where there is none */
    size_t *pair_lengths;
} chunk;

typedef enum reader_mode { READ_AUTO, READ_LINES, READ_JSONL } reader_mode;

typedef struct reader {
    const char *name; /* for messages; NULL: texts are arguments */
    int fd;
    reader_mode mode;
    bool with_pairs; /* to be set behind reader_open: JSON lines may have a "pair" */
    bool at_end;     /* the file has no more */
    bool refused; /* a line that cannot be read, to be reported when the texts before it are done */

    buffer input; /* bytes read; the lines before `start` are done, */
    size_t start; /* and up to `scanned` there is no line feed */
    size_t scanned;
    size_t consumed, file_size; /* for the progress; file_size 0: unknown */

    buffer bytes, pair_bytes; /* of the texts in `texts` */
    buffer refusal;
    size_t capacity;
    chunk texts;
} reader;

/* The texts are the `count` arguments or, if there are none, the input that the settings name. False
 * after an error that has been reported. */
bool reader_open(reader *r, const settings *s, char **arguments, size_t count);

/* The next texts, in order; count 0 at the end. False after an error that has been reported. */
bool reader_next(reader *r, const chunk **texts);

/* How much of the input has been handed out, from 0 to 1, or -1 if its size is not known. */
double reader_part(const reader *r);

/* "text 3", or "FILE, line 3"; for messages, valid until the next call. */
const char *reader_place(const reader *r, size_t number);

void reader_close(reader *r);

#endif
