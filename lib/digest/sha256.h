/* SHA-256 (FIPS 180-4), the identity of a file or a pack. */
#ifndef CE_DIGEST_SHA256_H
#define CE_DIGEST_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define CE_SHA256_BYTES 32
#define CE_SHA256_HEX (2 * CE_SHA256_BYTES + 1)

typedef struct ce_sha256 {
    uint32_t state[8];
    uint64_t bytes; /* seen so far */
    unsigned char block[64];
} ce_sha256;

void ce_sha256_init(ce_sha256 *sha);
void ce_sha256_update(ce_sha256 *sha, const void *data, size_t size);
void ce_sha256_final(ce_sha256 *sha, unsigned char digest[CE_SHA256_BYTES]);

/* Lower-case hexadecimal digits, with the terminating NUL. */
void ce_sha256_hex(const unsigned char digest[CE_SHA256_BYTES], char hex[CE_SHA256_HEX]);

#endif
