/* The tensors of a checkpoint, by name: one safetensors file, or the shards that an index names. */
#ifndef CE_NATIVE_WEIGHTS_H
#define CE_NATIVE_WEIGHTS_H

#include "base/error.h"
#include "base/tensor.h"
#include "digest/sha256.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_weights ce_weights;

/* Map model.safetensors, or the shards of model.safetensors.index.json, in the directory `directory` (a descriptor, as in
 * openat; `folder` is a path below it, "" for itself). Tensor data are not read. */
int ce_weights_open(int directory, const char *folder, ce_weights **out, ce_error *error);
void ce_weights_close(ce_weights *weights); /* NULL is allowed */

/* Checkpoints of a task's model have the encoder's names behind a prefix ("bert.", "model."): which of the candidates
 * stands before `name` in this one? NULL: none of them. `candidates` ends with NULL. */
const char *ce_weights_prefix(const ce_weights *weights, const char *const *candidates,
                              const char *name);

/* NULL, with `error` naming it, when it is not there or is not F32, F16 or BF16 of this shape (`dims` 1 or 2). */
const ce_tensor *ce_weights_find(const ce_weights *weights, const char *name, uint32_t dims,
                                 int64_t rows, int64_t columns, ce_error *error);

/* Elements first .. first + count of a tensor as fp32. */
void ce_weights_read(const ce_tensor *tensor, size_t first, size_t count, float *out);

/* Add them to `out`. */
void ce_weights_add(const ce_tensor *tensor, size_t first, size_t count, float *out);

/* What tells this checkpoint from any other, without reading its data: names, sizes, modification times and inodes of
 * the files, and their headers. 64 hexadecimal digits and a NUL. */
void ce_weights_key(const ce_weights *weights, char key[CE_SHA256_HEX]);

/* The part of that which a copy of the files has as well: names, sizes and headers. */
void ce_weights_digest(const ce_weights *weights, ce_sha256 *sha);

/* Everything has been read once: let the system have the pages back. What is read again is read from the file. */
void ce_weights_release(const ce_weights *weights);

uint64_t ce_weights_bytes(const ce_weights *weights); /* of all files */

#endif
