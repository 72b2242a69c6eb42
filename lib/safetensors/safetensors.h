/* The safetensors format: tensors by name in one mapped file.
 *
 *     uint64, little-endian   size of the header
 *     header                  JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *     data                    offsets count from here
 */
#ifndef CE_SAFETENSORS_SAFETENSORS_H
#define CE_SAFETENSORS_SAFETENSORS_H

#include "base/error.h"
#include "base/tensor.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_safetensors {
    ce_tensor *tensors; /* by place in the file; data in the file's memory, names owned */
    size_t count;
    size_t header_bytes; /* the size field included: what lies before the data */
} ce_safetensors;

/* Read the header of a whole file in memory, which must outlive the result. Checked: names differ, every tensor has
 * the bytes that its shape needs and is aligned to its element, and together they cover the data without gap or overlap. */
int ce_safetensors_read(const void *file, size_t size, ce_safetensors *out, ce_error *error);
void ce_safetensors_free(ce_safetensors *safetensors);

const ce_tensor *ce_safetensors_find(const ce_safetensors *safetensors, const char *name);

#endif
