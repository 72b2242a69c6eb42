/* The backend of this library itself: the families of models that it knows, on the CPU, in C. */
#ifndef CE_NATIVE_BACKEND_H
#define CE_NATIVE_BACKEND_H

#include "backend.h"

/* Bytes of the weights of a model in the kernels' layout. */
uint64_t ce_native_bytes(const struct ce_architecture *architecture, int32_t precision);

/* Bytes that a first load has beside them for a while: the model in a higher precision, which it is fitted to or compared
 * with. */
uint64_t ce_native_preparing_bytes(const struct ce_architecture *architecture, int32_t precision);

extern const ce_backend ce_native_backend;

#endif
