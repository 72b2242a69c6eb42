#include "files.h"

#include "native/weights.h"

#include <math.h>

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"

static ce_error error;
static ce_weights *weights;

static int attempt(const char *folder)
{
    memset(&error, 0, sizeof error);
    int directory = open(files_folder, O_RDONLY | O_DIRECTORY);
    int status = ce_weights_open(directory, folder, &weights, &error);
    close(directory);
    return status;
}

static void accept(void)
{
    if (attempt("") != CE_OK)
        fail_msg("%s", error.message);
}

static void refuse(int expected, const char *message)
{
    int status = attempt("");
    if (status != expected || !strstr(error.message, message))
        fail_msg("%d \"%s\", expected %d \"%s\"", status, error.message, expected, message);
    assert_null(weights);
}

static void test_values_of_all_types(void **state)
{
    (void)state;
    static const struct {
        float f32[3];
        uint16_t f16[8], bf16[4];
        uint32_t rest;
    } data = {{1.5F, -0.0F, 3e38F},
              /* 1, -2, largest, least normal, largest and least of what is below, -infinity, NaN */
              {0x3C00, 0xC000, 0x7BFF, 0x0400, 0x03FF, 0x8001, 0xFC00, 0x7E01},
              {0x3F80, 0xC040, 0x0001, 0x7F80},
              7};
    files_write_tensors(SINGLE,
                        "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
                        "\"b\":{\"dtype\":\"F16\",\"shape\":[2,4],\"data_offsets\":[12,28]},"
                        "\"c\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[28,36]},"
                        "\"d\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[36,40]}}",
                        &data, sizeof data);
    accept();
    float out[8];
    ce_weights_read(ce_weights_find(weights, "a", 1, 3, 0, &error), 1, 2, out);
    assert_true(out[0] == 0 && signbit(out[0]) && out[1] == 3e38F);

    const ce_tensor *half = ce_weights_find(weights, "b", 2, 2, 4, &error);
    ce_weights_read(half, 0, 8, out);
    assert_true(out[0] == 1 && out[1] == -2 && out[2] == 65504);
    assert_true(out[3] == 0x1p-14F && out[4] == 0x3FFp-24F && out[5] == -0x1p-24F);
    assert_true(isinf(out[6]) && out[6] < 0 && isnan(out[7]));
    ce_weights_read(half, 3, 1, out);
    assert_true(out[0] == 0x1p-14F);

    ce_weights_read(ce_weights_find(weights, "c", 1, 4, 0, &error), 0, 4, out);
    assert_true(out[0] == 1 && out[1] == -3 && out[2] == 0x1p-133F && isinf(out[3]));

    assert_null(ce_weights_find(weights, "d", 1, 1, 0, &error));
    assert_non_null(strstr(error.message, "'d' is not of fp32, fp16 or bf16"));
    assert_null(ce_weights_find(weights, "e", 1, 1, 0, &error));
    assert_non_null(strstr(error.message, "no tensor 'e'"));
    assert_null(ce_weights_find(weights, "b", 2, 4, 2, &error));
    assert_non_null(strstr(error.message, "[2, 4], config.json needs [4, 2]"));
    assert_null(ce_weights_find(weights, "b", 1, 2, 0, &error));
    assert_null(ce_weights_find(weights, "a", 2, 3, 1, &error));
    ce_weights_close(weights);
}

/* Every half there is, against its value by the definition of the format. */
static void test_every_half(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        uint16_t half = (uint16_t)bits;
        ce_tensor tensor = {.dtype = CE_DTYPE_F16, .data = &half};
        int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
        double value = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        float out;
        ce_weights_read(&tensor, 0, 1, &out);
        assert_int_equal(!!signbit(out), bits >> 15);
        if (exponent == 31)
            assert_true(fraction ? isnan(out) : isinf(out));
        else
            assert_true(fabs(out) == value);
    }
}

#define ONE(name) "{\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"
#define TWO(a, b)                                                          \
    "{\"" a "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}," \
    "\"" b "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}"

static void write_shards(void)
{
    const float first[] = {1, 2}, second[] = {3};
    files_write_tensors("s-1.safetensors", TWO("model.z", "model.b"), first, sizeof first);
    files_write_tensors("s-2.safetensors", ONE("model.c"), second, sizeof second);
}

static void test_shards(void **state)
{
    (void)state;
    write_shards();
    files_write_text(INDEX, "{\"metadata\":{\"total_size\":12},\"weight_map\":{"
                            "\"model.z\":\"s-1.safetensors\",\"model.c\":\"s-2.safetensors\","
                            "\"model.b\":\"s-1.safetensors\"}}");
    accept();
    const char *const names[] = {"model.z", "model.b", "model.c"};
    for (size_t i = 0; i < 3; i++) {
        float out;
        const ce_tensor *tensor = ce_weights_find(weights, names[i], 1, 1, 0, &error);
        assert_non_null(tensor);
        ce_weights_read(tensor, 0, 1, &out);
        assert_true(out == (float)(i + 1));
    }
    const char *const prefixes[] = {"", "bert.", "model.", NULL}, *const others[] = {"x.", NULL};
    assert_string_equal(ce_weights_prefix(weights, prefixes, "c"), "model.");
    assert_string_equal(ce_weights_prefix(weights, prefixes, "model.c"), "");
    assert_null(ce_weights_prefix(weights, others, "c"));
    struct stat one, two;
    assert_int_equal(stat(files_path("s-1.safetensors"), &one), 0);
    assert_int_equal(stat(files_path("s-2.safetensors"), &two), 0);
    assert_int_equal(ce_weights_bytes(weights), one.st_size + two.st_size);
    ce_weights_close(weights);
}

static void test_damaged_indexes(void **state)
{
    (void)state;
    const struct {
        const char *index, *message;
    } cases[] = {
        {"{\"weight_map\":{\"model.z\":\"s-3.safetensors\"}}", "s-3.safetensors, which"},
        {"{\"weight_map\":{\"model.z\":\"../s-1.safetensors\"}}", "not the name of a file"},
        {"{\"weight_map\":{\"model.z\":\"x/s-1.safetensors\"}}", "not the name of a file"},
        {"{\"weight_map\":{\"model.z\":\"\"}}", "not the name of a file"},
        {"{\"weight_map\":{\"model.z\":3}}", "expected a string"},
        {"{\"weight_map\":{\"model.z\":\"s-2.safetensors\"}}", "'model.z' is not in s-2"},
        {"{\"weight_map\":{\"model.x\":\"s-2.safetensors\"}}", "'model.x' is not in s-2"},
        {"{\"weight_map\":{}}", "no tensors in 'weight_map'"},
        {"{}", "no tensors in 'weight_map'"},
        {"{\"weight_map\":{\"model.z\":\"s-1.safetensors\"}", "expected"},
        {"[]", "expected an object"},
    };
    write_shards();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        files_write_text(INDEX, cases[i].index);
        refuse(CE_E_BAD_MODEL, cases[i].message);
    }
    files_write_tensors("s-3.safetensors", ONE("model.c"), NULL, 4);
    files_write_text(INDEX, "{\"weight_map\":{\"model.c\":\"s-2.safetensors\","
                            "\"model.z\":\"s-1.safetensors\",\"x\":\"s-3.safetensors\"}}");
    refuse(CE_E_BAD_MODEL, "'model.c' is in s-");
}

static void test_damaged_files(void **state)
{
    (void)state;
    refuse(CE_E_BAD_MODEL, "neither model.safetensors nor model.safetensors.index.json");
    files_write_text(SINGLE, "");
    refuse(CE_E_BAD_MODEL, "empty");
    files_write_text(SINGLE, "abc");
    refuse(CE_E_BAD_MODEL, "model.safetensors: 3 bytes");
    files_write_tensors(SINGLE, ONE("a"), NULL, 3);
    refuse(CE_E_BAD_MODEL, "model.safetensors: safetensors header");
    files_write_tensors(SINGLE, "{}", NULL, 0);
    refuse(CE_E_BAD_MODEL, "no tensors");
    assert_int_equal(remove(files_path(SINGLE)), 0);
    assert_int_equal(mkdir(files_path(SINGLE), 0700), 0);
    refuse(CE_E_BAD_MODEL, "not a regular file");
    assert_int_equal(remove(files_path(SINGLE)), 0);
    files_write_text("pytorch_model.bin", "x");
    refuse(CE_E_UNSUPPORTED, "python -m citadel_embed.export");
}

static void test_a_folder_below(void **state)
{
    (void)state;
    assert_int_equal(attempt("2_Dense"), CE_E_BAD_MODEL);
    assert_int_equal(mkdir(files_path("2_Dense"), 0700), 0);
    files_write_tensors("2_Dense/" SINGLE, ONE("linear.bias"), NULL, 4);
    assert_int_equal(attempt("2_Dense"), CE_OK);
    assert_non_null(ce_weights_find(weights, "linear.bias", 1, 1, 0, &error));
    ce_weights_close(weights);
}

static void key_of(char key[CE_SHA256_HEX], char digest[CE_SHA256_HEX])
{
    unsigned char bytes[CE_SHA256_BYTES];
    ce_sha256 sha;
    accept();
    ce_weights_key(weights, key);
    ce_sha256_init(&sha);
    ce_weights_digest(weights, &sha);
    ce_sha256_final(&sha, bytes);
    ce_sha256_hex(bytes, digest);
    ce_weights_close(weights);
}

static void test_the_key_tells_files_apart(void **state)
{
    (void)state;
    char first[2][CE_SHA256_HEX], later[2][CE_SHA256_HEX];
    files_write_tensors(SINGLE, ONE("a"), NULL, 4);
    key_of(first[0], first[1]);
    key_of(later[0], later[1]);
    assert_string_equal(first[0], later[0]);
    const struct timespec times[] = {{1000, 1}, {1000, 1}};
    assert_int_equal(utimensat(AT_FDCWD, files_path(SINGLE), times, 0), 0);
    key_of(later[0], later[1]);
    assert_string_not_equal(first[0], later[0]);
    assert_string_equal(first[1], later[1]); /* a copy has it as well */
    files_write_tensors(SINGLE, ONE("b"), NULL, 4);
    key_of(later[0], later[1]);
    assert_string_not_equal(first[1], later[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_values_of_all_types, files_make, files_remove),
        cmocka_unit_test(test_every_half),
        cmocka_unit_test_setup_teardown(test_shards, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_damaged_indexes, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_damaged_files, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_a_folder_below, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_the_key_tells_files_apart, files_make, files_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
