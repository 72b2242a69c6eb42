#include "digest/crc32c.h"

#include <string.h>

/* The step is linear: the entry of a byte is the XOR of the entries of its bits. */
#define BIT(i, n, value) (((i) >> (n)&1u) * (value))
#define ENTRY(i)                                                                \
    (BIT(i, 0, 0xF26B8303u) ^ BIT(i, 1, 0xE13B70F7u) ^ BIT(i, 2, 0xC79A971Fu) ^ \
     BIT(i, 3, 0x8AD958CFu) ^ BIT(i, 4, 0x105EC76Fu) ^ BIT(i, 5, 0x20BD8EDEu) ^ \
     BIT(i, 6, 0x417B1DBCu) ^ BIT(i, 7, 0x82F63B78u))
#define ENTRIES_4(i) ENTRY(i), ENTRY((i) + 1u), ENTRY((i) + 2u), ENTRY((i) + 3u)
#define ENTRIES_16(i) ENTRIES_4(i), ENTRIES_4((i) + 4u), ENTRIES_4((i) + 8u), ENTRIES_4((i) + 12u)
#define ENTRIES_64(i) \
    ENTRIES_16(i), ENTRIES_16((i) + 16u), ENTRIES_16((i) + 32u), ENTRIES_16((i) + 48u)

static const uint32_t table[256] = {ENTRIES_64(0u), ENTRIES_64(64u), ENTRIES_64(128u),
                                    ENTRIES_64(192u)};

uint32_t ce_crc32c_portable(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *byte = data;
    crc = ~crc;
    for (size_t i = 0; i < size; i++)
        crc = table[(crc ^ byte[i]) & 0xFF] ^ crc >> 8;
    return ~crc;
}

#if defined(__x86_64__)

#include <nmmintrin.h>

#define ACCELERATED __attribute__((target("sse4.2")))
#define STEP_8(crc, word) ((uint32_t)_mm_crc32_u64(crc, word))
#define STEP_1(crc, byte) _mm_crc32_u8(crc, byte)

static int accelerated(void)
{
    return __builtin_cpu_supports("sse4.2");
}

#elif defined(__aarch64__) && defined(__linux__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

#include <sys/auxv.h>

#define ACCELERATED
#define STEP_8(crc, word) step_8(crc, word)
#define STEP_1(crc, byte) step_1(crc, byte)

/* By hand: neither the name of the target attribute nor the header is the same in gcc and clang. */
static inline uint32_t step_8(uint32_t crc, uint64_t word)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    return crc;
}

static inline uint32_t step_1(uint32_t crc, uint32_t byte)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(byte));
    return crc;
}

static int accelerated(void)
{
    return (getauxval(AT_HWCAP) & 1ul << 7) != 0; /* HWCAP_CRC32 */
}

#endif

#ifdef ACCELERATED

/* The instruction takes one word a cycle but answers after three: three streams of this many bytes
 * keep it busy. Longer streams pay less for being joined, shorter ones leave less to the slow tail. */
#define STREAM 4096u

/* x^(8 * STREAM) and x^(16 * STREAM) modulo the polynomial: multiplying a checksum by them is
 * appending one or two streams of zeros. */
#define SHIFT_1 0x35D73A62u
#define SHIFT_2 0x28461564u

/* The product of two polynomials, bit 31 being x^0. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (int bit = 31; bit >= 0; bit--) {
        product ^= b & -(a >> bit & 1u);
        b = b >> 1 ^ (0x82F63B78u & -(b & 1u));
    }
    return product;
}

static uint64_t word_at(const unsigned char *byte)
{
    uint64_t word;
    memcpy(&word, byte, sizeof word);
    return word;
}

ACCELERATED static uint32_t crc_accelerated(uint32_t crc, const unsigned char *byte, size_t size)
{
    crc = ~crc;
    for (; size >= 3 * STREAM; byte += 3 * STREAM, size -= 3 * STREAM) {
        uint32_t second = 0, third = 0;
        for (size_t i = 0; i < STREAM; i += 8) {
            crc = STEP_8(crc, word_at(byte + i));
            second = STEP_8(second, word_at(byte + STREAM + i));
            third = STEP_8(third, word_at(byte + 2 * STREAM + i));
        }
        crc = multiply(crc, SHIFT_2) ^ multiply(second, SHIFT_1) ^ third;
    }
    for (; size >= 8; byte += 8, size -= 8)
        crc = STEP_8(crc, word_at(byte));
    for (; size > 0; byte++, size--)
        crc = STEP_1(crc, *byte);
    return ~crc;
}

#endif

uint32_t ce_crc32c(uint32_t crc, const void *data, size_t size)
{
#ifdef ACCELERATED
    if (accelerated())
        return crc_accelerated(crc, data, size);
#endif
    return ce_crc32c_portable(crc, data, size);
}
