/* One fp32 row to bf16 or int8. convert.c and norm.c include this through variants.h. */

/* The smallest and largest element, zero included; NaN in `poison` if something is not finite. */
typedef struct NAME(range) {
    NAME(vf) low[2], high[2], poison[2];
} NAME(range);

TARGET INLINE NAME(range) NAME(range_none)(void)
{
    return (NAME(range)){{{0}, {0}}, {{0}, {0}}, {{0}, {0}}};
}

TARGET INLINE void NAME(range_add)(NAME(range) * range, const NAME(four) * four)
{
    foreach (i, 4) {
        range->low[i % 2] = NAME(min)(four->v[i], range->low[i % 2]);
        range->high[i % 2] = NAME(max)(four->v[i], range->high[i % 2]);
        range->poison[i % 2] += four->v[i] * 0.0f;
    }
}

TARGET INLINE quantum NAME(range_quantum)(const NAME(range) * range, ce_row_scale *scale)
{
    return quantum_of(NAME(smallest)(NAME(min)(range->low[0], range->low[1])),
                      NAME(largest)(NAME(max)(range->high[0], range->high[1])),
                      NAME(sum)(range->poison[0] + range->poison[1]), scale);
}

TARGET INLINE NAME(vi) NAME(to_integers)(NAME(vf) value, quantum q)
{
    NAME(vf) scaled = value * q.inverse + q.zero;
#if LANES == 16
    return (NAME(vi))_mm512_cvtps_epi32((__m512)scaled);
#elif LANES == 8
    return (NAME(vi))_mm256_cvtps_epi32((__m256)scaled);
#else
    scaled = NAME(max)(NAME(min)(scaled, NAME(all)(255)), NAME(all)(0));
    return __builtin_convertvector(scaled + 0x1p23f, NAME(vi)) & 255;
#endif
}

/* Four vectors to bytes, held to 0 .. 255. */
TARGET INLINE void NAME(quantise_whole)(uint8_t *to, const NAME(four) * four, quantum q)
{
    NAME(vi) a = NAME(to_integers)(four->v[0], q), b = NAME(to_integers)(four->v[1], q);
    NAME(vi) c = NAME(to_integers)(four->v[2], q), d = NAME(to_integers)(four->v[3], q);
#if LANES == 16
    /* Packing works within 16 bytes: what comes out is four bytes of a, of b, of c, of d, of a ... */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i ab = _mm512_packs_epi32((__m512i)a, (__m512i)b);
    __m512i cd = _mm512_packs_epi32((__m512i)c, (__m512i)d);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(ab, cd)));
#elif LANES == 8
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i ab = _mm256_packs_epi32((__m256i)a, (__m256i)b);
    __m256i cd = _mm256_packs_epi32((__m256i)c, (__m256i)d);
    __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd), order);
    _mm256_storeu_si256((__m256i_u *)to, bytes);
#else
    foreach (i, LANES) {
        to[i] = (uint8_t)a[i];
        to[i + LANES] = (uint8_t)b[i];
        to[i + 2 * LANES] = (uint8_t)c[i];
        to[i + 3 * LANES] = (uint8_t)d[i];
    }
#endif
}

/* At most `count` bytes. Behind the end of a row come zeros. */
TARGET INLINE void NAME(quantise)(uint8_t *to, const NAME(four) * four, quantum q, size_t count)
{
    if (count >= 4 * LANES) {
        NAME(quantise_whole)(to, four, q);
        return;
    }
    uint8_t all[4 * LANES + 4];
    NAME(quantise_whole)(all, four, q);
    memset(all + count, 0, 4);
    memcpy(to, all, (count + 3) / 4 * 4);
}
