/* A normalized text as the tokenizers describe it, so that each scalar keeps its place in the text it comes from. */
#ifndef CE_UNICODE_CHANGES_H
#define CE_UNICODE_CHANGES_H

#include <stddef.h>
#include <stdint.h>

/* A scalar of the new text. change 0: it replaces the next scalar of the old one; -n: and n more behind that are gone;
 * 1: it is inserted, and shares the place of what was last replaced. */
typedef struct ce_unicode_change {
    uint32_t scalar;
    int32_t change;
} ce_unicode_change;

/* Growing memory, to be used for text after text: count = 0 empties it. Begins as {0}. */
typedef struct ce_unicode_changes {
    ce_unicode_change *items;
    size_t count, capacity;
} ce_unicode_changes;

/* Room for `more` items behind the count; 0 when out of memory. */
int ce_unicode_changes_reserve(ce_unicode_changes *changes, size_t more);
void ce_unicode_changes_free(ce_unicode_changes *changes);

#endif
