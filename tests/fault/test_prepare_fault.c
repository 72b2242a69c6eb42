/* Preparing weights, and finding them prepared, with each allocation and system call failing in turn. */
#include "cmocka_all.h"

#include "citadel_embed.h"
#include "faults.h"
#include "kernels/isa.h"
#include "native/native_backend.h"
#include "native/weights.h"
#include "small_checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { DIM_MAX = 64 };

static const int order[TEXTS] = {0, 1, 2, 3, 4, 5, 6};
static ce_architecture architecture;
static float expected[TEXTS * DIM_MAX];

static int embed(int32_t precision, int folder, float *vectors, ce_error *error)
{
    ce_weights *weights = NULL;
    void *model = NULL;
    int status = ce_weights_open(folder, "", &weights, error);
    const ce_backend_model description = checkpoint_model(
        &architecture, precision, (int)ce_isa_best(), folder, weights, checkpoint_prepared);
    if (status == CE_OK)
        status = ce_native_backend.model_load(&description, &model, error);
    if (status == CE_OK) {
        ce_team team = {.threads = 1};
        ce_batch batch = batch_of(order, TEXTS);
        status = ce_native_backend.run(model, &batch, &team, vectors, error);
    }
    ce_native_backend.model_unload(model);
    ce_weights_close(weights);
    return status;
}

/* The checkpoint's file, and that of the prepared weights if it is there: nothing unfinished. */
static void check_directory(void)
{
    DIR *directory = opendir(checkpoint_directory);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "model.safetensors") != 0 &&
            strcmp(entry->d_name, "prepared") != 0)
            fail_msg("'%s' is left", entry->d_name);
    closedir(directory);
}

/* Each call in turn. Either the load fails with `status`, or the vectors are those that they ought to be; and nothing is
 * left in memory or in the directory. `kept`: weights that are prepared already. Returns how many calls there are. */
static long with_every_fault(int32_t precision, fault_kind kind, int errnum, int status, int kept)
{
    static float vectors[TEXTS * DIM_MAX];
    long number = 1;
    int folder = open(checkpoint_directory, O_RDONLY | O_DIRECTORY);
    for (int struck = 1; struck; number++) {
        ce_error error = {0};
        long blocks = fault_blocks(), mappings = fault_mappings();
        if (!kept)
            unlink(checkpoint_prepared);
        fault_arm(kind, number, errnum);
        int found = embed(precision, folder, vectors, &error);
        struck = fault_struck();
        fault_arm(kind, 0, 0);
        if (found != CE_OK && !(struck && found == status && error.code == status))
            fail_msg("call %ld: %d %s", number, found, error.message);
        if (found == CE_OK)
            assert_memory_equal(vectors, expected, sizeof vectors);
        assert_int_equal(fault_blocks(), blocks);
        assert_int_equal(fault_mappings(), mappings);
        check_directory();
    }
    close(folder);
    return number - 2;
}

static void check_precision(int32_t precision)
{
    ce_error error;
    int folder = open(checkpoint_directory, O_RDONLY | O_DIRECTORY);
    unlink(checkpoint_prepared);
    assert_int_equal(embed(precision, folder, expected, &error), CE_OK);
    assert_true(with_every_fault(precision, FAULT_MEMORY, ENOMEM, CE_E_NO_MEMORY, 0) > 10);
    assert_true(with_every_fault(precision, FAULT_MMAP, ENOMEM, CE_E_NO_MEMORY, 0) >= 2);
    /* Without a file it goes on in memory. */
    assert_int_equal(with_every_fault(precision, FAULT_WRITE, ENOSPC, CE_OK, 0), 3);
    with_every_fault(precision, FAULT_OPEN, EACCES, CE_E_IO, 0);
    fault_named_files_only(1);
    assert_int_equal(with_every_fault(precision, FAULT_WRITE, ENOSPC, CE_OK, 0), 4);
    assert_true(with_every_fault(precision, FAULT_MEMORY, ENOMEM, CE_E_NO_MEMORY, 0) > 10);
    fault_named_files_only(0);

    unlink(checkpoint_prepared);
    assert_int_equal(embed(precision, folder, expected, &error), CE_OK);
    close(folder);
    with_every_fault(precision, FAULT_MEMORY, ENOMEM, CE_E_NO_MEMORY, 1);
    with_every_fault(precision, FAULT_MMAP, ENOMEM, CE_E_NO_MEMORY, 1);
    with_every_fault(precision, FAULT_FSTAT, EIO, CE_E_IO, 1);
    with_every_fault(precision, FAULT_OPEN, EACCES, CE_E_IO, 1);
}

static void test_bert(void **state)
{
    (void)state;
    architecture = bert_of(CE_POOL_CLS);
    write_bert(&architecture);
    check_precision(CITADEL_PRECISION_FP32);
    check_precision(CITADEL_PRECISION_BF16);
    check_precision(CITADEL_PRECISION_INT8);
}

static void test_llama(void **state)
{
    (void)state;
    architecture = llama_of(CE_FAMILY_LLAMA, CE_POOL_MEAN);
    write_llama(&architecture);
    check_precision(CITADEL_PRECISION_INT8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_llama),
    };
    return cmocka_run_group_tests(tests, checkpoint_begin, checkpoint_end);
}
