/* attention.c includes this through variants.h.
 *
 * Scores lie as [key, query]: a lane is a query, so the softmax needs no sum across lanes, and both
 * products read the rows of K and V, and the weights, one step at a time into all lanes. Only Q is
 * turned. For the second product a lane is an element of the output.
 *
 * A step is one fp32, or, with `pairs`, two bf16: two elements of a query and a key in the first
 * product, two keys in the second.
 *
 * ROWS keys, or queries, are worked on at once: with two vectors each, their accumulators fill most of
 * the registers. */

enum { NAME(ROWS) = LANES == 16 ? 8 : 4 };
#define ROWS NAME(ROWS)

/* 2^x for x from -1/2 to 1/2, relative error below 1e-7. */
TARGET INLINE NAME(vf) NAME(exp2_near_0)(NAME(vf) x)
{
    NAME(vf) p = x * 1.535336188319500e-4f + 1.339887440266574e-3f;
    p = p * x + 9.618437357674640e-3f;
    p = p * x + 5.550332471162809e-2f;
    p = p * x + 2.402264791363012e-1f;
    p = p * x + 6.931472028550421e-1f;
    return p * x + 1.0f;
}

/* 2^x for x <= 0, NaN for NaN. */
#if LANES == 16
TARGET INLINE NAME(vf) NAME(exp2)(NAME(vf) x, int pairs)
{
    if (pairs) { /* relative error below 1e-4; rounding to bf16 brings 4e-3 */
        NAME(vf) r = (NAME(vf))_mm512_reduce_ps((__m512)x, _MM_FROUND_FLOOR);
        NAME(vf) p = r * 0.0780244683f + 0.226067301f;
        p = p * r + 0.695833452f;
        p = p * r + 0.99992523f;
        return (NAME(vf))_mm512_scalef_ps((__m512)p, (__m512)x); /* whose fraction it ignores */
    }
    NAME(vf) r = (NAME(vf))_mm512_reduce_ps((__m512)x, _MM_FROUND_NINT);
    return (NAME(vf))_mm512_scalef_ps((__m512)NAME(exp2_near_0)(r), (__m512)(x - r));
}
#else
TARGET INLINE NAME(vf) NAME(exp2)(NAME(vf) x, int pairs)
{
    (void)pairs;
    const float round = 0x1.8p23f; /* leaves no bits for a fraction */
    NAME(vf) shifted = x + round;
    NAME(vf) p = NAME(exp2_near_0)(x - (shifted - round));
    NAME(vf) power = (NAME(vf))(((NAME(vu))shifted + 127) << 23);
    return (NAME(vf))((NAME(vi))(p * power) & ~(NAME(vi))(x < -126.0f));
}
#endif

TARGET INLINE NAME(vf) NAME(multiply_add)(NAME(vf) sum, NAME(vf) a, const char *b, int pairs)
{
    float all = *(const step *)b;
#if HAS_BF16
    if (pairs)
        return (NAME(vf))_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)_mm512_set1_ps(all));
#endif
    (void)pairs;
    return sum + a * all;
}

/* scores[key, query] of `rows` keys, of bf16 multiplied by `scale`. `rows`, `vectors` and `pairs` are
 * constants where this is inlined. */
TARGET INLINE void NAME(score_rows)(const float *turned, const char *k, ptrdiff_t stride,
                                    size_t steps, float scale, float *scores, int rows, int vectors,
                                    int pairs)
{
    NAME(vf) sum[ROWS][2] = {{{0}}};
    for (size_t d = 0; d < steps; d++) {
        NAME(vf) q[2];
        foreach (c, vectors)
            q[c] = NAME(load)(turned + (d * (size_t)vectors + (size_t)c) * LANES);
        foreach (r, rows)
            foreach (c, vectors)
                sum[r][c] = NAME(multiply_add)(sum[r][c], q[c], k + r * stride + 4 * d, pairs);
    }
    foreach (r, rows)
        foreach (c, vectors)
            NAME(store)(scores + (r * vectors + c) * LANES, pairs ? sum[r][c] * scale : sum[r][c]);
}

/* Scores of every key that the block sees. */
TARGET INLINE void NAME(score)(const float *turned, const char *k, ptrdiff_t stride, size_t steps,
                               float scale, size_t keys, float *scores, int vectors, int pairs)
{
    for (size_t j = 0; j < keys;) {
        const char *row = k + (ptrdiff_t)j * stride;
        float *to = scores + j * LANES * (size_t)vectors;
        size_t left = keys - j;
#define SCORE(rows) \
    (NAME(score_rows)(turned, row, stride, steps, scale, to, rows, vectors, pairs), j += rows)
        if (left >= ROWS)
            SCORE(ROWS);
        else if (ROWS > 4 && left >= 4)
            SCORE(4);
        else if (left >= 2)
            SCORE(2);
        else
            SCORE(1);
#undef SCORE
    }
}

/* Put the lowest number where column `column` + lane does not see key j. */
TARGET static void NAME(hide)(float *scores, size_t keys, int64_t offset, int64_t left,
                              int64_t right, int vectors)
{
    NAME(vi) column[2];
    for (int i = 0; i < 2 * LANES; i++)
        column[i / LANES][i % LANES] = i;
    for (size_t j = 0; j < keys; j++) {
        int32_t first, last;
        visible_columns(offset + (int64_t)j, left, right, 2 * LANES, &first, &last);
        for (int c = 0; c < vectors; c++, scores += LANES) {
            NAME(vi) visible = (column[c] >= first) & (column[c] <= last);
            NAME(store)(scores, NAME(select)(visible, NAME(load)(scores), NAME(all)(-FLT_MAX)));
        }
    }
}

/* Weights of two keys as pairs of bf16. */
TARGET INLINE void NAME(store_pairs)(float *to, NAME(vf) even, NAME(vf) odd)
{
#if HAS_BF16
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_loadu_si512(order), both));
#else
    (void)to, (void)even, (void)odd;
#endif
}

/* One query's column of the softmax, in each lane. */
typedef struct NAME(column) {
    NAME(vf) top, sum, poison;
} NAME(column);

TARGET INLINE NAME(vf) NAME(weigh)(NAME(column) * column, const float *score, int pairs)
{
    NAME(vf) s = NAME(load)(score);
    NAME(vf) weight = NAME(exp2)(s - column->top, pairs);
    column->sum += weight;
    column->poison += s * 0.0f; /* a score of minus infinity must not pass as weight 0 */
    return weight;
}

/* Scores to weights that are still to be divided by their sum; the inverse of the sum is returned
 * apart. */
TARGET INLINE void NAME(softmax)(float *scores, size_t keys, float *inverse, int vectors, int pairs)
{
    size_t width = (size_t)vectors * LANES, j = 0;
    NAME(column) column[2] = {{{0}, {0}, {0}}, {{0}, {0}, {0}}};
    foreach (c, vectors)
        column[c].top = NAME(all)(-FLT_MAX);
    for (; j < keys; j++)
        foreach (c, vectors)
            column[c].top = NAME(max)(NAME(load)(scores + j * width + c * LANES), column[c].top);
    float *to = scores;
    for (j = 0; pairs && j + 2 <= keys; j += 2, to += width) {
        foreach (c, vectors) {
            const float *from = scores + j * width + c * LANES;
            NAME(vf) even = NAME(weigh)(&column[c], from, pairs);
            NAME(store_pairs)
            (to + c * LANES, even, NAME(weigh)(&column[c], from + width, pairs));
        }
    }
    for (; j < keys; j++, to += width) {
        foreach (c, vectors) {
            NAME(vf) weight = NAME(weigh)(&column[c], scores + j * width + c * LANES, pairs);
            if (pairs)
                NAME(store_pairs)(to + c * LANES, weight, (NAME(vf)){0});
            else
                NAME(store)(to + c * LANES, weight);
        }
    }
    foreach (c, vectors)
        NAME(store)(inverse + c * LANES, 1.0f / (column[c].sum + column[c].poison));
}

TARGET INLINE void NAME(put)(place out, size_t row, size_t element, NAME(vf) value)
{
    out = place_at(out, row, element);
    if (out.number == CE_NUMBER_BF16)
        NAME(store_narrow_some)((uint16_t *)out.data, value, LANES);
    else
        NAME(store)((float *)out.data, value);
}

/* out[query, d] for `rows` queries and `vectors` vectors of elements; both are constants. */
TARGET INLINE void NAME(value_rows)(const float *weights, size_t width, const char *v,
                                    ptrdiff_t stride, size_t steps, const float *inverse, place out,
                                    int rows, int vectors, int pairs)
{
    NAME(vf) sum[ROWS][2] = {{{0}}};
    for (size_t j = 0; j < steps; j++, weights += width, v += stride) {
        NAME(vf) value[2];
        foreach (c, vectors)
            value[c] = NAME(load)((const float *)v + c * LANES);
        foreach (r, rows)
            foreach (c, vectors)
                sum[r][c] =
                    NAME(multiply_add)(sum[r][c], value[c], (const char *)(weights + r), pairs);
    }
    foreach (r, rows)
        foreach (c, vectors)
            NAME(put)(out, (size_t)r, (size_t)c * LANES, sum[r][c] * inverse[r]);
}

/* `vectors` vectors of elements for every query of the block. */
TARGET INLINE void NAME(value)(const float *weights, size_t width, const char *v, ptrdiff_t stride,
                               size_t steps, const float *inverse, place out, size_t queries,
                               int vectors, int pairs)
{
    for (size_t i = 0; i < queries;) {
        place to = place_at(out, i, 0);
        size_t left = queries - i;
#define VALUE(rows)                                                                         \
    (NAME(value_rows)(weights + i, width, v, stride, steps, inverse + i, to, rows, vectors, \
                      pairs),                                                               \
     i += rows)
        if (left >= ROWS)
            VALUE(ROWS);
        else if (ROWS > 4 && left >= 4)
            VALUE(4);
        else if (left >= 2)
            VALUE(2);
        else
            VALUE(1);
#undef VALUE
    }
}

/* A head narrower than a vector, as tests have them. */
TARGET static void NAME(value_narrow)(const float *weights, size_t width, const char *v,
                                      ptrdiff_t stride, size_t keys, const float *inverse,
                                      place out, size_t queries, size_t dim)
{
    for (size_t i = 0; i < queries; i++) {
        for (size_t d = 0; d < dim; d++) {
            float sum = 0;
            for (size_t j = 0; j < keys; j++)
                sum += ((const float *)(v + (ptrdiff_t)j * stride))[d] * weights[j * width + i];
            put_one(out, i, d, sum * inverse[i]);
        }
    }
}

/* All elements of the block's queries. */
TARGET INLINE void NAME(values)(const float *weights, size_t width, const char *v, ptrdiff_t stride,
                                size_t steps, const float *inverse, place out, size_t queries,
                                size_t dim, int pairs)
{
    size_t d = 0;
#define VALUE(d, vectors)                                                                        \
    NAME(value)                                                                                  \
    (weights, width, v + 4 * (d), stride, steps, inverse, place_at(out, 0, d), queries, vectors, \
     pairs)
    for (; d + 2 * LANES <= dim; d += 2 * LANES)
        VALUE(d, 2);
    if (d + LANES < dim) {
        VALUE(d, 1);
        d += LANES;
    }
    /* The last vector ends with the head: elements that it shares with the one before come out
     * the same again. */
    if (d < dim && dim >= LANES)
        VALUE(dim - LANES, 1);
    else if (d < dim)
        NAME(value_narrow)(weights, width, v, stride, steps, inverse, out, queries, dim);
#undef VALUE
}

/* One head's keys and values; strides in bytes. */
typedef struct NAME(operands) {
    const char *k, *v; /* of key 0, and of the first pair of keys */
    ptrdiff_t k_stride, v_stride;
} NAME(operands);

/* bf16 to fp32 [count, dim]. */
TARGET static void NAME(widen_rows)(const ce_heads *heads, size_t row, size_t head, size_t count,
                                    size_t dim, float *to)
{
    for (size_t i = 0; i < count; i++, to += dim) {
        const uint16_t *from = element_of(heads, CE_NUMBER_BF16, row + i, head);
        for (size_t d = 0; d < dim; d += LANES)
            NAME(store_some)(to + d, NAME(widen_some)(from + d, dim - d), dim - d);
    }
}

#if HAS_BF16
/* bf16 to pairs of keys [count / 2, dim]; behind the last key comes zero. */
TARGET static void NAME(pair_rows)(const ce_heads *heads, size_t row, size_t head, size_t count,
                                   size_t dim, float *to)
{
    for (size_t i = 0; i < count; i += 2, to += dim) {
        const uint16_t *even = element_of(heads, CE_NUMBER_BF16, row + i, head);
        const uint16_t *odd = even + heads->by_token;
        for (size_t d = 0; d < dim; d += LANES) {
            d = d + LANES <= dim ? d : dim - LANES;
            NAME(vu) pair = (NAME(vu))NAME(widen)(even + d) >> 16;
            if (i + 1 < count)
                pair |= (NAME(vu))NAME(widen)(odd + d);
            NAME(store)(to + d, (NAME(vf))pair);
        }
    }
}
#endif

/* Queries first .. first + queries of the text, at most two vectors of them. */
TARGET INLINE void NAME(block)(const ce_attention *a, const ce_attention_text *t, size_t head,
                               size_t first, size_t queries, const NAME(operands) * o,
                               const scratch *s, int vectors, int pairs)
{
    size_t dim = a->head_dim, width = (size_t)vectors * LANES;
    size_t row = t->query_row + (first - t->first), steps = pairs ? dim / 2 : dim;
    sight seen = sight_of(a, t->tokens, first, queries);
    size_t keys = seen.end - seen.begin;
    float scale = a->scale * LOG2_E;

    const char *q = element_of(&a->q, a->number, row, head);
    ptrdiff_t q_stride = a->q.by_token * (ptrdiff_t)bytes_of(a->number);
    if (a->number == CE_NUMBER_BF16 && !pairs) {
        NAME(widen_rows)(&a->q, row, head, queries, dim, s->q);
        q = (const char *)s->q;
        q_stride = (ptrdiff_t)(dim * sizeof(float));
    }
    turn_queries(q, q_stride, queries, steps, pairs ? 1 : scale, s->turned, width);
    NAME(score)
    (s->turned, o->k + (ptrdiff_t)seen.begin * o->k_stride, o->k_stride, steps, scale, keys,
     s->scores, vectors, pairs);
    if (seen.hide)
        NAME(hide)
    (s->scores, keys, (int64_t)seen.begin - (int64_t)first, seen.left, seen.right, vectors);
    NAME(softmax)(s->scores, keys, s->inverse, vectors, pairs);
    const char *v = o->v + (ptrdiff_t)(pairs ? seen.begin / 2 : seen.begin) * o->v_stride;
    NAME(values)
    (s->scores, width, v, o->v_stride, pairs ? (keys + 1) / 2 : keys, s->inverse,
     place_of(&a->out, row, head * dim), queries, dim, pairs);
}

TARGET INLINE void NAME(head_run)(const ce_attention *a, const ce_attention_text *t, size_t head,
                                  const NAME(operands) * o, const scratch *s, int pairs)
{
    size_t end = t->first + t->queries;
    for (size_t i = t->first; i < end; i += 2 * LANES) {
        if (end - i > LANES)
            NAME(block)(a, t, head, i, end - i < 2 * LANES ? end - i : 2 * LANES, o, s, 2, pairs);
        else
            NAME(block)(a, t, head, i, end - i, o, s, 1, pairs);
    }
}

TARGET static void NAME(head_fp32)(const ce_attention *a, const ce_attention_text *t, size_t head,
                                   const NAME(operands) * o, const scratch *s)
{
    NAME(head_run)(a, t, head, o, s, 0);
}

#if HAS_BF16
TARGET static void NAME(head_pairs)(const ce_attention *a, const ce_attention_text *t, size_t head,
                                    const NAME(operands) * o, const scratch *s)
{
    NAME(head_run)(a, t, head, o, s, 1);
}
#endif

/* Heads that share one head of keys and values. */
TARGET static void NAME(group_run)(const ce_attention *a, const ce_attention_text *t,
                                   size_t kv_head, size_t head, size_t head_end, const scratch *s)
{
    ptrdiff_t bytes = (ptrdiff_t)bytes_of(a->number),
              packed = (ptrdiff_t)(a->head_dim * sizeof(float));
    NAME(operands)
    o = {element_of(&a->k, a->number, t->row, kv_head),
         element_of(&a->v, a->number, t->row, kv_head), a->k.by_token * bytes,
         a->v.by_token * bytes};
    void (*run)(const ce_attention *, const ce_attention_text *, size_t, const NAME(operands) *,
                const scratch *) = NAME(head_fp32);
    if (a->number == CE_NUMBER_BF16) {
        o.v = (const char *)s->v;
        o.v_stride = packed;
#if HAS_BF16
        if (a->head_dim % 2 == 0 && a->head_dim >= LANES) {
            NAME(pair_rows)(&a->v, t->row, kv_head, t->tokens, a->head_dim, s->v);
            run = NAME(head_pairs);
        } else
#endif
        {
            NAME(widen_rows)(&a->k, t->row, kv_head, t->tokens, a->head_dim, s->k);
            NAME(widen_rows)(&a->v, t->row, kv_head, t->tokens, a->head_dim, s->v);
            o.k = (const char *)s->k;
            o.k_stride = packed;
        }
    }
    for (; head < head_end; head++)
        run(a, t, head, &o, s);
}

TARGET static void NAME(run)(const ce_attention *a, const ce_attention_text *t, size_t head,
                             size_t head_end, void *memory)
{
    scratch s = scratch_of(a->number, a->head_dim, t->tokens, memory);
    size_t group = a->heads / a->kv_heads;
    while (head < head_end) {
        size_t kv_head = head / group, end = (kv_head + 1) * group;
        end = end < head_end ? end : head_end;
        NAME(group_run)(a, t, kv_head, head, end, &s);
        head = end;
    }
}

#undef ROWS
