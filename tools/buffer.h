/* Bytes that grow. A program that has no memory left ends here, with a message: there is nothing
 * better that a command line program could do. */
#ifndef CLI_BUFFER_H
#define CLI_BUFFER_H

#include <stddef.h>

typedef struct buffer {
    char *data;
    size_t used, capacity;
} buffer;

/* realloc that does not return without memory for `count` elements of `size` bytes. */
void *must_resize(void *pointer, size_t count, size_t size);

/* Room for `more` bytes behind those in use; where they begin. */
char *buffer_reserve(buffer *b, size_t more);

void buffer_append(buffer *b, const char *bytes, size_t length);
void buffer_format(buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes. What is not UTF-8 (in a file name, say) becomes U+FFFD. */
void buffer_json_string(buffer *b, const char *text, size_t length);

void buffer_free(buffer *b);

#endif
