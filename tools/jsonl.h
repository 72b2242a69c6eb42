/* One line of JSON lines. */
#ifndef CLI_JSONL_H
#define CLI_JSONL_H

#include "buffer.h"

#include <stdbool.h>
#include <stddef.h>

/* Append the string member `text` of the object that `line` is to `text` and, unless `pair` is NULL,
 * its string member `pair`, if it has one, to `pair`; other members are ignored. False if the line
 * is not such an object: `reason` says why and the others are as before. */
bool jsonl_text(const char *line, size_t length, buffer *text, buffer *pair, bool *has_pair,
                buffer *reason);

#endif
