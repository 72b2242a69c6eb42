/* The memory of the whole process, as the system counts it. */
#ifndef CE_MEMORY_H
#define CE_MEMORY_H

#include <stdint.h>

/* Resident bytes; 0 where the system does not tell. */
uint64_t ce_memory_resident(void);

/* The largest number of them so far; 0 where the system does not tell. */
uint64_t ce_memory_peak(void);

/* Give back to the system what the allocator keeps for later. */
void ce_memory_trim(void);

#endif
