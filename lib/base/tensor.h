/* A named array of numbers that lies in somebody else's memory. */
#ifndef CE_BASE_TENSOR_H
#define CE_BASE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

typedef enum ce_dtype {
    CE_DTYPE_F32 = 1,
    CE_DTYPE_F16 = 2,
    CE_DTYPE_BF16 = 3,
    CE_DTYPE_I64 = 4,
    CE_DTYPE_I32 = 5,
    CE_DTYPE_I8 = 6,
    CE_DTYPE_U8 = 7,
    CE_DTYPE_BOOL = 8,
    CE_DTYPE_F64 = 9
} ce_dtype;

#define CE_TENSOR_MAX_DIMS 8

typedef struct ce_tensor {
    const char *name;
    ce_dtype dtype;
    uint32_t dims;
    int64_t shape[CE_TENSOR_MAX_DIMS];
    const void *data; /* read-only, row-major, aligned to its element */
    size_t bytes;
} ce_tensor;

#endif
