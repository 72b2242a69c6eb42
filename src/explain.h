/* Why a model is computed as it is, in words. */
#ifndef CE_EXPLAIN_H
#define CE_EXPLAIN_H

#include "pack.h"

/* Lines "subject: what: why", the last one without newline; to be freed with ce_free. */
int ce_explain(const ce_pack *pack, char **out, ce_error *error);

#endif
