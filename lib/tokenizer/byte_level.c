#include "tokenizer/byte_level.h"

#include "unicode/utf8.h"

/* Bytes that are printable in Latin-1 stand for themselves; the others, in order, for U+0100 and what follows. */
static int is_printable(uint32_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

/* The byte of a character; -1 if it has none. */
static int byte_of(uint32_t scalar)
{
    if (scalar < 0x100)
        return is_printable(scalar) ? (int)scalar : -1;
    uint32_t left = scalar - 0x100;
    for (uint32_t byte = 0; byte < 0x100; byte++)
        if (!is_printable(byte) && left-- == 0)
            return (int)byte;
    return -1;
}

size_t ce_byte_level_decode(const char *text, size_t size, char *bytes)
{
    size_t count = 0;
    for (size_t at = 0, read; at < size; at += read) {
        uint32_t scalar;
        read = ce_utf8_decode(text + at, size - at, &scalar);
        int byte = read ? byte_of(scalar) : -1;
        if (byte < 0)
            return 0;
        bytes[count++] = (char)byte;
    }
    return count;
}
