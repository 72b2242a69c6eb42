/* A folder as sentence-transformers or transformers writes it, in the place of a pack: no manifest, but config.json,
 * safetensors, tokenizer.json and modules.json, read as sentence-transformers reads them. */
#ifndef CE_FOLDER_H
#define CE_FOLDER_H

#include "pack.h"

/* Whether the directory has what a folder of a model has at least. */
int ce_folder_is_model(const ce_pack *pack);

/* Fill a pack whose directory is open. UNSUPPORTED, by name, for whatever would give other vectors than the folder gives
 * in sentence-transformers. */
int ce_folder_open(ce_pack *pack, ce_error *error);

#endif
