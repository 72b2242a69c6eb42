/* The largest magnitude of every input of the layers that read a norm, over the texts of a calibration. */
#ifndef CE_NATIVE_RANGES_H
#define CE_NATIVE_RANGES_H

#include "base/error.h"
#include "kernels/rows.h"
#include "native/architecture.h"

typedef enum ce_range_place { CE_RANGE_QKV, CE_RANGE_UP, CE_RANGE_PLACES } ce_range_place;

typedef struct ce_ranges {
    float *largest; /* [layers, CE_RANGE_PLACES, width] */
    size_t width;   /* hidden size */
} ce_ranges;

int ce_ranges_create(ce_ranges *ranges, const ce_architecture *architecture, ce_error *error);
void ce_ranges_free(ce_ranges *ranges);

float *ce_ranges_at(const ce_ranges *ranges, uint32_t layer, ce_range_place place);

/* Take `count` fp32 or bf16 rows into account. */
void ce_ranges_add(const ce_ranges *ranges, uint32_t layer, ce_range_place place,
                   const ce_rows *rows, size_t count);

#endif
