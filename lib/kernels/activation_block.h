/* What follows a linear layer; linear_block.h includes this. `rough` is for numbers that will be kept in 8 or 16 bits. */

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

#if LANES == 16
TARGET INLINE NAME(vf) NAME(pick)(const float from[GELU_PIECES], NAME(vf) piece)
{
    return (NAME(vf))_mm512_permutex2var_ps(_mm512_load_ps(from), (__m512i)piece,
                                            _mm512_load_ps(from + 16));
}

/* The larger of x and 0, less what is left of |x| (1 - Phi(|x|)), by a polynomial of the piece that |x| is in. */
TARGET INLINE NAME(vf)
    NAME(gelu_piece)(NAME(vf) x, const float coefficients[][GELU_PIECES], int degree)
{
    const float round = 0x1.8p23f; /* leaves the whole number in the lowest bits */
    NAME(vf) at = NAME(min)(NAME(all)(GELU_PIECES - 0.75f), NAME(max)(x, -x) * GELU_SCALE);
    NAME(vf) piece = at + round, t = at - (piece - round);
    NAME(vf) p = NAME(pick)(coefficients[degree], piece);
    foreach (i, degree)
        p = p * t + NAME(pick)(coefficients[degree - 1 - i], piece);
    return NAME(max)(NAME(all)(0), x) - p;
}

/* x Phi(x), error below 3e-7. */
TARGET INLINE NAME(vf) NAME(gelu)(NAME(vf) x)
{
    return NAME(gelu_piece)(x, gelu_exact, 5);
}

/* Error below 4e-5. */
TARGET INLINE NAME(vf) NAME(gelu_rough)(NAME(vf) x)
{
    return NAME(gelu_piece)(x, gelu_rough, 2);
}
#else
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
#endif

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
