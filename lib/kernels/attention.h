/* Attention over texts of any length laid end to end.
 *
 * A text's result depends on nothing but that text: every sum runs in one order, over keys or over
 * elements, whatever the batch, the share of heads or queries, or the number of threads. */
#ifndef CE_KERNELS_ATTENTION_H
#define CE_KERNELS_ATTENTION_H

#include "kernels/isa.h"
#include "kernels/rows.h"

#include <stddef.h>
#include <stdint.h>

/* The elements of one head of one token are consecutive. */
typedef struct ce_heads {
    const void *data;   /* row 0, head 0 */
    ptrdiff_t by_token; /* strides, in elements */
    ptrdiff_t by_head;
} ce_heads;

typedef struct ce_attention {
    ce_number number; /* of q, k and v: fp32 or bf16 */
    ce_heads q, k, v;
    size_t heads, kv_heads; /* the first a multiple of the second */
    size_t head_dim;
    float scale;
    /* Query i sees key j of its text if i - window_left <= j <= i + window_right; negative: no bound.
     * So a query always sees at least itself. */
    int64_t window_left, window_right;
    ce_rows out; /* fp32 or bf16: [heads * head_dim] in each row */
    ce_isa isa;
} ce_attention;

/* A text's place in the rows. All of its tokens are keys; those from `first` on are queries. */
typedef struct ce_attention_text {
    size_t row, tokens;        /* of k and v */
    size_t query_row, queries; /* of q and out */
    size_t first;              /* the first query's place in the text */
} ce_attention_text;

/* Bytes of scratch memory for texts of up to `longest` tokens. */
size_t ce_attention_scratch(ce_number number, size_t head_dim, size_t longest);

/* Heads head .. head_end. `scratch` is aligned to 64 bytes and used by one call at a time. What is not
 * finite in the input is not finite in the output. */
void ce_attention_run(const ce_attention *attention, const ce_attention_text *text, size_t head,
                      size_t head_end, void *scratch);

#endif
