/* Includes BLOCK, a header of functions, once for each instruction set that has code of its own, with SUFFIX, TARGET,
 * LANES (floats in a vector), HAS_BF16 and the vectors of vectors.h. VARIANTS then names a function's variants. */
#include "kernels/simd.h"

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
