/* UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef CE_UNICODE_UTF8_H
#define CE_UNICODE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Whether the byte goes on with a character. */
static inline int ce_utf8_continues(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Bytes of a well-formed character by its first one. */
static inline size_t ce_utf8_size(char byte)
{
    unsigned char first = (unsigned char)byte;
    return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* Bytes of the character that starts `text`, and its scalar; 0 if it is not well-formed. `size` is not 0. */
static inline size_t ce_utf8_decode(const char *text, size_t size, uint32_t *scalar)
{
    const unsigned char *b = (const unsigned char *)text;
    if (b[0] < 0x80) {
        *scalar = b[0];
        return 1;
    }
    *scalar = 0xFFFD;
    if (b[0] < 0xC2 || b[0] > 0xF4 || size < 2 || (b[1] & 0xC0) != 0x80)
        return 0;
    if (b[0] < 0xE0) {
        *scalar = (uint32_t)(b[0] & 0x1F) << 6 | (b[1] & 0x3F);
        return 2;
    }
    if (size < 3 || (b[2] & 0xC0) != 0x80)
        return 0;
    if (b[0] < 0xF0) {
        *scalar = (uint32_t)(b[0] & 0x0F) << 12 | (uint32_t)(b[1] & 0x3F) << 6 | (b[2] & 0x3F);
        return *scalar >= 0x800 && (*scalar < 0xD800 || *scalar > 0xDFFF) ? 3 : 0;
    }
    if (size < 4 || (b[3] & 0xC0) != 0x80)
        return 0;
    *scalar = (uint32_t)(b[0] & 0x07) << 18 | (uint32_t)(b[1] & 0x3F) << 12 |
              (uint32_t)(b[2] & 0x3F) << 6 | (b[3] & 0x3F);
    return *scalar >= 0x10000 && *scalar <= 0x10FFFF ? 4 : 0;
}

/* Write a scalar; the bytes written, 4 at most. */
static inline size_t ce_utf8_encode(uint32_t scalar, char *out)
{
    if (scalar < 0x80) {
        out[0] = (char)scalar;
        return 1;
    }
    if (scalar < 0x800) {
        out[0] = (char)(0xC0 | scalar >> 6);
        out[1] = (char)(0x80 | (scalar & 0x3F));
        return 2;
    }
    if (scalar < 0x10000) {
        out[0] = (char)(0xE0 | scalar >> 12);
        out[1] = (char)(0x80 | (scalar >> 6 & 0x3F));
        out[2] = (char)(0x80 | (scalar & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | scalar >> 18);
    out[1] = (char)(0x80 | (scalar >> 12 & 0x3F));
    out[2] = (char)(0x80 | (scalar >> 6 & 0x3F));
    out[3] = (char)(0x80 | (scalar & 0x3F));
    return 4;
}

/* The scalar that ends text[0 .. size); U+FFFD where the text is not well-formed, or empty. */
static inline uint32_t ce_utf8_last(const char *text, size_t size)
{
    size_t start = size;
    while (start > 0 && size - start < 4) {
        start--;
        if (!ce_utf8_continues(text[start]))
            break;
    }
    uint32_t scalar;
    return size > 0 && ce_utf8_decode(text + start, size - start, &scalar) == size - start ? scalar
                                                                                           : 0xFFFD;
}

#endif
