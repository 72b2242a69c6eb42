#include "cmocka_all.h"

#include "tokenizer/trie.h"

#include <stdlib.h>

enum { MOST_KEYS = 50000, MOST_BYTES = 12, BUCKETS = 1 << 17 };

static char bytes[MOST_KEYS][MOST_BYTES];
static ce_trie_key keys[MOST_KEYS];

/* What the trie is compared with: lists of keys of one hash; the last of equal ones stands first. */
static int32_t heads[BUCKETS], nexts[MOST_KEYS];

static uint32_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)random_state * limit >> 32);
}

static size_t bucket_of(const char *text, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash % BUCKETS;
}

static int32_t find_plainly(const char *text, size_t size)
{
    for (int32_t i = heads[bucket_of(text, size)]; i >= 0; i = nexts[i])
        if (keys[i].size == size && memcmp(keys[i].text, text, size) == 0)
            return keys[i].value;
    return -1;
}

/* A few values, the ends of their range among them, so that many keys begin alike. */
static char random_byte(void)
{
    static const char ends[] = {'\0', '\1', '\xFE', '\xFF'};
    return random_below(3) ? ends[random_below(4)] : (char)random_below(256);
}

static void make_keys(size_t count)
{
    memset(heads, 0xFF, sizeof heads);
    for (size_t i = 0; i < count; i++) {
        size_t size = 1 + random_below(MOST_BYTES);
        for (size_t k = 0; k < size; k++)
            bytes[i][k] = random_byte();
        if (i > 0 && random_below(4) == 0) /* goes on as another one does */
            memcpy(bytes[i], bytes[random_below((uint32_t)i)], size / 2);
        keys[i] = (ce_trie_key){bytes[i], size, (int32_t)random_below(CE_TRIE_MOST + 1u)};
        size_t bucket = bucket_of(bytes[i], size);
        nexts[i] = heads[bucket];
        heads[bucket] = (int32_t)i;
    }
}

static void check_text(const ce_trie *trie, const char *text, size_t size)
{
    int32_t expected = -1, found = -1;
    size_t longest = 0;
    for (size_t i = 1; i <= size; i++) {
        int32_t value = find_plainly(text, i);
        assert_int_equal(ce_trie_exact(trie, text, i), value);
        if (value >= 0) {
            longest = i;
            expected = value;
        }
    }
    assert_int_equal(ce_trie_longest(trie, text, size, &found), longest);
    assert_int_equal(found, expected);
}

/* The keys themselves, and texts near them: no walk may be led on by a slot that is free or another node's. */
static void test_finds_what_a_plain_map_finds(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 3, 10, 100, 255, 256, 257, 1000, 10000, MOST_KEYS};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        ce_trie trie;
        ce_error error;
        random_state = (uint32_t)c;
        make_keys(counts[c]);
        assert_int_equal(ce_trie_build(&trie, keys, counts[c], NULL, &error), CE_OK);
        for (size_t i = 0; i < counts[c]; i++) {
            char near[MOST_BYTES + 2];
            memcpy(near, keys[i].text, keys[i].size);
            near[random_below((uint32_t)keys[i].size)] = random_byte();
            near[keys[i].size] = random_byte();
            near[keys[i].size + 1] = random_byte();
            check_text(&trie, keys[i].text, keys[i].size);
            check_text(&trie, near, keys[i].size + 2);
        }
        ce_trie_free(&trie);
    }
}

/* After every beginning of a key each byte leads to a child exactly if a key goes on so. */
static void test_every_step_leads_to_a_key(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", "ab", "abc", "\xFF", "\xFF\xFF", "\xFE\xFF", "b"};
    enum { COUNT = sizeof texts / sizeof *texts };
    ce_trie trie;
    ce_error error;
    for (size_t i = 0; i < COUNT; i++)
        keys[i] = (ce_trie_key){texts[i], strlen(texts[i]), (int32_t)i};
    assert_int_equal(ce_trie_build(&trie, keys, COUNT, NULL, &error), CE_OK);
    for (size_t i = 0; i < COUNT; i++) {
        uint32_t base = 0;
        for (size_t depth = 0; depth <= keys[i].size; depth++) {
            for (int byte = 0; byte < 256; byte++) {
                int any = 0;
                for (size_t k = 0; k < COUNT; k++)
                    any |= keys[k].size > depth && memcmp(texts[k], texts[i], depth) == 0 &&
                           (unsigned char)texts[k][depth] == byte;
                assert_int_equal(ce_trie_step(&trie, base, (unsigned char)byte) != NULL, any);
            }
            if (depth < keys[i].size)
                base = ce_trie_step(&trie, base, (unsigned char)texts[i][depth])->base;
        }
    }
    ce_trie_free(&trie);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_a_plain_map_finds),
        cmocka_unit_test(test_every_step_leads_to_a_key),
    };
    return cmocka_run_group_tests_name("trie", tests, NULL, NULL);
}
