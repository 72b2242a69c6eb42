#include "tokenizer/base64.h"

#include <stdint.h>

enum { NO_DIGIT = 64 };

static uint32_t digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : NO_DIGIT;
}

static size_t padding(const char *text, size_t size)
{
    if (size == 0 || text[size - 1] != '=')
        return 0;
    return text[size - 2] == '=' ? 2 : 1;
}

int ce_base64_decode(const char *text, size_t size, unsigned char *out, size_t *decoded)
{
    if (size % 4 != 0)
        return 0;
    size_t missing = padding(text, size);
    *decoded = size / 4 * 3 - missing;
    uint32_t bits = 0;
    for (size_t i = 0, written = 0; i < size; i++) {
        uint32_t value = i < size - missing ? digit(text[i]) : 0;
        if (value == NO_DIGIT)
            return 0;
        bits = bits << 6 | value;
        if (i % 4 != 3)
            continue;
        for (int shift = 16; shift >= 0; shift -= 8) {
            unsigned char byte = (unsigned char)(bits >> shift);
            if (written < *decoded)
                out[written++] = byte;
            else if (byte != 0)
                return 0;
        }
        bits = 0;
    }
    return 1;
}
