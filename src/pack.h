/* A model pack on the disk (docs/pack-format.md): its manifest, and its files, verified as they are mapped. */
#ifndef CE_PACK_H
#define CE_PACK_H

#include "backend.h"
#include "base/error.h"
#include "digest/sha256.h"
#include "safetensors/safetensors.h"

/* A mapped file. */
typedef struct ce_bytes {
    const void *data;
    size_t size;
} ce_bytes;

typedef struct ce_prompt {
    char *name, *text;
} ce_prompt;

/* One way to compute the model. */
typedef struct ce_artifact {
    char *form;
    int32_t precision; /* CITADEL_PRECISION_*; -1: unknown here */
    char *device;
    char *graph, *weights; /* file names */
} ce_artifact;

/* What the manifest says of a file. */
typedef struct ce_pack_file {
    char *name;
    uint64_t bytes;
    char sha256[CE_SHA256_HEX];
    int has_crc32c;
    uint32_t crc32c;
    uint32_t header_crc32c; /* of a safetensors file, with one for each tensor */
    struct ce_tensor_crc {
        char *name;
        uint32_t crc32c;
    } * tensors;
    size_t tensor_count;
} ce_pack_file;

typedef struct ce_golden {
    char **texts;
    size_t *lengths;
    size_t count;
    const float *vectors; /* [count, dim] */
    ce_bytes file;
    ce_safetensors tensors;
} ce_golden;

typedef struct ce_pack {
    char *path;
    int directory, directory_open; /* its descriptor, until the model is loaded */
    char id[CE_SHA256_HEX];

    char *name, *architecture, *pooling;
    uint32_t dim, max_tokens, vocab_size;
    ce_layout layout;
    int normalize;
    ce_prompt *prompts;
    size_t prompt_count;
    char *default_prompt;
    char *tokenizer, *golden_texts, *golden_vectors; /* file names */
    ce_artifact *artifacts;
    size_t artifact_count;
    ce_pack_file *files;
    size_t file_count;

    const ce_artifact *chosen;
    ce_bytes weights_file;
    ce_safetensors weights;
    ce_golden golden;
} ce_pack;

/* Read the manifest of the pack in directory `path`. With `require_id` its identity must be that, and the SHA-256 of every
 * file agree. */
int ce_pack_open(const char *path, const char *require_id, ce_pack **out, ce_error *error);
void ce_pack_close(ce_pack *pack); /* NULL is allowed */

/* No more files are to be mapped. */
void ce_pack_close_directory(ce_pack *pack);

/* Choose the artifact for a precision, CITADEL_PRECISION_AUTO being the most exact one: pack->chosen. */
int ce_pack_choose(ce_pack *pack, int32_t precision, ce_error *error);

/* Map a file of the pack whose size and CRC-32C agree with the manifest. */
int ce_pack_map(const ce_pack *pack, const char *name, ce_bytes *out, ce_error *error);
void ce_pack_unmap(ce_bytes *bytes);

/* Map and verify the weights of the chosen artifact: pack->weights. */
int ce_pack_load_weights(ce_pack *pack, ce_error *error);

/* The golden texts and vectors, for as long as they are needed: pack->golden. */
int ce_pack_load_golden(ce_pack *pack, ce_error *error);
void ce_pack_drop_golden(ce_pack *pack);

#endif
