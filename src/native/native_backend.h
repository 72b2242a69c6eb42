/* The backend of this library itself: the families of models that it knows, on the CPU, in C. */
#ifndef CE_NATIVE_BACKEND_H
#define CE_NATIVE_BACKEND_H

#include "backend.h"

extern const ce_backend ce_native_backend;

#endif
