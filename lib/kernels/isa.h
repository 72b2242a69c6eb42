/* Which of the compiled variants of a kernel this processor can run. */
#ifndef CE_KERNELS_ISA_H
#define CE_KERNELS_ISA_H

/* Each has all that stands before it. */
typedef enum ce_isa {
    CE_ISA_GENERIC = 0,     /* whatever the compiler's target guarantees */
    CE_ISA_AVX2 = 1,        /* with FMA */
    CE_ISA_AVX512 = 2,      /* F and VL, BW, DQ: every server processor that has AVX-512 */
    CE_ISA_AVX512_VNNI = 3, /* products of 8-bit integers, and VBMI's byte permutations */
    CE_ISA_AVX512_BF16 = 4  /* products of bf16 */
} ce_isa;

/* The best one. Any smaller value runs as well. */
ce_isa ce_isa_best(void);

/* "generic", "avx2", "avx512", "avx512_vnni", "avx512_bf16" */
const char *ce_isa_name(ce_isa isa);

#endif
