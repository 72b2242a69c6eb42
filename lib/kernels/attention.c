#include "kernels/attention.h"

#include <float.h>
#include <string.h>

/* gcc -std=c11 does not form fused multiply-adds of its own accord; clang does. Loops over
 * accumulators must be unrolled early, or these end up in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#pragma GCC optimize("fp-contract=fast")
#define UNROLL _Pragma("GCC unroll 8")
#endif
#define foreach(i, count) UNROLL for (int i = 0; i < (count); i++)

/* A block of queries is two vectors wide; this is the widest. */
#define MAX_WIDTH 32

#define LOG2_E 1.44269504088896340736f

#define INLINE static inline __attribute__((always_inline))
#define CONCAT_(a, b) a##b
#define CONCAT(a, b) CONCAT_(a, b)
#define NAME(name) CONCAT(name, SUFFIX)

/* Four queries by four elements, turned: the only step in which lanes change places. Vectors of 16
 * bytes exist everywhere. */
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

INLINE void turn_4x4(const float *const row[4], size_t d, float scale, float *to, size_t width)
{
    quad a = *(const quad *)(row[0] + d) * scale, b = *(const quad *)(row[1] + d) * scale;
    quad c = *(const quad *)(row[2] + d) * scale, e = *(const quad *)(row[3] + d) * scale;
    quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    quad ce_low = __builtin_shufflevector(c, e, 0, 4, 1, 5);
    quad ce_high = __builtin_shufflevector(c, e, 2, 6, 3, 7);
    *(quad *)(to + (d + 0) * width) = __builtin_shufflevector(ab_low, ce_low, 0, 1, 4, 5);
    *(quad *)(to + (d + 1) * width) = __builtin_shufflevector(ab_low, ce_low, 2, 3, 6, 7);
    *(quad *)(to + (d + 2) * width) = __builtin_shufflevector(ab_high, ce_high, 0, 1, 4, 5);
    *(quad *)(to + (d + 3) * width) = __builtin_shufflevector(ab_high, ce_high, 2, 3, 6, 7);
}

/* `count` queries as the columns of a matrix [dim, width], scaled. The columns that are left over
 * repeat the last query: they cost nothing, and nobody reads what comes out of them. */
static void turn_queries(const float *q, ptrdiff_t by_token, size_t count, size_t dim, float scale,
                         float *to, size_t width)
{
    for (size_t column = 0; column < width; column += 4) {
        const float *row[4];
        for (size_t i = 0; i < 4; i++)
            row[i] = q + (ptrdiff_t)(column + i < count ? column + i : count - 1) * by_token;
        size_t d = 0;
        for (; d + 4 <= dim; d += 4)
            turn_4x4(row, d, scale, to + column, width);
        for (; d < dim; d++)
            for (size_t i = 0; i < 4; i++)
                to[d * width + column + i] = row[i][d] * scale;
    }
}

/* The columns first .. last of a block see key j: `j - first query of the block` in `offset`. */
static void visible_columns(int64_t offset, int64_t left, int64_t right, int32_t width,
                            int32_t *first, int32_t *last)
{
    *first = right < 0 || offset <= right ? 0 : (int32_t)(offset - right);
    *last = left < 0 || offset + left >= width ? width : (int32_t)(offset + left);
}

#define SUFFIX _generic
#define TARGET
#define LANES 4
#define ROWS 4
#include "attention_block.h"

#if defined(__x86_64__)
#define SUFFIX _avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define ROWS 4
#include "attention_block.h"

#define SUFFIX _avx512
#define TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")))
#define LANES 16
#define ROWS 8
#include "attention_block.h"
#endif

size_t ce_attention_scratch(size_t head_dim, size_t longest)
{
    return (head_dim + longest + 1) * MAX_WIDTH * sizeof(float);
}

void ce_attention_text(const ce_attention *attention, size_t begin, size_t end, size_t head,
                       size_t head_end, void *scratch)
{
    void (*text)(const ce_attention *, size_t, size_t, size_t, float *) = text_generic;
#if defined(__x86_64__)
    if (attention->isa == CE_ISA_AVX2)
        text = text_avx2;
    else if (attention->isa == CE_ISA_AVX512)
        text = text_avx512;
#endif
    for (; head < head_end; head++)
        text(attention, begin, end, head, scratch);
}
