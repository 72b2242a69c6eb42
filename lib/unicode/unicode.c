#include "unicode/unicode.h"

enum { LEADS = 19, VOWELS = 21, TRAILS = 28, SYLLABLES = LEADS * VOWELS * TRAILS };
enum { FIRST_SYLLABLE = 0xAC00, FIRST_LEAD = 0x1100, FIRST_VOWEL = 0x1161, NO_TRAIL = 0x11A7 };

int ce_unicode_hangul(uint32_t scalar, uint32_t jamo[3])
{
    uint32_t index = scalar - FIRST_SYLLABLE;
    if (index >= SYLLABLES)
        return 0;
    jamo[0] = FIRST_LEAD + index / (VOWELS * TRAILS);
    jamo[1] = FIRST_VOWEL + index / TRAILS % VOWELS;
    jamo[2] = NO_TRAIL + index % TRAILS;
    return jamo[2] == NO_TRAIL ? 2 : 3;
}

static uint32_t compose_hangul(uint32_t first, uint32_t second)
{
    uint32_t lead = first - FIRST_LEAD, vowel = second - FIRST_VOWEL;
    if (lead < LEADS && vowel < VOWELS)
        return FIRST_SYLLABLE + (lead * VOWELS + vowel) * TRAILS;
    uint32_t syllable = first - FIRST_SYLLABLE, trail = second - NO_TRAIL;
    if (syllable < SYLLABLES && syllable % TRAILS == 0 && trail - 1 < TRAILS - 1)
        return first + trail;
    return 0;
}

uint32_t ce_unicode_compose(uint32_t first, uint32_t second)
{
    if (!(ce_unicode_find(second)->flags & CE_UNICODE_SECOND))
        return 0;
    size_t low = 0, high = ce_unicode_composition_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const ce_unicode_composition *pair = &ce_unicode_compositions[middle];
        if (pair->first == first && pair->second == second)
            return pair->composite;
        if (pair->first < first || (pair->first == first && pair->second < second))
            low = middle + 1;
        else
            high = middle;
    }
    return compose_hangul(first, second);
}
