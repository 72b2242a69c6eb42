#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "digest/crc32c.h"
#include "digest/sha256.h"

static void test_crc32c_known_answers(void **state)
{
    (void)state;
    /* RFC 3720, B.4, and the check value of the CRC catalogues. */
    unsigned char bytes[32];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(ce_crc32c(0, bytes, 32), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof bytes);
    assert_int_equal(ce_crc32c(0, bytes, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(ce_crc32c(0, bytes, 32), 0x46DD794E);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)(31 - i);
    assert_int_equal(ce_crc32c(0, bytes, 32), 0x113FDB5C);
    assert_int_equal(ce_crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(ce_crc32c_portable(0, "123456789", 9), 0xE3069283);
    assert_int_equal(ce_crc32c(0, NULL, 0), 0);
    assert_int_equal(ce_crc32c(0x1234, NULL, 0), 0x1234);
}

/* The table is the reference; sizes around the three interleaved streams, at every alignment. */
static void test_crc32c_equals_portable_and_chains(void **state)
{
    (void)state;
    enum { SIZE = 2 * 3 * 4096 + 64 };
    unsigned char *bytes = ce_malloc(SIZE);
    assert_non_null(bytes);
    uint32_t random = 1;
    for (size_t i = 0; i < SIZE; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(random >> 24);
    }
    static const size_t sizes[] = {1, 7, 8, 9, 63, 4096, 12287, 12288, 12289, 20000, 24576, 24583};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t offset = 0; offset < 9; offset++) {
            uint32_t whole = ce_crc32c(0, bytes + offset, sizes[s]);
            assert_int_equal(whole, ce_crc32c_portable(0, bytes + offset, sizes[s]));
            size_t cut = sizes[s] * (offset + 1) / 10;
            uint32_t head = ce_crc32c(0, bytes + offset, cut);
            assert_int_equal(whole, ce_crc32c(head, bytes + offset + cut, sizes[s] - cut));
        }
    }
    ce_free(bytes);
}

static void sha256_hex(const void *data, size_t size, char hex[CE_SHA256_HEX])
{
    unsigned char digest[CE_SHA256_BYTES];
    ce_sha256 sha;
    ce_sha256_init(&sha);
    ce_sha256_update(&sha, data, size);
    ce_sha256_final(&sha, digest);
    ce_sha256_hex(digest, hex);
}

static void test_sha256_known_answers(void **state)
{
    (void)state;
    char hex[CE_SHA256_HEX];
    sha256_hex(NULL, 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");

    unsigned char digest[CE_SHA256_BYTES], block[1000];
    ce_sha256 sha;
    memset(block, 'a', sizeof block);
    ce_sha256_init(&sha);
    for (int i = 0; i < 1000; i++)
        ce_sha256_update(&sha, block, sizeof block);
    ce_sha256_final(&sha, digest);
    ce_sha256_hex(digest, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Every length up to 299, each in pieces; the digests are digested, and Python says what comes out:
 *   d = bytes((i * 7 + 3) & 255 for i in range(300)); a = hashlib.sha256()
 *   for n in range(300): a.update(hashlib.sha256(d[:n]).digest()) */
static void test_sha256_every_length_in_pieces(void **state)
{
    (void)state;
    unsigned char data[300], digest[CE_SHA256_BYTES];
    ce_sha256 all;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7 + 3);
    ce_sha256_init(&all);
    for (size_t length = 0; length < sizeof data; length++) {
        ce_sha256 sha;
        ce_sha256_init(&sha);
        for (size_t at = 0, piece = 1; at < length; piece = piece * 3 % 101) {
            size_t take = piece < length - at ? piece : length - at;
            ce_sha256_update(&sha, data + at, take);
            at += take;
        }
        ce_sha256_final(&sha, digest);
        ce_sha256_update(&all, digest, sizeof digest);
    }
    ce_sha256_final(&all, digest);
    char hex[CE_SHA256_HEX];
    ce_sha256_hex(digest, hex);
    assert_string_equal(hex, "7b074096cabb18dd0d1b468a173cb2f97f80e952525bca29542e606fd6d0753a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c_known_answers),
        cmocka_unit_test(test_crc32c_equals_portable_and_chains),
        cmocka_unit_test(test_sha256_known_answers),
        cmocka_unit_test(test_sha256_every_length_in_pieces),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
