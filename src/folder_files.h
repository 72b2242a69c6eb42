/* The parts of reading a folder (src/folder.c). */
#ifndef CE_FOLDER_FILES_H
#define CE_FOLDER_FILES_H

#include "pack.h"
#include "json/json.h"

typedef struct ce_folder {
    ce_pack *pack;
    ce_error *error;
    ce_sha256 sha; /* of all files read so far */

    int has_modules;
    char *class_in_config;   /* `tokenizer_class` of config.json, or NULL; owned */
    double max_seq_length;   /* of sentence_bert_config.json; 0: it sets none */
    double model_max_length; /* of tokenizer_config.json; 0: it sets none */
} ce_folder;

typedef void (*ce_folder_reader)(ce_json *json, void *target);

int ce_folder_has(const ce_folder *folder, const char *name);

/* Map a file, and add it to the identity; NOT_FOUND when it is not there. */
int ce_folder_map(ce_folder *folder, const char *name, ce_bytes *out);

int ce_folder_parse(ce_folder *folder, const char *name, const ce_bytes *bytes,
                    ce_folder_reader read, void *target);

/* Both, of a JSON file. */
int ce_folder_read(ce_folder *folder, const char *name, ce_folder_reader read, void *target);

/* modules.json and the modules that it names, or what sentence-transformers does without it: poolings, Dense, Normalize
 * and the limit of tokens of the architecture. */
int ce_folder_read_modules(ce_folder *folder);

/* tokenizer.json and tokenizer_config.json, which transformers makes one tokenizer of. That must be what tokenizer.json
 * says alone. */
int ce_folder_read_tokenizer(ce_folder *folder);

#endif
