/* Attention over texts of any length laid end to end, in fp32.
 *
 * A text's result depends on nothing but that text: every sum runs in one order, over keys or over
 * elements, whatever the batch, the share of heads or the number of threads. */
#ifndef CE_KERNELS_ATTENTION_H
#define CE_KERNELS_ATTENTION_H

#include "kernels/isa.h"

#include <stddef.h>
#include <stdint.h>

/* The elements of one head of one token are consecutive. */
typedef struct ce_heads {
    const float *data;  /* token 0, head 0 */
    ptrdiff_t by_token; /* strides, in elements */
    ptrdiff_t by_head;
} ce_heads;

typedef struct ce_attention {
    ce_heads q, k, v;
    size_t heads, kv_heads; /* the first a multiple of the second */
    size_t head_dim;
    float scale;
    /* Query i sees key j of its text if i - window_left <= j <= i + window_right; negative: no bound.
     * So a query always sees at least itself. */
    int64_t window_left, window_right;
    float *out; /* [tokens, heads, head_dim] */
    ce_isa isa;
} ce_attention;

/* Bytes of scratch memory for texts of up to `longest` tokens: about 128 for each token. */
size_t ce_attention_scratch(size_t head_dim, size_t longest);

/* The text of tokens begin .. end, heads head .. head_end. `scratch` is aligned to 64 bytes and used
 * by one call at a time. What is not finite in the input is not finite in the output. */
void ce_attention_text(const ce_attention *attention, size_t begin, size_t end, size_t head,
                       size_t head_end, void *scratch);

#endif
