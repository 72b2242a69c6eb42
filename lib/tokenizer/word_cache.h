/* The tokens of short words that came up lately, for one thread and one tokenizer. */
#ifndef CE_TOKENIZER_WORD_CACHE_H
#define CE_TOKENIZER_WORD_CACHE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { CE_WORD_MOST = 24, CE_WORD_IDS = 9, CE_WORD_SLOT_BITS = 12 };

/* A cache line. */
typedef struct ce_word_slot {
    uint64_t key[3]; /* the word, with zeros behind */
    uint8_t size;    /* of the word; 0: nothing is here */
    uint8_t count;   /* of its tokens */
    int32_t ids[CE_WORD_IDS];
} ce_word_slot;

typedef struct ce_word_cache {
    ce_word_slot slots[1 << CE_WORD_SLOT_BITS];
} ce_word_cache;

typedef struct ce_word_key {
    uint64_t parts[3];
} ce_word_key;

/* The key of a word of 1 to CE_WORD_MOST bytes, of which `readable` can be read. */
static inline ce_word_key ce_word_key_of(const char *word, size_t size, size_t readable)
{
    ce_word_key key = {{0, 0, 0}};
    if (readable < CE_WORD_MOST) {
        memcpy(key.parts, word, size);
        return key;
    }
    size_t whole = size / 8, rest = size % 8;
    memcpy(key.parts, word, sizeof key.parts);
    if (whole < 3) {
        key.parts[whole] &= ((uint64_t)1 << 8 * rest) - 1;
        for (size_t i = whole + 1; i < 3; i++)
            key.parts[i] = 0;
    }
    return key;
}

static inline ce_word_slot *ce_word_slot_of(ce_word_cache *cache, const ce_word_key *key)
{
    uint64_t hash = key->parts[0] * 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 29 ^ key->parts[1]) * 0xBF58476D1CE4E5B9u;
    hash = (hash ^ hash >> 32 ^ key->parts[2]) * 0x94D049BB133111EBu;
    return &cache->slots[hash >> (64 - CE_WORD_SLOT_BITS)];
}

static inline int ce_word_slot_has(const ce_word_slot *slot, const ce_word_key *key, size_t size)
{
    return slot->size == size && slot->key[0] == key->parts[0] && slot->key[1] == key->parts[1] &&
           slot->key[2] == key->parts[2];
}

#endif
