/* CITADEL_PRECISION_* and their names. */
#ifndef CE_PRECISION_H
#define CE_PRECISION_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* INVALID_ARGUMENT unless `precision` is a CITADEL_PRECISION_*; `where` says whose field it is. */
int ce_precision_check(int32_t precision, const char *where, ce_error *error);

const char *ce_precision_name(int32_t precision);

/* The number for a name in a manifest; -1 for a name that this library does not know. */
int32_t ce_precision_parse(const char *name);

#endif
