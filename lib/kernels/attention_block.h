/* The kernel for one instruction set; attention.c includes this once for each, with SUFFIX, TARGET,
 * LANES (floats in a vector) and ROWS (keys, or queries, worked on at once: with two vectors each,
 * their accumulators fill most of the registers).
 *
 * Scores lie as [key, query]: a lane is a query, so the softmax needs no sum across lanes, and both
 * products read the rows of K and V, and the weights, one element at a time into all lanes. Only Q
 * is turned. For the second product a lane is an element of the output. */

typedef float NAME(vf) __attribute__((vector_size(4 * LANES)));
typedef float NAME(vf_any) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t NAME(vu) __attribute__((vector_size(4 * LANES)));
typedef int32_t NAME(vi) __attribute__((vector_size(4 * LANES)));

TARGET INLINE NAME(vf) NAME(load)(const float *from)
{
    return *(const NAME(vf_any) *)from;
}

TARGET INLINE void NAME(store)(float *to, NAME(vf) value)
{
    *(NAME(vf_any) *)to = value;
}

TARGET INLINE NAME(vf) NAME(select)(NAME(vi) mask, NAME(vf) yes, NAME(vf) no)
{
    return (NAME(vf))((mask & (NAME(vi))yes) | (~mask & (NAME(vi))no));
}

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
            top[c] = NAME(select)(s > top[c], s, top[c]);
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

/* out[query, d] for `rows` queries and `vectors` vectors of elements; both are constants. */
TARGET INLINE void NAME(value_rows)(const float *weights, size_t width, const float *v,
                                    ptrdiff_t by_token, size_t keys, const float *inverse,
                                    float *out, size_t out_by_token, int rows, int vectors)
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
            NAME(store)(out + (size_t)r * out_by_token + c * LANES, sum[r][c] * inverse[r]);
}

/* `vectors` vectors of elements for every query of the block. */
TARGET INLINE void NAME(value)(const float *weights, size_t width, const float *v,
                               ptrdiff_t by_token, size_t keys, const float *inverse, float *out,
                               size_t out_by_token, size_t queries, int vectors)
{
    for (size_t i = 0; i < queries;) {
        float *to = out + i * out_by_token;
        size_t left = queries - i;
        if (left >= ROWS) {
            NAME(value_rows)
            (weights + i, width, v, by_token, keys, inverse + i, to, out_by_token, ROWS, vectors);
            i += ROWS;
        } else if (ROWS > 4 && left >= 4) {
            NAME(value_rows)
            (weights + i, width, v, by_token, keys, inverse + i, to, out_by_token, 4, vectors);
            i += 4;
        } else if (left >= 2) {
            NAME(value_rows)
            (weights + i, width, v, by_token, keys, inverse + i, to, out_by_token, 2, vectors);
            i += 2;
        } else {
            NAME(value_rows)
            (weights + i, width, v, by_token, keys, inverse + i, to, out_by_token, 1, vectors);
            i += 1;
        }
    }
}

/* A head narrower than a vector, as tests have them. */
TARGET static void NAME(value_narrow)(const float *weights, size_t width, const float *v,
                                      ptrdiff_t by_token, size_t keys, const float *inverse,
                                      float *out, size_t out_by_token, size_t queries, size_t dim)
{
    for (size_t i = 0; i < queries; i++) {
        for (size_t d = 0; d < dim; d++) {
            float sum = 0;
            for (size_t j = 0; j < keys; j++)
                sum += v[(ptrdiff_t)j * by_token + (ptrdiff_t)d] * weights[j * width + i];
            out[i * out_by_token + d] = sum * inverse[i];
        }
    }
}

TARGET static void NAME(text)(const ce_attention *a, size_t begin, size_t end, size_t head,
                              float *scratch)
{
    size_t length = end - begin, dim = a->head_dim, by_token = a->heads * dim;
    size_t kv_head = head / (a->heads / a->kv_heads);
    const float *q = a->q.data + (ptrdiff_t)begin * a->q.by_token + (ptrdiff_t)head * a->q.by_head;
    const float *k =
        a->k.data + (ptrdiff_t)begin * a->k.by_token + (ptrdiff_t)kv_head * a->k.by_head;
    const float *v =
        a->v.data + (ptrdiff_t)begin * a->v.by_token + (ptrdiff_t)kv_head * a->v.by_head;
    float *out = a->out + begin * by_token + head * dim;
    int64_t left = a->window_left >= (int64_t)length ? -1 : a->window_left;
    int64_t right = a->window_right >= (int64_t)length ? -1 : a->window_right;

    float *inverse = scratch, *turned = inverse + MAX_WIDTH, *scores = turned + MAX_WIDTH * dim;

    for (size_t i = 0; i < length; i += 2 * LANES) {
        size_t queries = length - i < 2 * LANES ? length - i : 2 * LANES;
        size_t width = queries > LANES ? 2 * LANES : LANES;
        int64_t last = (int64_t)(i + queries) - 1;

        /* The keys that any query of the block sees; `hide` is for those that not all of them see. */
        size_t key = left >= 0 && (int64_t)i > left ? i - (size_t)left : 0;
        size_t key_end =
            right >= 0 && last + right < (int64_t)length ? (size_t)(last + right + 1) : length;
        size_t keys = key_end - key;
        const float *k_row = k + (ptrdiff_t)key * a->k.by_token;
        const float *v_row = v + (ptrdiff_t)key * a->v.by_token;

        turn_queries(q + (ptrdiff_t)i * a->q.by_token, a->q.by_token, queries, dim,
                     a->scale * LOG2_E, turned, width);
        if (width > LANES)
            NAME(score)(turned, k_row, a->k.by_token, dim, keys, scores, 2);
        else
            NAME(score)(turned, k_row, a->k.by_token, dim, keys, scores, 1);

        if ((left >= 0 && last - left > (int64_t)key) ||
            (right >= 0 && (int64_t)i + right + 1 < (int64_t)key_end))
            NAME(hide)(scores, keys, (int64_t)key - (int64_t)i, left, right, (int)(width / LANES));
        if (width > LANES)
            NAME(softmax)(scores, keys, inverse, 2);
        else
            NAME(softmax)(scores, keys, inverse, 1);

        float *to = out + i * by_token;
        size_t d = 0;
        for (; d + 2 * LANES <= dim; d += 2 * LANES)
            NAME(value)
        (scores, width, v_row + d, a->v.by_token, keys, inverse, to + d, by_token, queries, 2);
        if (d + LANES < dim) {
            NAME(value)
            (scores, width, v_row + d, a->v.by_token, keys, inverse, to + d, by_token, queries, 1);
            d += LANES;
        }
        /* The last vector ends with the head: elements that it shares with the one before come out
         * the same again. */
        if (d < dim && dim >= LANES)
            NAME(value)
        (scores, width, v_row + (dim - LANES), a->v.by_token, keys, inverse, to + (dim - LANES),
         by_token, queries, 1);
        else if (d < dim) NAME(value_narrow)(scores, width, v_row, a->v.by_token, keys, inverse, to,
                                             by_token, queries, dim);
    }
}

#undef SUFFIX
#undef TARGET
#undef LANES
#undef ROWS
