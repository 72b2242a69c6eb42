/* A folder for the files of a test. */
#ifndef CE_TESTS_FILES_H
#define CE_TESTS_FILES_H

#include "cmocka_all.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char files_folder[] = "/tmp/citadel-test-XXXXXX";

static inline int files_make(void **state)
{
    (void)state;
    memcpy(strrchr(files_folder, '-') + 1, "XXXXXX", 6);
    assert_non_null(mkdtemp(files_folder));
    return 0;
}

static inline int files_remove_one(const char *path, const struct stat *info, int kind,
                                   struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline int files_remove(void **state)
{
    (void)state;
    return nftw(files_folder, files_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline const char *files_path(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", files_folder, name);
    return path;
}

static inline void files_write(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(files_path(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void files_write_text(const char *name, const char *text)
{
    files_write(name, text, strlen(text));
}

/* A safetensors file of this header and `size` bytes of data, zeros without `data`. */
static inline void files_write_tensors(const char *name, const char *header, const void *data,
                                       size_t size)
{
    unsigned char bytes[8192] = {0};
    size_t length = (strlen(header) + 7) / 8 * 8;
    assert_true(8 + length + size <= sizeof bytes);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> (8 * i));
    memset(bytes + 8, ' ', length);
    memcpy(bytes + 8, header, strlen(header));
    if (data)
        memcpy(bytes + 8 + length, data, size);
    files_write(name, bytes, 8 + length + size);
}

#endif
