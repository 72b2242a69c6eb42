/* mkdtemp */
#define _GNU_SOURCE
#include "cmocka_all.h"

#include "native/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 10000 };
#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char directory[] = "/tmp/citadel-store-XXXXXX";
static char path[160], inner[128];

static void fill(ce_store *store)
{
    for (size_t i = 0; i < store->size; i++)
        ((unsigned char *)store->data)[i] = (unsigned char)(i * 7);
}

static int holds(const ce_store *store)
{
    for (size_t i = 0; i < store->size; i++)
        if (((const unsigned char *)store->data)[i] != (unsigned char)(i * 7))
            return 0;
    return store->size == SIZE;
}

static void prepare(void)
{
    ce_store store;
    assert_int_equal(ce_store_create(&store, path, SIZE, NULL), CE_OK);
    assert_non_null(store.path);
    assert_int_equal((uintptr_t)store.data % 64, 0);
    fill(&store);
    ce_store_finish(&store, KEY);
    assert_true(holds(&store));
    ce_store_close(&store);
}

static void test_a_second_time_it_is_there(void **state)
{
    (void)state;
    ce_store store;
    assert_int_equal(ce_store_open(&store, path, KEY, SIZE), 0);
    prepare();
    assert_int_equal(ce_store_open(&store, path, KEY, SIZE), 1);
    assert_true(holds(&store));
    ce_store_close(&store);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void test_what_is_not_ours_is_not_taken(void **state)
{
    (void)state;
    ce_store store;
    prepare();
    assert_int_equal(ce_store_open(&store, path, OTHER, SIZE), 0);
    assert_int_equal(ce_store_open(&store, path, KEY, SIZE - 1), 0);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(ce_store_open(&store, path, KEY, SIZE), 0);
    prepare();
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(ce_store_open(&store, path, KEY, SIZE), 0);
    assert_int_equal(ce_store_open(&store, directory, KEY, SIZE), 0);
}

static void test_what_others_can_write_is_not_taken(void **state)
{
    (void)state;
    static const mode_t modes[] = {0600, 0400, 0644, 0660, 0602};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        ce_store store;
        prepare();
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(ce_store_open(&store, path, KEY, SIZE), !(modes[i] & 022));
        ce_store_close(&store);
    }
    if (geteuid() == 0) {
        ce_store store;
        prepare();
        assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
        assert_int_equal(ce_store_open(&store, path, KEY, SIZE), 0);
    }
}

static void test_damage_is_seen(void **state)
{
    (void)state;
    for (long at = 0; at < 4096 + SIZE; at += at < 200 ? 1 : 997) {
        ce_store store;
        prepare();
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        fseek(file, at, SEEK_SET);
        int before = getc(file);
        fseek(file, at, SEEK_SET);
        putc(before ^ 1, file);
        fclose(file);
        int found = ce_store_open(&store, path, KEY, SIZE);
        /* The rest of the first page says nothing. */
        if (found && (at < 26 || at >= 4096))
            fail_msg("a wrong bit in byte %ld was not seen", at);
        if (found)
            assert_true(holds(&store));
        ce_store_close(&store);
    }
}

static void test_memory_where_no_file_can_be(void **state)
{
    (void)state;
    ce_store store;
    assert_int_equal(ce_store_create(&store, NULL, SIZE, NULL), CE_OK);
    assert_null(store.path);
    fill(&store);
    ce_store_finish(&store, KEY);
    assert_true(holds(&store));
    ce_store_close(&store);

    assert_int_equal(ce_store_create(&store, "/proc/nowhere/x", SIZE, NULL), CE_OK);
    assert_null(store.path);
    ce_store_finish(&store, KEY);
    ce_store_close(&store);

    ce_error error;
    assert_int_equal(ce_store_create(&store, NULL, (size_t)1 << 60, &error), CE_E_NO_MEMORY);
    assert_non_null(strstr(error.message, "1152921504606846976 bytes"));
    ce_store_close(&store);
}

static void test_nothing_is_left_of_what_was_not_finished(void **state)
{
    (void)state;
    ce_store store;
    unlink(path);
    assert_int_equal(ce_store_create(&store, path, SIZE, NULL), CE_OK);
    ce_store_close(&store);
    assert_int_equal(rmdir(inner), 0);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(inner, sizeof inner, "%s/a", directory);
    snprintf(path, sizeof path, "%s/weights", inner);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    rmdir(inner);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_second_time_it_is_there),
        cmocka_unit_test(test_what_is_not_ours_is_not_taken),
        cmocka_unit_test(test_what_others_can_write_is_not_taken),
        cmocka_unit_test(test_damage_is_seen),
        cmocka_unit_test(test_memory_where_no_file_can_be),
        cmocka_unit_test(test_nothing_is_left_of_what_was_not_finished),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
