#ifndef METRICS_H
#define METRICS_H

#include <citadel_embed.h>

/* The engine's metrics as Prometheus reads them; free() it. NULL: no memory. */
char *metrics_text(const citadel_engine *engine);

#endif
