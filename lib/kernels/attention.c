#include "kernels/attention.h"

#include "kernels/simd.h"

#include <float.h>

/* A block of queries is two vectors wide; this is the widest. */
#define MAX_WIDTH 32

#define LOG2_E 1.44269504088896340736f

/* What a lane takes in one multiplication: an fp32, or two bf16. */
typedef float step __attribute__((aligned(2), may_alias));

/* Where results go: rows of fp32 or bf16. */
typedef struct place {
    char *data;
    size_t stride;
    ce_number number;
} place;

static inline size_t bytes_of(ce_number number)
{
    return number == CE_NUMBER_BF16 ? 2 : 4;
}

static inline place place_at(place from, size_t row, size_t element)
{
    from.data += row * from.stride + element * bytes_of(from.number);
    return from;
}

static inline place place_of(const ce_rows *rows, size_t row, size_t element)
{
    return place_at((place){rows->data, rows->stride, rows->number}, row, element);
}

static inline void put_one(place out, size_t row, size_t element, float value)
{
    out = place_at(out, row, element);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t half = value != value ? (uint16_t)(bits >> 16 | 0x40)
                                   : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    if (out.number == CE_NUMBER_BF16)
        memcpy(out.data, &half, sizeof half);
    else
        memcpy(out.data, &value, sizeof value);
}

static inline const void *element_of(const ce_heads *heads, ce_number number, size_t row,
                                     size_t head)
{
    ptrdiff_t element = (ptrdiff_t)row * heads->by_token + (ptrdiff_t)head * heads->by_head;
    return (const char *)heads->data + element * (ptrdiff_t)bytes_of(number);
}

/* The parts of the scratch memory; `inverse`, `turned` and `q` are for one block of queries. */
typedef struct scratch {
    float *inverse, *turned, *q; /* [width], [dim, width], [width, dim] */
    float *scores;               /* [keys, width] */
    float *k, *v;                /* [keys, dim], of bf16 texts */
} scratch;

static scratch scratch_of(ce_number number, size_t dim, size_t longest, float *memory)
{
    size_t keys = longest + 1; /* pairs of keys end with an even number */
    scratch s = {.inverse = memory};
    s.turned = s.inverse + MAX_WIDTH;
    s.q = s.turned + MAX_WIDTH * dim;
    s.scores = s.q + MAX_WIDTH * dim;
    s.k = s.scores + MAX_WIDTH * keys;
    s.v = s.k + (number == CE_NUMBER_BF16 ? dim * keys : 0);
    return s;
}

size_t ce_attention_scratch(ce_number number, size_t head_dim, size_t longest)
{
    size_t widened = number == CE_NUMBER_BF16 ? 2 * head_dim : 0, keys = longest + 1;
    return ((1 + 2 * head_dim + keys) * MAX_WIDTH + widened * keys) * sizeof(float);
}

/* Keys of the text that a block of queries sees: begin .. end. `hide`: not all of its queries see all of them. */
typedef struct sight {
    size_t begin, end;
    int64_t left, right; /* as in ce_attention; bounds as wide as the text are none */
    int hide;
} sight;

static sight sight_of(const ce_attention *a, size_t tokens, size_t first, size_t queries)
{
    int64_t length = (int64_t)tokens, begin = (int64_t)first, last = begin + (int64_t)queries - 1;
    sight s = {0, tokens, a->window_left, a->window_right, 0};
    if (s.left >= length)
        s.left = -1;
    if (s.right >= length)
        s.right = -1;
    if (s.left >= 0 && begin > s.left)
        s.begin = (size_t)(begin - s.left) / 2 * 2; /* pairs of keys are the same for all blocks */
    if (s.right >= 0 && last + s.right < length)
        s.end = (size_t)(last + s.right) + 1;
    s.hide = (s.left >= 0 && last - s.left > (int64_t)s.begin) ||
             (s.right >= 0 && begin + s.right + 1 < (int64_t)s.end);
    return s;
}

/* The columns first .. last of a block see key j: `j - first query of the block` in `offset`. */
static void visible_columns(int64_t offset, int64_t left, int64_t right, int32_t width,
                            int32_t *first, int32_t *last)
{
    *first = right < 0 || offset <= right ? 0 : (int32_t)(offset - right);
    *last = left < 0 || offset + left >= width ? width : (int32_t)(offset + left);
}

/* Four queries by four elements, turned: the only step in which lanes change places. */
INLINE void turn_4x4(const char *const row[4], size_t d, float scale, float *to, size_t width)
{
    quad a = *(const quad_any *)(row[0] + 4 * d) * scale;
    quad b = *(const quad_any *)(row[1] + 4 * d) * scale;
    quad c = *(const quad_any *)(row[2] + 4 * d) * scale;
    quad e = *(const quad_any *)(row[3] + 4 * d) * scale;
    quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    quad ce_low = __builtin_shufflevector(c, e, 0, 4, 1, 5);
    quad ce_high = __builtin_shufflevector(c, e, 2, 6, 3, 7);
    *(quad_any *)(to + (d + 0) * width) = __builtin_shufflevector(ab_low, ce_low, 0, 1, 4, 5);
    *(quad_any *)(to + (d + 1) * width) = __builtin_shufflevector(ab_low, ce_low, 2, 3, 6, 7);
    *(quad_any *)(to + (d + 2) * width) = __builtin_shufflevector(ab_high, ce_high, 0, 1, 4, 5);
    *(quad_any *)(to + (d + 3) * width) = __builtin_shufflevector(ab_high, ce_high, 2, 3, 6, 7);
}

/* `count` queries as the columns of a matrix [steps, width], scaled. A step is an fp32, or two bf16, which stay as they
 * are if the scale is 1. The columns that are left over repeat the last query: they cost nothing, and nobody reads what
 * comes out of them. */
static void turn_queries(const char *q, ptrdiff_t stride, size_t count, size_t steps, float scale,
                         float *to, size_t width)
{
    for (size_t column = 0; column < width; column += 4) {
        const char *row[4];
        for (size_t i = 0; i < 4; i++)
            row[i] = q + (ptrdiff_t)(column + i < count ? column + i : count - 1) * stride;
        size_t d = 0;
        for (; d + 4 <= steps; d += 4)
            turn_4x4(row, d, scale, to + column, width);
        for (; d < steps; d++)
            for (size_t i = 0; i < 4; i++)
                to[d * width + column + i] = *(const step *)(row[i] + 4 * d) * scale;
    }
}

#define BLOCK "kernels/attention_block.h"
#include "kernels/variants.h"

void ce_attention_run(const ce_attention *attention, const ce_attention_text *text, size_t head,
                      size_t head_end, void *scratch)
{
    static void (*const variants[])(const ce_attention *, const ce_attention_text *, size_t, size_t,
                                    void *) = VARIANTS(run);
    variants[attention->isa](attention, text, head, head_end, scratch);
}
