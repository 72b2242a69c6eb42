/* Extended grapheme clusters (UAX #29), of the Unicode version that the tokenizers know. */
#ifndef CE_UNICODE_GRAPHEME_H
#define CE_UNICODE_GRAPHEME_H

#include <stddef.h>

/* Grapheme_Cluster_Break, together with what Extended_Pictographic and Indic_Conjunct_Break add to it. */
enum ce_grapheme_class {
    CE_GRAPHEME_OTHER,
    CE_GRAPHEME_CONTROL,
    CE_GRAPHEME_CR,
    CE_GRAPHEME_LF,
    CE_GRAPHEME_EXTEND,
    CE_GRAPHEME_NON_JOINER, /* Extend, but ends a conjunct */
    CE_GRAPHEME_LINKER,     /* Extend, and joins consonants */
    CE_GRAPHEME_JOINER,     /* U+200D */
    CE_GRAPHEME_SPACING,
    CE_GRAPHEME_PREPEND,
    CE_GRAPHEME_REGIONAL,
    CE_GRAPHEME_L,
    CE_GRAPHEME_V,
    CE_GRAPHEME_T,
    CE_GRAPHEME_LV,
    CE_GRAPHEME_LVT,
    CE_GRAPHEME_PICTOGRAPHIC,
    CE_GRAPHEME_CONSONANT
};

/* Bytes of the cluster that starts `text`; it ends in front of what is not well-formed, and 0 says that nothing stands in
 * front of that. `size` is not 0. */
size_t ce_unicode_grapheme(const char *text, size_t size);

#endif
