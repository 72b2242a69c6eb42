#include "cmocka_all.h"

#include "safetensors/safetensors.h"

#include <stdio.h>

enum { ROOM = 4096 };

static ce_error error;
static ce_safetensors read;
static _Alignas(64) unsigned char file[ROOM];

/* A file of this header, with spaces behind it so that the data are aligned, and so many bytes of data. */
static size_t make(const char *header, size_t data)
{
    size_t size = (strlen(header) + 7) / 8 * 8;
    assert_true(8 + size + data <= ROOM);
    memset(file, ' ', sizeof file);
    for (size_t i = 0; i < 8; i++)
        file[i] = (unsigned char)(size >> (8 * i));
    memcpy(file + 8, header, strlen(header));
    return 8 + size + data;
}

static int attempt(const char *header, size_t data)
{
    memset(&error, 0, sizeof error);
    return ce_safetensors_read(file, make(header, data), &read, &error);
}

static void refuse(const char *header, size_t data, const char *message)
{
    int status = attempt(header, data);
    if (status != CE_E_BAD_MODEL || !strstr(error.message, message))
        fail_msg("%s: %d \"%s\", expected \"%s\"", header, status, error.message, message);
    assert_null(read.tensors);
    assert_int_equal(read.count, 0);
}

static void test_tensors_are_found_by_name(void **state)
{
    (void)state;
    /* Listed in another order than they lie. */
    const char *header =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[24,32]},"
        "\"a\":{\"shape\":[2,3],\"dtype\":\"F32\",\"data_offsets\":[0,24],\"x\":[]},"
        "\"none\":{\"dtype\":\"F16\",\"shape\":[4,0],\"data_offsets\":[24,24]}}";
    assert_int_equal(attempt(header, 32), CE_OK);
    assert_int_equal(read.count, 3);
    assert_int_equal(read.header_bytes, 8 + (strlen(header) + 7) / 8 * 8);
    const unsigned char *data = file + read.header_bytes;

    const ce_tensor *a = ce_safetensors_find(&read, "a");
    assert_int_equal(a->dtype, CE_DTYPE_F32);
    assert_int_equal(a->dims, 2);
    assert_int_equal(a->shape[0], 2);
    assert_int_equal(a->shape[1], 3);
    assert_ptr_equal(a->data, data);
    assert_int_equal(a->bytes, 24);
    const ce_tensor *b = ce_safetensors_find(&read, "b");
    assert_int_equal(b->dtype, CE_DTYPE_I64);
    assert_int_equal(b->dims, 0);
    assert_ptr_equal(b->data, data + 24);
    assert_int_equal(ce_safetensors_find(&read, "none")->bytes, 0);
    assert_null(ce_safetensors_find(&read, "c"));
    assert_null(ce_safetensors_find(&read, "__metadata__"));
    ce_safetensors_free(&read);
    assert_null(ce_safetensors_find(&read, "a"));
}

static void test_every_data_type(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        ce_dtype dtype;
        unsigned size;
    } types[] = {{"F64", CE_DTYPE_F64, 8}, {"I64", CE_DTYPE_I64, 8}, {"F32", CE_DTYPE_F32, 4},
                 {"I32", CE_DTYPE_I32, 4}, {"F16", CE_DTYPE_F16, 2}, {"BF16", CE_DTYPE_BF16, 2},
                 {"I8", CE_DTYPE_I8, 1},   {"U8", CE_DTYPE_U8, 1},   {"BOOL", CE_DTYPE_BOOL, 1}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char header[128];
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%u]}}", types[i].name,
                 3 * types[i].size);
        assert_int_equal(attempt(header, 3 * types[i].size), CE_OK);
        assert_int_equal(read.tensors[0].dtype, types[i].dtype);
        ce_safetensors_free(&read);
    }
}

static void test_empty_header_has_no_tensors(void **state)
{
    (void)state;
    assert_int_equal(attempt("{}", 0), CE_OK);
    assert_int_equal(read.count, 0);
    ce_safetensors_free(&read);
}

static void test_sizes_beyond_the_file_are_refused(void **state)
{
    (void)state;
    size_t size = make("{}", 0);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(ce_safetensors_read(file, cut, &read, &error), CE_E_BAD_MODEL);
        assert_null(read.tensors);
    }
    static const uint64_t sizes[] = {9, 100u << 20, UINT64_C(1) << 32, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t byte = 0; byte < 8; byte++)
            file[byte] = (unsigned char)(sizes[i] >> (8 * byte));
        assert_int_equal(ce_safetensors_read(file, size, &read, &error), CE_E_BAD_MODEL);
        assert_non_null(strstr(error.message, "a safetensors header of"));
    }
}

#define TENSOR(name, shape, range) \
    "\"" name "\":{\"dtype\":\"I8\",\"shape\":" shape ",\"data_offsets\":" range "}"

static void test_malformed_headers_are_refused(void **state)
{
    (void)state;
    refuse("", 0, "expected an object");
    refuse("[]", 0, "expected an object, found an array");
    refuse("{\"a\":1}", 0, "expected an object, found a number");
    refuse("{", 0, "expected a string, but the text ends");
    refuse("{} x", 0, "more text after the end");
    refuse("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
           "tensor 'a' needs dtype, shape and data_offsets");
    refuse("{\"a\":{\"dtype\":\"I8\",\"data_offsets\":[0,1]}}", 1,
           "tensor 'a' needs dtype, shape and data_offsets");
    refuse("{\"a\":{\"dtype\":\"I8\",\"shape\":[0]}}", 0,
           "tensor 'a' needs dtype, shape and data_offsets");
    refuse("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
           "data type 'F8_E4M3' is not supported");
    refuse("{\"a\":{\"dtype\":1}}", 0, "expected a string, found a number");
    refuse("{" TENSOR("a\\u0000b", "[1]", "[0,1]") "}", 1, "a NUL character in the name");
    refuse("{" TENSOR("a", "[1]", "[0,1]") "," TENSOR("b", "[1]", "[1,2]") "," TENSOR("a", "[1]",
                                                                                      "[2,3]") "}",
           3, "two tensors are named 'a'");
}

static void test_shapes_are_checked(void **state)
{
    (void)state;
    refuse("{" TENSOR("a", "[-1]", "[0,1]") "}", 1, "-1 is not a whole number");
    refuse("{" TENSOR("a", "[1.0]", "[0,1]") "}", 1, "1.0 is not a whole number");
    refuse("{" TENSOR("a", "[1099511627777]", "[0,1]") "}", 1, "is not a whole number from 0 to");
    refuse("{" TENSOR("a", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "more than 8 dimensions");
    refuse("{" TENSOR("a", "[2]", "[0,1]") "}", 1, "has 1 bytes, which does not fit its shape");
    refuse("{" TENSOR("a", "[]", "[0,2]") "}", 2, "has 2 bytes, which does not fit its shape");
    /* 2^64 elements, which wrap to none. */
    refuse("{" TENSOR("a", "[4294967296,4294967296]", "[0,0]") "}", 0, "does not fit its shape");
    refuse("{\"a\":{\"dtype\":\"F64\",\"shape\":[1099511627776,2097152],\"data_offsets\":[0,0]}}",
           0, "does not fit its shape");
}

static void test_places_are_checked(void **state)
{
    (void)state;
    refuse("{" TENSOR("a", "[1]", "[]") "}", 1, "data_offsets are two numbers");
    refuse("{" TENSOR("a", "[1]", "[0]") "}", 1, "data_offsets are two numbers");
    refuse("{" TENSOR("a", "[1]", "[0,1,2]") "}", 1, "data_offsets are two numbers");
    refuse("{" TENSOR("a", "[1]", "[1,0]") "}", 1, "lies at 1 to 0");
    refuse("{" TENSOR("a", "[2]", "[0,2]") "}", 1, "lies at 0 to 2, but the file has 1 bytes");
    refuse("{" TENSOR("a", "[1]", "[-1,0]") "}", 1, "-1 is not a whole number");
    refuse("{" TENSOR("a", "[1]", "[0,99999999999999999999]") "}", 1, "is not a whole number");
    refuse("{" TENSOR("a", "[1]", "[0,1]") ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],"
                                           "\"data_offsets\":[1,5]}}",
           5, "tensor 'b' is not aligned to its elements");
}

static void test_data_have_neither_gaps_nor_overlaps(void **state)
{
    (void)state;
    refuse("{" TENSOR("a", "[2]", "[1,3]") "}", 3, "tensor 'a' does not begin at 0");
    refuse("{" TENSOR("a", "[2]", "[0,2]") "}", 3, "the tensors have 2 bytes, the file has 3");
    refuse("{}", 1, "the tensors have 0 bytes, the file has 1");
    refuse("{" TENSOR("a", "[2]", "[0,2]") "," TENSOR("b", "[2]", "[3,5]") "}", 5,
           "tensor 'b' does not begin at 2");
    refuse("{" TENSOR("b", "[2]", "[1,3]") "," TENSOR("a", "[2]", "[0,2]") "}", 3,
           "tensor 'b' does not begin at 2");
    refuse("{" TENSOR("a", "[2]", "[0,2]") "," TENSOR("b", "[2]", "[0,2]") "}", 2,
           "does not begin at 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors_are_found_by_name),
        cmocka_unit_test(test_every_data_type),
        cmocka_unit_test(test_empty_header_has_no_tensors),
        cmocka_unit_test(test_sizes_beyond_the_file_are_refused),
        cmocka_unit_test(test_malformed_headers_are_refused),
        cmocka_unit_test(test_shapes_are_checked),
        cmocka_unit_test(test_places_are_checked),
        cmocka_unit_test(test_data_have_neither_gaps_nor_overlaps),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
