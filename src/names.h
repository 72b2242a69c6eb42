/* From the name of a model to the directory that it means. */
#ifndef CE_NAMES_H
#define CE_NAMES_H

#include "base/error.h"

/* `name` with a '/' is a path; without, a directory of that name in one of `model_path` (separated by ':').
 * `*out` is the absolute path, to be freed with ce_free. */
int ce_names_resolve(const char *name, const char *model_path, char **out, ce_error *error);

#endif
