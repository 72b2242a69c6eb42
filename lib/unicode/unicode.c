#include "unicode/unicode.h"

int ce_unicode_hangul(uint32_t scalar, uint32_t jamo[3])
{
    enum { SYLLABLES = 11172, VOWELS = 21, TRAILS = 28 };
    uint32_t index = scalar - 0xAC00;
    if (index >= SYLLABLES)
        return 0;
    jamo[0] = 0x1100 + index / (VOWELS * TRAILS);
    jamo[1] = 0x1161 + index / TRAILS % VOWELS;
    jamo[2] = 0x11A7 + index % TRAILS;
    return jamo[2] == 0x11A7 ? 2 : 3;
}
