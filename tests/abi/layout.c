/* The table against the compiler's view of the header: it is the compilation that tests. */
#include "citadel_embed.h"

#define STRUCT(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type);
#define FIELD(type, field, offset, bytes)                                             \
    _Static_assert(offsetof(type, field) == (offset), "offset of " #type "." #field); \
    _Static_assert(sizeof(((type *)0)->field) == (bytes), "size of " #type "." #field);
#include "layout.h"

int main(void)
{
    return 0;
}
