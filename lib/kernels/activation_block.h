/* What follows a linear layer; linear_block.h includes this. `rough` is for numbers that are kept in 8 or 16 bits. */

/* e^x, relative error below 2e-7; e^-87.3 for what is less, NaN for NaN. */
TARGET INLINE NAME(vf) NAME(exp)(NAME(vf) x)
{
    const float round = 0x1.8p23f; /* leaves no bits for a fraction */
    NAME(vf)
    t = NAME(min)(NAME(all)(128.0f), NAME(max)(NAME(all)(-126.0f), x * 1.44269504088896341f));
    NAME(vf) whole = (t + round) - round;
    NAME(vf) clamped = NAME(min)(NAME(all)(88.8f), NAME(max)(NAME(all)(-87.3f), x));
    NAME(vf) r = (clamped - whole * 0.693359375f) + whole * 2.12194440e-4f;
    NAME(vf) p = r * 1.388888889e-3f + 8.333333333e-3f;
    p = p * r + 4.166666667e-2f;
    p = p * r + 1.666666667e-1f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    NAME(vi) exponent = __builtin_convertvector(whole, NAME(vi));
    NAME(vf) half = (NAME(vf))((exponent - (exponent >> 1) + 127) << 23);
    return p * half * (NAME(vf))(((exponent >> 1) + 127) << 23);
}

/* x Phi(x) by erf (Abramowitz and Stegun 7.1.26): error below 2e-7 |x|. */
TARGET INLINE NAME(vf) NAME(gelu)(NAME(vf) x)
{
    NAME(vf) magnitude = NAME(max)(x, -x);
    NAME(vf) z = NAME(min)(NAME(all)(14.0f), magnitude) * 0.70710678118654752f;
    NAME(vf) t = 1.0f / (z * 0.3275911f + 1.0f);
    NAME(vf) p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = (p * t + 0.254829592f) * t;
    NAME(vf) tail = p * NAME(exp)(-(z * z)) * 0.5f;
    NAME(vf) share = NAME(select)(x < 0, tail, 1.0f - tail);
    /* Minus infinity gives minus zero; what no number is stays so. */
    return NAME(select)(x < -13.0f, NAME(all)(-0.0f), x * share);
}

/* The same, error below 4e-5: the larger of x and 0, less what is left of |x| (1 - Phi(|x|)) up to 4.3. */
TARGET INLINE NAME(vf) NAME(gelu_rough)(NAME(vf) x)
{
    NAME(vf) a = NAME(min)(NAME(all)(4.3f), NAME(max)(x, -x));
    NAME(vf) u = a * a;
    NAME(vf) p = u * 4.197450110e-11f - 4.249003372e-09f;
    p = p * u + 1.902242541e-07f;
    p = p * u - 5.006175118e-06f;
    p = p * u + 8.711773909e-05f;
    p = p * u - 1.071386890e-03f;
    p = p * u + 9.695150463e-03f;
    p = p * u - 6.615559840e-02f;
    p = p * u + 3.988020817e-01f;
    return NAME(max)(NAME(all)(0), x) - a * (0.5f - a * p);
}

#if LANES == 16
/* |x| (1 - Phi(|x|)) in 32 straight pieces, the k-th round |x| = k / 8: offset and slope. */
static const _Alignas(64) float NAME(gelu_offsets)[32] = {
    0.00019457424f, 0.0054023438f, 0.023373707f, 0.05148603f,  0.087200278f, 0.12737138f,
    0.16858842f,    0.20752595f,   0.24126215f,  0.26752732f,  0.28485854f,  0.2926519f,
    0.29111349f,    0.2811448f,    0.26415208f,  0.24185186f,  0.21606891f,  0.18856169f,
    0.16088775f,    0.13431587f,   0.10978492f,  0.087903219f, 0.068978902f, 0.053070459f,
    0.040046787f,   0.029647983f,  0.021540405f, 0.015362041f, 0.010756574f, 0.0073962704f,
    0.0049950588f,  0.0035139906f};
static const _Alignas(64) float NAME(gelu_slopes)[32] = {
    0.47508233f,    0.4009103f,     0.30487424f,    0.21473465f,    0.1329343f,     0.061366519f,
    0.0012793793f,  -0.046760217f,  -0.082843118f,  -0.10764255f,   -0.12229937f,   -0.12828346f,
    -0.12724781f,   -0.1208901f,    -0.11083388f,   -0.098537097f,  -0.085231664f,  -0.071893422f,
    -0.059239034f,  -0.047744006f,  -0.037675211f,  -0.029131342f,  -0.022085509f,  -0.016425531f,
    -0.011988927f,  -0.0085909899f, -0.0060455667f, -0.0041789893f, -0.0028381787f, -0.0018941893f,
    -0.0012424889f, -0.00085329938f};
#endif

/* The same for what is going to be 8 bits: error below 1e-3. */
TARGET INLINE NAME(vf) NAME(gelu_coarse)(NAME(vf) x)
{
#if LANES == 16
    const float round = 0x1.8p23f; /* leaves the whole number in the lowest bits */
    NAME(vf) a = NAME(min)(NAME(all)(3.9f), NAME(max)(x, -x));
    __m512i piece = (__m512i)(a * 8.0f + round);
    __m512 offset = _mm512_permutex2var_ps(_mm512_load_ps(NAME(gelu_offsets)), piece,
                                           _mm512_load_ps(NAME(gelu_offsets) + 16));
    __m512 slope = _mm512_permutex2var_ps(_mm512_load_ps(NAME(gelu_slopes)), piece,
                                          _mm512_load_ps(NAME(gelu_slopes) + 16));
    return NAME(max)(NAME(all)(0), x) - ((NAME(vf))slope * a + (NAME(vf))offset);
#else
    return NAME(gelu_rough)(x);
#endif
}

/* x / (1 + e^-y): of silu, and of gelu by tanh. */
TARGET INLINE NAME(vf) NAME(gated)(NAME(vf) x, NAME(vf) y)
{
    NAME(vf) lowest = NAME(max)(NAME(all)(-1e30f), x); /* minus infinity by zero is no number */
    return lowest / (NAME(exp)(-y) + 1.0f);
}

TARGET INLINE NAME(vf) NAME(gelu_tanh)(NAME(vf) x)
{
    NAME(vf) c = NAME(min)(NAME(all)(1e6f), NAME(max)(NAME(all)(-1e6f), x));
    return NAME(gated)(x, (c * c * c * 0.044715f + c) * 1.59576912160573f);
}
