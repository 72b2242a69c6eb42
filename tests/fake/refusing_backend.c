/* A backend that cannot serve this process. */
#include "backend.h"

__attribute__((visibility("default"))) ce_backend_entry ce_backend_get;

const ce_backend *ce_backend_get(uint32_t version, ce_error *error)
{
    ce_fail(error, CE_E_BACKEND, "refusing: version %u is asked for, on a Sunday", version);
    return NULL;
}
