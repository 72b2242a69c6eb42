/* A model pack on the disk (docs/pack-format.md): its manifest, and its files, verified as they are mapped. */
#ifndef CE_PACK_H
#define CE_PACK_H

#include "backend.h"
#include "base/error.h"
#include "config_file.h"
#include "digest/sha256.h"
#include "native/architecture.h"
#include "native/weights.h"
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
    char *graph, *weights; /* file names; `weights` may be NULL where no tensors are needed */
    char *recovery;        /* file name of the recovery graph, or NULL */
    char *externs;         /* file name of what must lie beside a compiled graph, or NULL */
    char *torch;           /* version of libtorch that it was made with, or NULL */
    char **isa;            /* CPU features that it needs, as /proc/cpuinfo spells them */
    size_t isa_count;
    int has_isa;
    int tensors_inside;
    double min_cosine, max_abs_error; /* measured at export; 0: not recorded */
} ce_artifact;

typedef enum ce_form_state {
    CE_FORM_CANDIDATE, /* may be tried */
    CE_FORM_SKIPPED,
    CE_FORM_FAILED
} ce_form_state;

/* What a load makes of an artifact (src/form.h), and why. */
typedef struct ce_form {
    const ce_artifact *artifact;
    ce_form_state state;
    const char *form_reason, *precision_reason;  /* of a candidate: why it is there */
    char reason[sizeof((ce_error *)0)->message]; /* of the others: why it is not used */
} ce_form;

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
    int32_t precision; /* of its base forms */
    ce_layout layout;
    int normalize;
    ce_prompt *prompts;
    size_t prompt_count;
    char *default_prompt;
    const ce_config_model *configured; /* what the configuration says of it, or NULL */
    int32_t asked; /* CITADEL_PRECISION_* that the load or the configuration names */
    char *tokenizer, *golden_texts, *golden_vectors; /* file names */
    ce_artifact *artifacts;
    size_t artifact_count;
    ce_pack_file *files;
    size_t file_count;

    ce_form *forms; /* [artifact_count], those to be tried first, in their order */
    const ce_artifact *chosen;

    const char *weights_name; /* of the file that is mapped and verified, or NULL */
    ce_bytes weights_file;
    ce_safetensors weights;
    ce_golden golden;

    /* Of a folder as Hugging Face has them (src/folder.h), both owned; a pack has neither. */
    ce_architecture *native;
    ce_weights *native_weights;
} ce_pack;

/* Read the manifest of the pack in directory `path`, or what stands for it in a folder of Hugging Face. With `require_id`
 * its identity must be that, and the SHA-256 of every file agree, which a folder does not record. */
int ce_pack_open(const char *path, const char *require_id, ce_pack **out, ce_error *error);
void ce_pack_close(ce_pack *pack); /* NULL is allowed */

/* Let the prompts of the configuration take the place of the pack's, or stand beside them. */
int ce_pack_configure(ce_pack *pack, const ce_config_model *model, ce_error *error);

/* No more files are to be mapped. */
void ce_pack_close_directory(ce_pack *pack);

/* Map a file of the directory, whatever is in it; NOT_FOUND when it is not there. */
int ce_pack_map_unlisted(const ce_pack *pack, const char *name, ce_bytes *out, ce_error *error);

/* Map a file of the pack whose size and CRC-32C agree with the manifest. */
int ce_pack_map(const ce_pack *pack, const char *name, ce_bytes *out, ce_error *error);
void ce_pack_unmap(ce_bytes *bytes);

/* What the manifest says of a file; NULL, with `error` filled, when it says nothing. */
const ce_pack_file *ce_pack_find_file(const ce_pack *pack, const char *name, ce_error *error);

/* Map and verify the weights of the chosen artifact, unless it needs none or they are there already: pack->weights. */
int ce_pack_load_weights(ce_pack *pack, ce_error *error);

/* Of the file that holds the chosen form's weights: a graph that has its tensors inside is one itself. */
uint64_t ce_pack_weight_bytes(const ce_pack *pack);

/* The golden texts and vectors, for as long as they are needed: pack->golden. */
int ce_pack_load_golden(ce_pack *pack, ce_error *error);
void ce_pack_drop_golden(ce_pack *pack);

#endif
