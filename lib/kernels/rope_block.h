/* rope.c includes this through variants.h. */

/* One head of one token. */
TARGET INLINE void NAME(turn_fp32)(float *x, size_t half, const float *cos, const float *sin)
{
    float *y = x + half;
    for (size_t i = 0; i < half; i += LANES) {
        size_t left = half - i;
        NAME(vf) a = NAME(load_some)(x + i, left), b = NAME(load_some)(y + i, left);
        NAME(vf) c = NAME(load_some)(cos + i, left), s = NAME(load_some)(sin + i, left);
        NAME(store_some)(x + i, a * c - b * s, left);
        NAME(store_some)(y + i, b * c + a * s, left);
    }
}

TARGET INLINE void NAME(turn_bf16)(uint16_t *x, size_t half, const float *cos, const float *sin)
{
    uint16_t *y = x + half;
    for (size_t i = 0; i < half; i += LANES) {
        size_t left = half - i;
        NAME(vf) a = NAME(widen_some)(x + i, left), b = NAME(widen_some)(y + i, left);
        NAME(vf) c = NAME(load_some)(cos + i, left), s = NAME(load_some)(sin + i, left);
        NAME(store_narrow_some)(x + i, a * c - b * s, left);
        NAME(store_narrow_some)(y + i, b * c + a * s, left);
    }
}

TARGET static void NAME(rope_row)(const ce_rope *rope, void *row, ce_number number,
                                  int32_t position, size_t first, size_t heads, size_t head_dim)
{
    size_t half = rope->rotary_dim / 2, at = (size_t)position * half;
    for (size_t head = 0; head < heads; head++) {
        size_t begin = first + head * head_dim;
        if (number == CE_NUMBER_BF16)
            NAME(turn_bf16)((uint16_t *)row + begin, half, rope->cos + at, rope->sin + at);
        else
            NAME(turn_fp32)((float *)row + begin, half, rope->cos + at, rope->sin + at);
    }
}
