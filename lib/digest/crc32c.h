/* CRC-32C (Castagnoli), the checksum of every file and tensor of a pack. */
#ifndef CE_DIGEST_CRC32C_H
#define CE_DIGEST_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what `crc` already covers (0 at the start) followed by these bytes. Uses the CRC
 * instructions of x86 and ARM where the processor has them. */
uint32_t ce_crc32c(uint32_t crc, const void *data, size_t size);

/* The same without special instructions: what the line above falls back to. */
uint32_t ce_crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
