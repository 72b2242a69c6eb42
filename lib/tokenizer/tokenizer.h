/* Text to token ids, as the Hugging Face `tokenizers` library does it for the same tokenizer.json.
 *
 * A tokenizer is immutable once created: any number of threads may encode with one, each with its own
 * scratch. Steady-state encoding allocates nothing. */
#ifndef CE_TOKENIZER_TOKENIZER_H
#define CE_TOKENIZER_TOKENIZER_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_tokenizer ce_tokenizer;
typedef struct ce_tokenizer_scratch ce_tokenizer_scratch;

/* Compile the bytes of a tokenizer.json, which are not kept. The file's truncation and padding blocks
 * are ignored: the caller's limit rules. A component that is not implemented is refused with
 * CE_E_UNSUPPORTED and its name and place in the file; a malformed file with CE_E_BAD_MODEL. */
int ce_tokenizer_create(const char *json, size_t size, ce_tokenizer **out, ce_error *error);
void ce_tokenizer_destroy(ce_tokenizer *tokenizer);

/* Number of ids: one more than the largest id that encoding can give. */
size_t ce_tokenizer_vocab_size(const ce_tokenizer *tokenizer);

/* Special tokens that the post-processor adds round one text. */
size_t ce_tokenizer_special_count(const ce_tokenizer *tokenizer);

/* The same for a text and its pair. */
size_t ce_tokenizer_pair_special_count(const ce_tokenizer *tokenizer);

int ce_tokenizer_scratch_create(ce_tokenizer_scratch **out, ce_error *error);
void ce_tokenizer_scratch_destroy(ce_tokenizer_scratch *scratch);

/* Memory that the scratch has grown to. */
size_t ce_tokenizer_scratch_bytes(const ce_tokenizer_scratch *scratch);

typedef struct ce_encode_options {
    size_t max_tokens; /* special tokens included; 0 = no limit; cut on the right */
    int no_specials;   /* leave out what the post-processor adds */
    int truncate_left; /* cut on the left instead; all of the text is read then */
    int offsets;       /* fill in the encoding's offsets, which costs time */
    const char *prompt;
    size_t prompt_length; /* encoded as if it stood in front of the text, in one string */
    const char *pair;     /* a second text, or NULL; the longer of the two is cut first */
    size_t pair_length;
} ce_encode_options;

/* Bytes from `start` to before `end`. */
typedef struct ce_span {
    size_t start, end;
} ce_span;

/* Everything lies in the scratch and is valid until its next use. */
typedef struct ce_encoding {
    const int32_t *ids;
    const int32_t *type_ids; /* of a pair, else NULL: all are 0 */
    const ce_span *
        offsets; /* where asked for: the bytes of the text (or the pair) that gave the token; what is
                                of the prompt, or of no text, has {0, 0} */
    size_t count;
    int truncated;
} ce_encoding;

/* Encode `length` bytes of UTF-8 (NUL bytes are text like any other). With a limit the text is read
 * only as far as it takes to know that the limit is passed; what lies behind is not looked at, its
 * UTF-8 included. Errors: CE_E_INVALID_UTF8 (with the offset of the bad byte in the text),
 * CE_E_INVALID_ARGUMENT (max_tokens below the special tokens), CE_E_UNSUPPORTED (a pair where the file has no
 * template for one), CE_E_NO_MEMORY. */
int ce_tokenizer_encode(const ce_tokenizer *tokenizer, ce_tokenizer_scratch *scratch,
                        const char *text, size_t length, const ce_encode_options *options,
                        ce_encoding *out, ce_error *error);

#endif
