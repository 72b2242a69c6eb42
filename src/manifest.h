/* citadel.json into a ce_pack. */
#ifndef CE_MANIFEST_H
#define CE_MANIFEST_H

#include "pack.h"

enum { CE_PACK_FORMAT_VERSION = 1 };

/* The format version alone, which comes before anything else can be believed. */
int ce_manifest_check_version(const char *data, size_t size, ce_error *error);

/* Everything else, checked for completeness. */
int ce_manifest_read(const char *data, size_t size, ce_pack *pack, ce_error *error);

/* {"texts": [{"text": "...", ...}, ...]} */
int ce_manifest_read_golden(const char *data, size_t size, ce_golden *golden, ce_error *error);

#endif
