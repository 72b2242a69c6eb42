/* A charsmap that can be read at a glance, for tests and fuzzers: its keys are single bytes. */
#ifndef CE_TESTS_SMALL_CHARSMAP_H
#define CE_TESTS_SMALL_CHARSMAP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct small_charsmap_entry {
    unsigned char key;
    const char *replacement;
} small_charsmap_entry;

enum { SMALL_CHARSMAP_UNITS = 512, SMALL_CHARSMAP_TRIE = 4 + 4 * SMALL_CHARSMAP_UNITS };

static inline void small_charsmap_unit(unsigned char *blob, size_t unit, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        blob[4 + 4 * unit + i] = (unsigned char)(value >> 8 * i);
}

/* The root has its children in the second block of 256 units, and they have their values in the first. The bytes written. */
static inline size_t small_charsmap(const small_charsmap_entry *entries, size_t count,
                                    unsigned char *blob)
{
    size_t size = SMALL_CHARSMAP_TRIE;
    memset(blob, 0, size);
    blob[0] = (unsigned char)(4 * SMALL_CHARSMAP_UNITS & 0xFF);
    blob[1] = (unsigned char)(4 * SMALL_CHARSMAP_UNITS >> 8);
    small_charsmap_unit(blob, 0, 0x100 << 10);
    for (size_t i = 0; i < count; i++) {
        uint32_t offset = (uint32_t)(size - SMALL_CHARSMAP_TRIE);
        small_charsmap_unit(blob, 0x100 | entries[i].key, 0x100 << 10 | 1 << 8 | entries[i].key);
        small_charsmap_unit(blob, entries[i].key, 1u << 31 | offset);
        size_t bytes = strlen(entries[i].replacement) + 1;
        memcpy(blob + size, entries[i].replacement, bytes);
        size += bytes;
    }
    return size;
}

#endif
