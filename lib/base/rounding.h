/* The host's threads round, and trap, as the host wants. While the library is on one of them it computes as C does by
 * default, and it leaves the thread as it was. */
#ifndef CE_BASE_ROUNDING_H
#define CE_BASE_ROUNDING_H

#include <fenv.h>

static inline void ce_rounding_begin(fenv_t *hosts)
{
    fegetenv(hosts);
    fesetenv(FE_DFL_ENV);
}

static inline void ce_rounding_end(const fenv_t *hosts)
{
    fesetenv(hosts);
}

#endif
