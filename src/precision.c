#include "precision.h"

#include "citadel_embed.h"

#include <string.h>

static const char *const names[] = {
    [CITADEL_PRECISION_AUTO] = "auto", [CITADEL_PRECISION_FP32] = "fp32",
    [CITADEL_PRECISION_BF16] = "bf16", [CITADEL_PRECISION_FP16] = "fp16",
    [CITADEL_PRECISION_INT8] = "int8", [CITADEL_PRECISION_INT8_ACCURATE] = "int8-accurate",
};

int ce_precision_check(int32_t precision, const char *where, ce_error *error)
{
    if (precision < CITADEL_PRECISION_AUTO || precision > CITADEL_PRECISION_INT8_ACCURATE)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "%s: precision is %d, expected a CITADEL_PRECISION_* (0 to %d)", where,
                       (int)precision, CITADEL_PRECISION_INT8_ACCURATE);
    return CE_OK;
}

const char *ce_precision_name(int32_t precision)
{
    return names[precision];
}

int32_t ce_precision_parse(const char *name)
{
    for (int32_t i = CITADEL_PRECISION_FP32; i <= CITADEL_PRECISION_INT8_ACCURATE; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}
