/* Finding and opening a backend. */
#ifndef CE_BACKEND_OPEN_H
#define CE_BACKEND_OPEN_H

#include "backend.h"

/* Open the backend in the file `given`, or the torch backend beside the library for NULL. It stays in the process. */
int ce_backend_open(const char *given, const ce_backend **out, ce_error *error);

#endif
