/* The normal forms of Unicode (UAX #15), of the version that the tokenizers know. */
#ifndef CE_UNICODE_NORMAL_FORM_H
#define CE_UNICODE_NORMAL_FORM_H

#include "unicode/changes.h"

typedef enum ce_normal_form { CE_NFD, CE_NFC, CE_NFKD, CE_NFKC } ce_normal_form;

/* Append the normal form of a text to `out`. Where canonical ordering moves a scalar its change goes with it, and its
 * place is then that of a neighbour, as in the reference. Takes time in proportion to the text, whatever it holds.
 * Returns CE_OK, or with `out` as it was CE_E_NO_MEMORY or CE_E_INVALID_UTF8. */
int ce_unicode_normal_form(ce_normal_form form, const char *text, size_t size,
                           ce_unicode_changes *out);

/* Bytes of a beginning of the text that is well-formed and in the form already, and stays as it is whatever follows:
 * text[0 .. result) can be copied and the rest be normalized alone. `size` if that is all of the text. */
size_t ce_unicode_normal_prefix(ce_normal_form form, const char *text, size_t size);

#endif
