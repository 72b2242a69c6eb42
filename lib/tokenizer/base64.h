/* Base64 of RFC 4648, strictly: padded, no other bytes, no bits left over. */
#ifndef CE_TOKENIZER_BASE64_H
#define CE_TOKENIZER_BASE64_H

#include <stddef.h>

/* Bytes that `size` characters may hold. */
static inline size_t ce_base64_room(size_t size)
{
    return size / 4 * 3;
}

/* Decode into `out`, which has the room; 0 if the text is not Base64. */
int ce_base64_decode(const char *text, size_t size, unsigned char *out, size_t *decoded);

#endif
