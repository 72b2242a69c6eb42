#include "tokenizer/trie.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Places tried for a node's children before the end of the array is taken: bounds the work on any vocabulary. */
enum { TRIES = 512, BYTES = 256 };

/* Keys [first, last) share `depth` bytes, which lead to `node`. */
typedef struct range {
    uint32_t first, last, depth;
    int32_t node;
} range;

typedef struct builder {
    ce_trie *trie;
    const ce_trie_key *keys;
    range *stack;
    size_t stacked, stack_capacity;
    size_t first_free; /* no free slot lies before it */
    size_t end;        /* one more than the last used slot */
} builder;

static int compare_keys(const void *a, const void *b)
{
    const ce_trie_key *x = a, *y = b;
    size_t shared = x->size < y->size ? x->size : y->size;
    int order = memcmp(x->text, y->text, shared);
    if (order == 0)
        order = (x->size > y->size) - (x->size < y->size);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static int grow(ce_trie *trie, size_t need)
{
    if (need <= trie->capacity)
        return 1;
    size_t capacity = need > 2 * trie->capacity ? need : 2 * trie->capacity;
    if (capacity > INT32_MAX)
        return 0;
    ce_trie_node *nodes = ce_reallocarray(trie->nodes, capacity, sizeof *nodes);
    if (!nodes)
        return 0;
    for (size_t i = trie->capacity; i < capacity; i++)
        nodes[i] = (ce_trie_node){.base = 0, .parent = -1, .value = -1};
    trie->nodes = nodes;
    trie->capacity = capacity;
    return 1;
}

static int push(builder *b, range r)
{
    if (b->stacked == b->stack_capacity) {
        size_t capacity = b->stack_capacity ? 2 * b->stack_capacity : 256;
        range *stack = ce_reallocarray(b->stack, capacity, sizeof *stack);
        if (!stack)
            return 0;
        b->stack = stack;
        b->stack_capacity = capacity;
    }
    b->stack[b->stacked++] = r;
    return 1;
}

static int all_free(const ce_trie *trie, size_t base, const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (trie->nodes[base + bytes[i]].parent >= 0)
            return 0;
    return 1;
}

/* A base at which every child has a free slot. The slot 0 is the root's. */
static size_t find_base(builder *b, const unsigned char *bytes, size_t count)
{
    const ce_trie_node *nodes = b->trie->nodes;
    while (b->first_free < b->end && nodes[b->first_free].parent >= 0)
        b->first_free++;
    size_t start = b->first_free > bytes[0] ? b->first_free - bytes[0] : 1;
    for (size_t base = start; base < start + TRIES && base < b->end; base++)
        if (all_free(b->trie, base, bytes, count))
            return base;
    return b->end;
}

/* The different bytes that follow in a range, in order. */
static size_t next_bytes(const builder *b, range r, unsigned char *bytes)
{
    size_t count = 0;
    for (uint32_t i = r.first; i < r.last; i++) {
        unsigned char byte = (unsigned char)b->keys[i].text[r.depth];
        if (count == 0 || bytes[count - 1] != byte)
            bytes[count++] = byte;
    }
    return count;
}

static int add_children(builder *b, range r)
{
    unsigned char bytes[BYTES];
    size_t count = next_bytes(b, r, bytes);
    size_t base = find_base(b, bytes, count);
    if (!grow(b->trie, base + 2 * BYTES))
        return 0;
    b->trie->nodes[r.node].base = (int32_t)base;
    uint32_t first = r.first;
    for (size_t i = 0; i < count; i++) {
        uint32_t last = first;
        while (last < r.last && (unsigned char)b->keys[last].text[r.depth] == bytes[i])
            last++;
        size_t child = base + bytes[i];
        b->trie->nodes[child].parent = r.node;
        if (child >= b->end)
            b->end = child + 1;
        if (!push(b, (range){first, last, r.depth + 1, (int32_t)child}))
            return 0;
        first = last;
    }
    return 1;
}

static int build(builder *b, size_t count)
{
    if (!grow(b->trie, 2 * BYTES))
        return 0;
    b->trie->nodes[0].parent = INT32_MAX; /* taken, and nobody's child */
    if (count == 0)
        return 1;
    if (!push(b, (range){0, (uint32_t)count, 0, 0}))
        return 0;
    while (b->stacked > 0) {
        range r = b->stack[--b->stacked];
        while (r.first < r.last && b->keys[r.first].size == r.depth)
            b->trie->nodes[r.node].value = b->keys[r.first++].value;
        if (r.first < r.last && !add_children(b, r))
            return 0;
    }
    return 1;
}

int ce_trie_build(ce_trie *trie, ce_trie_key *keys, size_t count, ce_error *error)
{
    *trie = (ce_trie){0};
    if (count > INT32_MAX)
        return ce_fail(error, CE_E_UNSUPPORTED, "%zu vocabulary entries are too many", count);
    qsort(keys, count, sizeof *keys, compare_keys);
    builder b = {.trie = trie, .keys = keys, .first_free = 1, .end = 1};
    int built = build(&b, count);
    ce_free(b.stack);
    if (!built) {
        ce_trie_free(trie);
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a vocabulary of %zu entries", count);
    }
    return CE_OK;
}

void ce_trie_free(ce_trie *trie)
{
    ce_free(trie->nodes);
    *trie = (ce_trie){0};
}
