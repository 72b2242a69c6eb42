/* attention.c includes this through variants.h. ROWS keys, or queries, are worked on at once: with two
 * vectors each, their accumulators fill most of the registers.
 *
 * Scores lie as [key, query]: a lane is a query, so the softmax needs no sum across lanes, and both
 * products read the rows of K and V, and the weights, one element at a time into all lanes. Only Q
 * is turned. For the second product a lane is an element of the output. */

enum { NAME(ROWS) = LANES == 16 ? 8 : 4 };
#define ROWS NAME(ROWS)

/* 2^x for x <= 0, relative error below 1e-7, zero below 2^-126, NaN for NaN. */
TARGET INLINE NAME(vf) NAME(exp2)(NAME(vf) x)
{
    const float round = 0x1.8p23f; /* leaves no bits for a fraction */
    NAME(vf) shifted = x + round;
    NAME(vf) r = x - (shifted - round);
    NAME(vf) p = r * 1.535336188319500e-4f + 1.339887440266574e-3f;
    p = p * r + 9.618437357674640e-3f;
    p = p * r + 5.550332471162809e-2f;
    p = p * r + 2.402264791363012e-1f;
    p = p * r + 6.931472028550421e-1f;
    p = p * r + 1.0f;
    NAME(vf) power = (NAME(vf))(((NAME(vu))shifted + 127) << 23);
    return (NAME(vf))((NAME(vi))(p * power) & ~(NAME(vi))(x < -126.0f));
}

/* scores[key, query] of `rows` keys. `rows` and `vectors` are constants where this is inlined. */
TARGET INLINE void NAME(score_rows)(const float *turned, const float *k, ptrdiff_t by_token,
                                    size_t dim, float *scores, int rows, int vectors)
{
    NAME(vf) sum[ROWS][2] = {{{0}}};
    for (size_t d = 0; d < dim; d++) {
        NAME(vf) q[2];
        foreach (c, vectors)
            q[c] = NAME(load)(turned + (d * (size_t)vectors + (size_t)c) * LANES);
        foreach (r, rows)
            foreach (c, vectors)
                sum[r][c] += q[c] * k[r * by_token + (ptrdiff_t)d];
    }
    foreach (r, rows)
        foreach (c, vectors)
            NAME(store)(scores + (r * vectors + c) * LANES, sum[r][c]);
}

/* Scores of every key of the block. */
TARGET INLINE void NAME(score)(const float *turned, const float *k, ptrdiff_t by_token, size_t dim,
                               size_t keys, float *scores, int vectors)
{
    for (size_t j = 0; j < keys;) {
        const float *row = k + (ptrdiff_t)j * by_token;
        float *to = scores + j * LANES * (size_t)vectors;
        size_t left = keys - j;
        if (left >= ROWS) {
            NAME(score_rows)(turned, row, by_token, dim, to, ROWS, vectors);
            j += ROWS;
        } else if (ROWS > 4 && left >= 4) {
            NAME(score_rows)(turned, row, by_token, dim, to, 4, vectors);
            j += 4;
        } else if (left >= 2) {
            NAME(score_rows)(turned, row, by_token, dim, to, 2, vectors);
            j += 2;
        } else {
            NAME(score_rows)(turned, row, by_token, dim, to, 1, vectors);
            j += 1;
        }
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
            NAME(vf) lowest = (NAME(vf)){0} - FLT_MAX;
            NAME(store)(scores, NAME(select)(visible, NAME(load)(scores), lowest));
        }
    }
}

/* Scores to weights that are still to be divided by their sum; the inverse of the sum is returned
 * apart. */
TARGET INLINE void NAME(softmax)(float *scores, size_t keys, float *inverse, int vectors)
{
    NAME(vf) top[2], sum[2] = {{0}}, poison[2] = {{0}};
    for (int c = 0; c < vectors; c++)
        top[c] = (NAME(vf)){0} - FLT_MAX;
    for (size_t j = 0; j < keys; j++) {
        foreach (c, vectors) {
            NAME(vf) s = NAME(load)(scores + (j * (size_t)vectors + (size_t)c) * LANES);
            top[c] = NAME(max)(s, top[c]);
        }
    }
    for (size_t j = 0; j < keys; j++) {
        foreach (c, vectors) {
            float *at = scores + (j * (size_t)vectors + (size_t)c) * LANES;
            NAME(vf) s = NAME(load)(at);
            NAME(vf) weight = NAME(exp2)(s - top[c]);
            NAME(store)(at, weight);
            sum[c] += weight;
            poison[c] += s * 0.0f; /* a score of minus infinity must not pass as weight 0 */
        }
    }
    for (int c = 0; c < vectors; c++)
        NAME(store)(inverse + c * LANES, 1.0f / (sum[c] + poison[c]));
}

TARGET INLINE void NAME(put)(place out, size_t row, size_t element, NAME(vf) value)
{
    char *to = out.data + row * out.stride;
    if (out.number == CE_NUMBER_BF16)
        NAME(store_narrow)((uint16_t *)to + element, value);
    else
        NAME(store)((float *)to + element, value);
}

/* out[query, d] for `rows` queries and `vectors` vectors of elements; both are constants. */
TARGET INLINE void NAME(value_rows)(const float *weights, size_t width, const float *v,
                                    ptrdiff_t by_token, size_t keys, const float *inverse,
                                    place out, int rows, int vectors)
{
    NAME(vf) sum[ROWS][2] = {{{0}}};
    for (size_t j = 0; j < keys; j++, weights += width, v += by_token) {
        NAME(vf) value[2];
        foreach (c, vectors)
            value[c] = NAME(load)(v + c * LANES);
        foreach (r, rows)
            foreach (c, vectors)
                sum[r][c] += value[c] * weights[r];
    }
    foreach (r, rows)
        foreach (c, vectors)
            NAME(put)(out, (size_t)r, (size_t)c * LANES, sum[r][c] * inverse[r]);
}

/* `vectors` vectors of elements for every query of the block. */
TARGET INLINE void NAME(value)(const float *weights, size_t width, const float *v,
                               ptrdiff_t by_token, size_t keys, const float *inverse, place out,
                               size_t queries, int vectors)
{
    for (size_t i = 0; i < queries;) {
        place to = place_at(out, i, 0);
        size_t left = queries - i;
        if (left >= ROWS) {
            NAME(value_rows)
            (weights + i, width, v, by_token, keys, inverse + i, to, ROWS, vectors);
            i += ROWS;
        } else if (ROWS > 4 && left >= 4) {
            NAME(value_rows)
            (weights + i, width, v, by_token, keys, inverse + i, to, 4, vectors);
            i += 4;
        } else if (left >= 2) {
            NAME(value_rows)
            (weights + i, width, v, by_token, keys, inverse + i, to, 2, vectors);
            i += 2;
        } else {
            NAME(value_rows)
            (weights + i, width, v, by_token, keys, inverse + i, to, 1, vectors);
            i += 1;
        }
    }
}

/* A head narrower than a vector, as tests have them. */
TARGET static void NAME(value_narrow)(const float *weights, size_t width, const float *v,
                                      ptrdiff_t by_token, size_t keys, const float *inverse,
                                      place out, size_t queries, size_t dim)
{
    for (size_t i = 0; i < queries; i++) {
        for (size_t d = 0; d < dim; d++) {
            float sum = 0;
            for (size_t j = 0; j < keys; j++)
                sum += v[(ptrdiff_t)j * by_token + (ptrdiff_t)d] * weights[j * width + i];
            put_one(out, i, d, sum * inverse[i]);
        }
    }
}

/* What `head_run` reads, in fp32. */
typedef struct NAME(operands) {
    const float *k, *v; /* of key 0 */
    ptrdiff_t k_by_token, v_by_token;
} NAME(operands);

TARGET static void NAME(widen_rows)(const ce_heads *heads, size_t row, size_t head, size_t count,
                                    size_t dim, float *to)
{
    for (size_t i = 0; i < count; i++, to += dim) {
        const uint16_t *from = element_of(heads, CE_NUMBER_BF16, row + i, head);
        for (size_t d = 0; d < dim; d += LANES)
            NAME(store_some)(to + d, NAME(widen_some)(from + d, dim - d), dim - d);
    }
}

/* Queries i .. i + queries of the text, at most two vectors of them. */
TARGET static void NAME(block)(const ce_attention *a, const ce_attention_text *t, size_t head,
                               size_t i, size_t queries, const NAME(operands) * o, const scratch *s)
{
    size_t length = t->tokens, dim = a->head_dim;
    size_t width = queries > LANES ? 2 * LANES : LANES;
    size_t row = t->query_row + (i - t->first);
    int64_t left = a->window_left >= (int64_t)length ? -1 : a->window_left;
    int64_t right = a->window_right >= (int64_t)length ? -1 : a->window_right;
    int64_t last = (int64_t)(i + queries) - 1;

    /* The keys that any query of the block sees; `hide` is for those that not all of them see. */
    size_t key = left >= 0 && (int64_t)i > left ? i - (size_t)left : 0;
    size_t key_end =
        right >= 0 && last + right < (int64_t)length ? (size_t)(last + right + 1) : length;
    size_t keys = key_end - key;
    const float *k_row = o->k + (ptrdiff_t)key * o->k_by_token;
    const float *v_row = o->v + (ptrdiff_t)key * o->v_by_token;

    const float *q = element_of(&a->q, a->number, row, head);
    ptrdiff_t q_by_token = a->q.by_token;
    if (a->number == CE_NUMBER_BF16) {
        NAME(widen_rows)(&a->q, row, head, queries, dim, s->q);
        q = s->q;
        q_by_token = (ptrdiff_t)dim;
    }
    turn_queries(q, q_by_token, queries, dim, a->scale * LOG2_E, s->turned, width);
    if (width > LANES)
        NAME(score)(s->turned, k_row, o->k_by_token, dim, keys, s->scores, 2);
    else
        NAME(score)(s->turned, k_row, o->k_by_token, dim, keys, s->scores, 1);

    if ((left >= 0 && last - left > (int64_t)key) ||
        (right >= 0 && (int64_t)i + right + 1 < (int64_t)key_end))
        NAME(hide)(s->scores, keys, (int64_t)key - (int64_t)i, left, right, (int)(width / LANES));
    if (width > LANES)
        NAME(softmax)(s->scores, keys, s->inverse, 2);
    else
        NAME(softmax)(s->scores, keys, s->inverse, 1);

    place to = place_of(&a->out, row, head * dim);
    size_t d = 0;
    for (; d + 2 * LANES <= dim; d += 2 * LANES)
        NAME(value)
    (s->scores, width, v_row + d, o->v_by_token, keys, s->inverse, place_at(to, 0, d), queries, 2);
    if (d + LANES < dim) {
        NAME(value)
        (s->scores, width, v_row + d, o->v_by_token, keys, s->inverse, place_at(to, 0, d), queries,
         1);
        d += LANES;
    }
    /* The last vector ends with the head: elements that it shares with the one before come out
     * the same again. */
    if (d < dim && dim >= LANES)
        NAME(value)
    (s->scores, width, v_row + (dim - LANES), o->v_by_token, keys, s->inverse,
     place_at(to, 0, dim - LANES), queries, 1);
    else if (d < dim) NAME(value_narrow)(s->scores, width, v_row, o->v_by_token, keys, s->inverse,
                                         to, queries, dim);
}

TARGET static void NAME(run)(const ce_attention *a, const ce_attention_text *t, size_t head,
                             size_t head_end, void *memory)
{
    scratch s = scratch_of(a->number, a->head_dim, t->tokens, memory);
    size_t group = a->heads / a->kv_heads, widened = SIZE_MAX;
    for (; head < head_end; head++) {
        size_t kv_head = head / group;
        NAME(operands)
        o = {element_of(&a->k, a->number, t->row, kv_head),
             element_of(&a->v, a->number, t->row, kv_head), a->k.by_token, a->v.by_token};
        if (a->number == CE_NUMBER_BF16) {
            if (kv_head != widened) {
                NAME(widen_rows)(&a->k, t->row, kv_head, t->tokens, a->head_dim, s.k);
                NAME(widen_rows)(&a->v, t->row, kv_head, t->tokens, a->head_dim, s.v);
            }
            widened = kv_head;
            o = (NAME(operands)){s.k, s.v, (ptrdiff_t)a->head_dim, (ptrdiff_t)a->head_dim};
        }
        size_t end = t->first + t->queries;
        for (size_t i = t->first; i < end; i += 2 * LANES)
            NAME(block)(a, t, head, i, end - i < 2 * LANES ? end - i : 2 * LANES, &o, &s);
    }
}

#undef ROWS
