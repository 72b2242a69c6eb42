/* Which of the compiled variants of a kernel this processor can run. */
#ifndef CE_KERNELS_ISA_H
#define CE_KERNELS_ISA_H

typedef enum ce_isa {
    CE_ISA_GENERIC = 0, /* whatever the compiler's target guarantees */
    CE_ISA_AVX2 = 1,    /* with FMA */
    CE_ISA_AVX512 = 2   /* F and VL, BW, DQ: every server processor that has AVX-512 */
} ce_isa;

/* The best one. Any smaller value runs as well. */
ce_isa ce_isa_best(void);

#endif
