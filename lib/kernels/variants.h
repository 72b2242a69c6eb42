/* Includes BLOCK, a header of functions, once for each instruction set that has code of its own, with SUFFIX, TARGET,
 * LANES (floats in a vector), HAS_BF16 and the vectors of vectors.h. VARIANTS then names a function's variants. */
#include "kernels/isa.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* gcc -std=c11 does not form fused multiply-adds of its own accord; clang does. Loops over
 * accumulators must be unrolled early, or these end up in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#pragma GCC optimize("fp-contract=fast")
#define UNROLL _Pragma("GCC unroll 32")
#endif
#define foreach(i, count) UNROLL for (int i = 0; i < (count); i++)

#define INLINE static inline __attribute__((always_inline))
#define CONCAT_(a, b) a##b
#define CONCAT(a, b) CONCAT_(a, b)
#define NAME(name) CONCAT(name, SUFFIX)

/* Vectors of 16 bytes exist everywhere. */
typedef float quad __attribute__((vector_size(16)));
typedef float quad_any __attribute__((vector_size(16), aligned(4), may_alias));

#define SUFFIX _generic
#define TARGET
#define LANES 4
#define HAS_BF16 0
#include "kernels/vectors.h"
#include BLOCK
#undef SUFFIX
#undef TARGET
#undef LANES
#undef HAS_BF16

#if defined(__x86_64__)
#define SUFFIX _avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define HAS_BF16 0
#include "kernels/vectors.h"
#include BLOCK
#undef SUFFIX
#undef TARGET
#undef LANES
#undef HAS_BF16

#define SUFFIX _avx512
#define TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")))
#define LANES 16
#define HAS_BF16 0
#include "kernels/vectors.h"
#include BLOCK
#undef SUFFIX
#undef TARGET
#undef LANES
#undef HAS_BF16

#define SUFFIX _avx512_bf16
#define TARGET __attribute__((target("avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")))
#define LANES 16
#define HAS_BF16 1
#include "kernels/vectors.h"
#include BLOCK
#undef SUFFIX
#undef TARGET
#undef LANES
#undef HAS_BF16

/* By ce_isa. */
#define VARIANTS(name)                                                                \
    {                                                                                 \
        name##_generic, name##_avx2, name##_avx512, name##_avx512, name##_avx512_bf16 \
    }
#else
#define VARIANTS(name) \
    {                  \
        name##_generic \
    }
#endif
