#include "native/ranges.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

int ce_ranges_create(ce_ranges *ranges, const ce_architecture *a, ce_error *error)
{
    ranges->width = a->hidden;
    ranges->largest = ce_calloc((size_t)a->layers * CE_RANGE_PLACES * ranges->width, sizeof(float));
    return ranges->largest ? CE_OK : ce_fail(error, CE_E_NO_MEMORY, "no memory for a calibration");
}

void ce_ranges_free(ce_ranges *ranges)
{
    ce_free(ranges->largest);
    *ranges = (ce_ranges){0};
}

float *ce_ranges_at(const ce_ranges *ranges, uint32_t layer, ce_range_place place)
{
    return ranges->largest + ((size_t)layer * CE_RANGE_PLACES + place) * ranges->width;
}

static float element(const ce_rows *rows, const char *row, size_t i)
{
    if (rows->number == CE_NUMBER_FP32)
        return ((const float *)row)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)row)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void ce_ranges_add(const ce_ranges *ranges, uint32_t layer, ce_range_place place,
                   const ce_rows *rows, size_t count)
{
    float *largest = ce_ranges_at(ranges, layer, place);
    for (size_t r = 0; r < count; r++) {
        const char *row = (const char *)rows->data + r * rows->stride;
        for (size_t i = 0; i < ranges->width; i++)
            largest[i] = fmaxf(largest[i], fabsf(element(rows, row, i)));
    }
}
