/* Where everything of a model's prepared weights lies: one walk for measuring and placing. */
#ifndef CE_NATIVE_LAYOUT_H
#define CE_NATIVE_LAYOUT_H

#include "native/model.h"

/* Raised whenever the walk or the kernels' panels change: what was prepared before is then prepared anew. */
#define CE_LAYOUT_VERSION 3

/* Bytes of the prepared weights. */
size_t ce_layout_bytes(const ce_native_model *model);

/* Point the weights of `model` (its arrays are there) into `memory`, aligned to 64 bytes. Nothing is read or written. */
void ce_layout_place(ce_native_model *model, const void *memory);

/* int8 models are smoothed. */
int ce_layout_smooths(const ce_native_model *model);

#endif
