#include "tokenizer/trie.h"

#include "base/mem.h"

#include <string.h>

/* Places tried for the children of a node before the end of the array is taken: bounds the work on any vocabulary. */
enum { TRIES = 128, BYTES = 256, FEW = 24 };

/* LEAF is the base of all nodes without children. One of 256 bases is given to no node at all, so that every free slot can
 * have a byte by which no base leads to it. */
enum { LEAF = BYTES - 2, RESERVED = BYTES - 1 };

static int is_reserved(size_t base)
{
    return base % BYTES == RESERVED;
}

/* Keys order[first .. last) share `depth` bytes, which lead to the slot `node`. */
typedef struct range {
    uint32_t first, last, depth, node;
} range;

typedef struct builder {
    ce_trie *trie;
    const ce_trie_key *keys;
    uint32_t *order, *sorted; /* numbers of keys, and room to sort them */
    unsigned char *bases;     /* whether a base is in use */
    uint32_t *next; /* of a free slot itself, of another one nearer to the next free one */
    range *stack;
    size_t stacked, stack_capacity;
    size_t start; /* where the search for free slots begins */
    size_t end;   /* one more than the last used slot */
    size_t different;
} builder;

static int grow(builder *b, size_t need)
{
    ce_trie *trie = b->trie;
    if (need <= trie->capacity)
        return 1;
    size_t capacity = need > 2 * trie->capacity ? need : 2 * trie->capacity;
    if (capacity > UINT32_MAX - BYTES)
        return 0;
    ce_trie_node *nodes = ce_reallocarray(trie->nodes, capacity, sizeof *nodes);
    if (!nodes)
        return 0;
    trie->nodes = nodes;
    unsigned char *bases = ce_realloc(b->bases, capacity);
    if (!bases)
        return 0;
    b->bases = bases;
    uint32_t *next = ce_reallocarray(b->next, capacity, sizeof *next);
    if (!next)
        return 0;
    b->next = next;
    memset(bases + trie->capacity, 0, capacity - trie->capacity);
    for (size_t i = trie->capacity; i < capacity; i++)
        next[i] = (uint32_t)i;
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

static int is_free(const builder *b, size_t slot)
{
    return b->next[slot] == slot;
}

/* The first free slot at or behind `slot`; what was passed on the way is shortened for the next time. */
static size_t free_slot(builder *b, size_t slot)
{
    size_t found = slot;
    while (!is_free(b, found))
        found = b->next[found];
    while (slot != found) {
        size_t after = b->next[slot];
        b->next[slot] = (uint32_t)found;
        slot = after;
    }
    return found;
}

static int can_use(const builder *b, size_t base, const unsigned char *bytes, size_t count)
{
    if (b->bases[base] || is_reserved(base))
        return 0;
    for (size_t i = 1; i < count; i++)
        if (!is_free(b, base + bytes[i]))
            return 0;
    return 1;
}

/* A base at which every child has a free slot. There is always room for one at the end. */
static size_t find_base(builder *b, const unsigned char *bytes, size_t count)
{
    b->start = free_slot(b, b->start);
    size_t slot = free_slot(b, b->start > bytes[0] ? b->start : bytes[0]);
    for (int tries = 0; tries < TRIES && slot < b->end; tries++) {
        if (can_use(b, slot - bytes[0], bytes, count))
            return slot - bytes[0];
        slot = free_slot(b, slot + 1);
    }
    size_t base = b->end;
    while (b->bases[base] || is_reserved(base))
        base++;
    /* Slots that have not been of use to so many nodes are left behind. */
    if (count > 1 && slot < b->end)
        b->start = free_slot(b, b->start + 1);
    return base;
}

static unsigned char byte_of(const builder *b, uint32_t i, uint32_t depth)
{
    return (unsigned char)b->keys[b->order[i]].text[depth];
}

/* Few keys, as most nodes have, are not worth looking at every byte that there is. */
static size_t sort_few(builder *b, range r, unsigned char *bytes, uint32_t *counts)
{
    size_t different = 0;
    for (uint32_t i = r.first; i < r.last; i++) {
        unsigned char byte = byte_of(b, i, r.depth);
        uint32_t key = b->order[i], at = i;
        for (; at > r.first && byte_of(b, at - 1, r.depth) > byte; at--)
            b->order[at] = b->order[at - 1];
        b->order[at] = key;
    }
    for (uint32_t i = r.first; i < r.last; i++) {
        unsigned char byte = byte_of(b, i, r.depth);
        if (different == 0 || bytes[different - 1] != byte) {
            bytes[different] = byte;
            counts[different++] = 0;
        }
        counts[different - 1]++;
    }
    return different;
}

/* Sort order[first .. last) by the byte at `depth`. The different bytes, and how many keys have each. */
static size_t sort_by_byte(builder *b, range r, unsigned char *bytes, uint32_t *counts)
{
    uint32_t starts[BYTES] = {0};
    for (uint32_t i = r.first; i < r.last; i++)
        starts[(unsigned char)b->keys[b->order[i]].text[r.depth]]++;
    size_t different = 0;
    uint32_t start = r.first;
    for (size_t c = 0; c < BYTES; c++) {
        uint32_t count = starts[c];
        if (count > 0) {
            bytes[different] = (unsigned char)c;
            counts[different++] = count;
        }
        starts[c] = start;
        start += count;
    }
    if (different == 1)
        return 1;
    for (uint32_t i = r.first; i < r.last; i++) {
        uint32_t key = b->order[i];
        b->sorted[starts[(unsigned char)b->keys[key].text[r.depth]]++] = key;
    }
    memcpy(b->order + r.first, b->sorted + r.first, (r.last - r.first) * sizeof *b->order);
    return different;
}

static int add_children(builder *b, range r)
{
    unsigned char bytes[BYTES];
    uint32_t counts[BYTES];
    size_t different = 1;
    if (r.last - r.first == 1) {
        bytes[0] = (unsigned char)b->keys[b->order[r.first]].text[r.depth];
        counts[0] = 1;
    } else if (r.last - r.first <= FEW) {
        different = sort_few(b, r, bytes, counts);
    } else {
        different = sort_by_byte(b, r, bytes, counts);
    }
    if (!grow(b, b->end + 4 * BYTES))
        return 0;
    /* The root's base is fixed. */
    size_t base = r.depth == 0 ? 0 : find_base(b, bytes, different);
    b->bases[base] = 1;
    if (r.depth > 0)
        b->trie->nodes[r.node].base = (uint32_t)base;
    uint32_t first = r.first;
    for (size_t i = 0; i < different; i++) {
        size_t child = base + bytes[i];
        b->next[child] = (uint32_t)child + 1;
        b->trie->nodes[child] = (ce_trie_node){LEAF, CE_TRIE_NONE << 8 | bytes[i]};
        b->end = child >= b->end ? child + 1 : b->end;
        if (!push(b, (range){first, first + counts[i], r.depth + 1, (uint32_t)child}))
            return 0;
        first += counts[i];
    }
    return 1;
}

/* Keys that end here are moved to the front of the range and left out; the last of them counts. */
static void take_ended(builder *b, range *r)
{
    uint32_t last = 0;
    int any = 0;
    for (uint32_t i = r->first; i < r->last; i++) {
        uint32_t key = b->order[i];
        if (b->keys[key].size != r->depth)
            continue;
        last = !any || key > last ? key : last;
        any = 1;
        b->order[i] = b->order[r->first];
        b->order[r->first++] = key;
    }
    if (any) {
        ce_trie_node *node = &b->trie->nodes[r->node];
        node->value = (uint32_t)b->keys[last].value << 8 | (node->value & 0xFF);
        b->different++;
    }
}

/* A free slot's byte must be one that no node gets to it by. */
static void close_slots(builder *b)
{
    for (size_t i = 0; i < b->trie->capacity; i++) {
        if (!is_free(b, i))
            continue;
        size_t byte = 0;
        while (byte <= i && b->bases[i - byte])
            byte++;
        b->trie->nodes[i] = (ce_trie_node){LEAF, CE_TRIE_NONE << 8 | (uint32_t)byte};
    }
}

static int build(builder *b, size_t count)
{
    /* A vocabulary's keys share all but two of their bytes, or about that. */
    if (count > UINT32_MAX / 4 || !grow(b, 2 * count + 4 * BYTES))
        return 0;
    b->bases[LEAF] = 1;
    for (size_t i = 0; i < count; i++)
        b->order[i] = (uint32_t)i;
    if (count > 0 && !push(b, (range){0, (uint32_t)count, 0, 0}))
        return 0;
    while (b->stacked > 0) {
        range r = b->stack[--b->stacked];
        if (r.depth > 0)
            take_ended(b, &r);
        if (r.first < r.last && !add_children(b, r))
            return 0;
    }
    close_slots(b);
    return 1;
}

int ce_trie_build(ce_trie *trie, const ce_trie_key *keys, size_t count, size_t *different,
                  ce_error *error)
{
    *trie = (ce_trie){0};
    builder b = {.trie = trie, .keys = keys};
    int built = 0;
    if (count <= UINT32_MAX) {
        b.order = ce_reallocarray(NULL, count, sizeof *b.order);
        b.sorted = ce_reallocarray(NULL, count, sizeof *b.sorted);
        built = b.order && b.sorted && build(&b, count);
    }
    ce_free(b.order);
    ce_free(b.sorted);
    ce_free(b.bases);
    ce_free(b.next);
    ce_free(b.stack);
    if (!built) {
        ce_trie_free(trie);
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a vocabulary of %zu entries", count);
    }
    if (different)
        *different = b.different;
    return CE_OK;
}

void ce_trie_free(ce_trie *trie)
{
    ce_free(trie->nodes);
    *trie = (ce_trie){0};
}
