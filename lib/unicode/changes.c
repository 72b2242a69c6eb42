#include "unicode/changes.h"

#include "base/mem.h"

int ce_unicode_changes_reserve(ce_unicode_changes *changes, size_t more)
{
    if (more <= changes->capacity - changes->count)
        return 1;
    if (more > SIZE_MAX / 4 || changes->count > SIZE_MAX / 4)
        return 0;
    size_t need = changes->count + more;
    size_t capacity = need > 2 * changes->capacity ? need : 2 * changes->capacity;
    ce_unicode_change *items = ce_reallocarray(changes->items, capacity, sizeof *items);
    if (!items)
        return 0;
    changes->items = items;
    changes->capacity = capacity;
    return 1;
}

void ce_unicode_changes_free(ce_unicode_changes *changes)
{
    ce_free(changes->items);
    *changes = (ce_unicode_changes){0};
}
