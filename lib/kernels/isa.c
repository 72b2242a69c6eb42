#include "kernels/isa.h"

#if defined(__x86_64__)
static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#endif

ce_isa ce_isa_best(void)
{
#if defined(__x86_64__)
    int vnni = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
    if (has_avx512() && vnni && __builtin_cpu_supports("avx512bf16"))
        return CE_ISA_AVX512_BF16;
    if (has_avx512() && vnni)
        return CE_ISA_AVX512_VNNI;
    if (has_avx512())
        return CE_ISA_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return CE_ISA_AVX2;
#endif
    return CE_ISA_GENERIC;
}

const char *ce_isa_name(ce_isa isa)
{
    static const char *const names[] = {"generic", "avx2", "avx512", "avx512_vnni", "avx512_bf16"};
    return names[isa];
}
