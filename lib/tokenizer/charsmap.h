/* The Precompiled normalizer: SentencePiece's table of replacements, as Hugging Face applies it. It does not replace the
 * longest key that matches, as SentencePiece does. A grapheme cluster of less than 6 bytes becomes what its shortest
 * key says, whatever of the cluster stands behind that key; otherwise each of its characters is looked up alone. */
#ifndef CE_TOKENIZER_CHARSMAP_H
#define CE_TOKENIZER_CHARSMAP_H

#include "base/error.h"
#include "unicode/changes.h"

#include <stddef.h>

/* Immutable; any number of threads may use one. */
typedef struct ce_charsmap ce_charsmap;

/* `blob`: the decoded precompiled_charsmap, which is copied. What could make the reference fail on some text is
 * refused. */
int ce_charsmap_create(const void *blob, size_t size, ce_charsmap **charsmap, ce_error *error);
void ce_charsmap_destroy(ce_charsmap *charsmap);

/* How many times as long a text may become: bytes of the longest replacement. */
size_t ce_charsmap_growth(const ce_charsmap *charsmap);

/* Append the changed text to `out`. What `out` holds already is the same text's beginning: characters that are deleted
 * count for the last item before them, and at the very beginning of the text for none, so that all later ones are a
 * place off, as in the reference. Returns CE_OK, CE_E_NO_MEMORY or CE_E_INVALID_UTF8; after a failure `out` is to be
 * emptied. */
int ce_charsmap_apply(const ce_charsmap *charsmap, const char *text, size_t size,
                      ce_unicode_changes *out);

/* Bytes of a beginning of the text that is well-formed and stays as it is whatever follows: text[0 .. result) can be
 * copied and the rest be changed alone. `size` if that is all of the text. */
size_t ce_charsmap_prefix(const ce_charsmap *charsmap, const char *text, size_t size);

#endif
