/* What code for vectors of all instruction sets has in common. */
#ifndef CE_KERNELS_SIMD_H
#define CE_KERNELS_SIMD_H

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
typedef float quad_any __attribute__((vector_size(16), aligned(2), may_alias));

#endif
