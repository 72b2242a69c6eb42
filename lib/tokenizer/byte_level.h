/* The alphabet of byte-level models, in which each byte is a printable character. */
#ifndef CE_TOKENIZER_BYTE_LEVEL_H
#define CE_TOKENIZER_BYTE_LEVEL_H

#include <stddef.h>

/* The character that stands for a space. */
enum { CE_BYTE_LEVEL_SPACE = 0x120 };

/* Turn characters of the alphabet into their bytes, which are not more; 0 if there is another character among them. */
size_t ce_byte_level_decode(const char *text, size_t size, char *bytes);

#endif
