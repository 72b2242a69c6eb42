/* From the chosen form of a pack to a model of the backend. */
#ifndef CE_GRAPH_H
#define CE_GRAPH_H

#include "pack.h"

/* Verify the form's files and load them; its weights must be there (ce_pack_load_weights). */
int ce_graph_load(const ce_pack *pack, const ce_backend *backend, unsigned threads, void **out,
                  ce_error *error);

#endif
