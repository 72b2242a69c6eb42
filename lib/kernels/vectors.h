/* Vectors of LANES floats of one instruction set; variants.h includes this. */

typedef float NAME(vf) __attribute__((vector_size(4 * LANES)));
typedef float NAME(vf_any) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t NAME(vu) __attribute__((vector_size(4 * LANES)));
typedef int32_t NAME(vi) __attribute__((vector_size(4 * LANES)));
typedef uint16_t NAME(vh) __attribute__((vector_size(2 * LANES)));
typedef uint16_t NAME(vh_any) __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

TARGET INLINE NAME(vf) NAME(load)(const float *from)
{
    return *(const NAME(vf_any) *)from;
}

TARGET INLINE void NAME(store)(float *to, NAME(vf) value)
{
    *(NAME(vf_any) *)to = value;
}

/* At most `count` lanes; the others are zero. Where a count is a constant no branch remains. */
TARGET INLINE NAME(vf) NAME(load_some)(const float *from, size_t count)
{
    if (count >= LANES)
        return NAME(load)(from);
    float all[LANES] = {0};
    memcpy(all, from, count * sizeof *all);
    return NAME(load)(all);
}

TARGET INLINE void NAME(store_some)(float *to, NAME(vf) value, size_t count)
{
    if (count >= LANES)
        NAME(store)(to, value);
    else
        memcpy(to, &value, count * sizeof *to);
}

TARGET INLINE NAME(vf) NAME(all)(float value)
{
    return value - (NAME(vf)){0};
}

TARGET INLINE NAME(vf) NAME(select)(NAME(vi) mask, NAME(vf) yes, NAME(vf) no)
{
    return (NAME(vf))((mask & (NAME(vi))yes) | (~mask & (NAME(vi))no));
}

/* b where one of them is NaN, as the instructions have it. */
TARGET INLINE NAME(vf) NAME(max)(NAME(vf) a, NAME(vf) b)
{
#if LANES == 16
    return (NAME(vf))_mm512_max_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (NAME(vf))_mm256_max_ps((__m256)a, (__m256)b);
#else
    return NAME(select)(a > b, a, b);
#endif
}

TARGET INLINE NAME(vf) NAME(min)(NAME(vf) a, NAME(vf) b)
{
#if LANES == 16
    return (NAME(vf))_mm512_min_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (NAME(vf))_mm256_min_ps((__m256)a, (__m256)b);
#else
    return NAME(select)(a < b, a, b);
#endif
}

/* Over all lanes. */
TARGET INLINE float NAME(sum)(NAME(vf) v)
{
#if LANES == 16
    __m256 low = _mm512_castps512_ps256((__m512)v), high = _mm512_extractf32x8_ps((__m512)v, 1);
    __m256 eight = low + high;
#elif LANES == 8
    __m256 eight = (__m256)v;
#endif
#if LANES == 4
    quad four = v;
#else
    quad four = (quad)(_mm256_castps256_ps128(eight) + _mm256_extractf128_ps(eight, 1));
#endif
    four += __builtin_shufflevector(four, four, 2, 3, 0, 1);
    return four[0] + four[1];
}

TARGET INLINE float NAME(largest)(NAME(vf) v)
{
#if LANES == 16
    return _mm512_reduce_max_ps((__m512)v);
#else
    float most = v[0];
    foreach (i, LANES)
        most = v[i] > most ? v[i] : most;
    return most;
#endif
}

TARGET INLINE float NAME(smallest)(NAME(vf) v)
{
    return -NAME(largest)(-v);
}

TARGET INLINE NAME(vf) NAME(widen)(const uint16_t *from)
{
    NAME(vh) half = *(const NAME(vh_any) *)from;
    return (NAME(vf))(__builtin_convertvector(half, NAME(vu)) << 16);
}

TARGET INLINE NAME(vf) NAME(widen_some)(const uint16_t *from, size_t count)
{
    if (count >= LANES)
        return NAME(widen)(from);
    uint16_t all[LANES] = {0};
    memcpy(all, from, count * sizeof *all);
    return NAME(widen)(all);
}

/* To bf16, rounded to nearest even. */
TARGET INLINE NAME(vh) NAME(narrow)(NAME(vf) value)
{
#if HAS_BF16
    return (NAME(vh))_mm512_cvtneps_pbh((__m512)value);
#else
    NAME(vu) bits = (NAME(vu))value;
    NAME(vu) rounded = bits + 0x7fff + ((bits >> 16) & 1);
    NAME(vi) nan = value != value; /* rounding could carry it into the sign */
    NAME(vu) upper = (((NAME(vu))nan & (bits | 0x400000)) | (~(NAME(vu))nan & rounded)) >> 16;
    return __builtin_convertvector(upper, NAME(vh));
#endif
}

TARGET INLINE void NAME(store_narrow)(uint16_t *to, NAME(vf) value)
{
    *(NAME(vh_any) *)to = NAME(narrow)(value);
}

TARGET INLINE void NAME(store_narrow_some)(uint16_t *to, NAME(vf) value, size_t count)
{
    NAME(vh) half = NAME(narrow)(value);
    if (count >= LANES)
        *(NAME(vh_any) *)to = half;
    else
        memcpy(to, &half, count * sizeof *to);
}

/* Four vectors at once: at most `count` elements. */
typedef struct NAME(four) {
    NAME(vf) v[4];
} NAME(four);

TARGET INLINE NAME(four) NAME(load_four)(const float *from, size_t count)
{
    NAME(four) four = {{{0}}};
    if (count >= 4 * LANES) {
        foreach (i, 4)
            four.v[i] = NAME(load)(from + i * LANES);
        return four;
    }
    foreach (i, 4)
        if (count > (size_t)i * LANES)
            four.v[i] = NAME(load_some)(from + i * LANES, count - (size_t)i * LANES);
    return four;
}

TARGET INLINE void NAME(store_four)(float *to, const NAME(four) * four, size_t count)
{
    if (count >= 4 * LANES)
        foreach (i, 4)
            NAME(store)(to + i * LANES, four->v[i]);
    else
        foreach (i, 4)
            if (count > (size_t)i * LANES)
                NAME(store_some)(to + i * LANES, four->v[i], count - (size_t)i * LANES);
}

/* Behind the last element of a row come zeros, up to where a linear layer reads. */
TARGET INLINE void NAME(store_narrow_four)(uint16_t *to, const NAME(four) * four, size_t count)
{
    if (count >= 4 * LANES) {
        foreach (i, 4)
            NAME(store_narrow_some)(to + i * LANES, four->v[i], LANES);
        return;
    }
    foreach (i, 4)
        if (count > (size_t)i * LANES)
            NAME(store_narrow_some)(to + i * LANES, four->v[i], count - (size_t)i * LANES);
    for (size_t i = count; i % 4 != 0; i++)
        to[i] = 0;
}
