/* MAP_ANONYMOUS, O_TMPFILE, mkostemp */
#define _GNU_SOURCE
#include "native/store.h"

#include "base/mem.h"
#include "digest/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "citadel prepared weights\n"

/* The first page of a file; the data begin on the next. */
typedef struct header {
    char magic[sizeof MAGIC];
    char key[65];
    uint64_t size;
    uint32_t crc32c;
    ce_accuracy accuracy;
} header;

enum { HEADER_BYTES = 4096 };

static int map(ce_store *store, int fd, size_t size, int protection, int flags)
{
    void *mapping = mmap(NULL, HEADER_BYTES + size, protection, flags, fd, 0);
    if (mapping == MAP_FAILED)
        return 0;
    store->mapping = mapping;
    store->mapped = HEADER_BYTES + size;
    store->data = (char *)mapping + HEADER_BYTES;
    store->size = size;
    return 1;
}

static int is_ours(const ce_store *store, const char *key)
{
    header h;
    memcpy(&h, store->mapping, sizeof h);
    return memcmp(h.magic, MAGIC, sizeof MAGIC) == 0 && memcmp(h.key, key, sizeof h.key) == 0 &&
           h.size == store->size && ce_crc32c(0, store->data, store->size) == h.crc32c;
}

/* Nobody else could have written it. */
static int is_safe(const struct stat *info)
{
    return (info->st_uid == geteuid() || info->st_uid == 0) &&
           !(info->st_mode & (S_IWGRP | S_IWOTH));
}

int ce_store_open(ce_store *store, const char *path, const char *key, size_t size)
{
    *store = (ce_store){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (fd < 0)
        return 0;
    int found = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && is_safe(&info) &&
                (uint64_t)info.st_size == HEADER_BYTES + (uint64_t)size &&
                map(store, fd, size, PROT_READ, MAP_PRIVATE);
    close(fd);
    if (found && !is_ours(store, key)) {
        ce_store_close(store);
        found = 0;
    }
    if (found) {
        header h;
        memcpy(&h, store->mapping, sizeof h);
        store->accuracy = h.accuracy;
    }
    return found;
}

/* All directories above the file. */
static void make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
}

/* Nothing is left of a file without a name if the process is killed. */
static int open_unnamed(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    *slash = '\0';
    int fd = open(*path ? path : "/", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    *slash = '/';
    return fd;
}

/* Where the file system has no such files. */
static int open_temporary(ce_store *store)
{
    size_t length = strlen(store->path);
    store->temporary = ce_malloc(length + sizeof ".XXXXXX");
    if (!store->temporary)
        return -1;
    memcpy(store->temporary, store->path, length);
    memcpy(store->temporary + length, ".XXXXXX", sizeof ".XXXXXX");
    int fd = mkostemp(store->temporary, O_CLOEXEC);
    if (fd < 0) {
        ce_free(store->temporary);
        store->temporary = NULL;
    }
    return fd;
}

static void drop_file(ce_store *store)
{
    if (!store->path)
        return;
    if (store->temporary)
        unlink(store->temporary);
    if (store->file >= 0)
        close(store->file);
    ce_free(store->path);
    ce_free(store->temporary);
    store->path = store->temporary = NULL;
}

static int create_file(ce_store *store, const char *path, size_t size)
{
    store->path = ce_strndup(path, strlen(path));
    if (!store->path)
        return 0;
    make_directories(store->path);
    store->file = open_unnamed(store->path);
    if (store->file < 0)
        store->file = open_temporary(store);
    /* All blocks now: a disk that is full later would be a signal. */
    if (store->file >= 0 && posix_fallocate(store->file, 0, (off_t)(HEADER_BYTES + size)) == 0 &&
        map(store, store->file, size, PROT_READ | PROT_WRITE, MAP_SHARED))
        return 1;
    drop_file(store);
    return 0;
}

/* Others see all of it or nothing. Between an older file and this one there may be none for a moment. */
static void name_file(ce_store *store)
{
    char own[32];
    if (store->temporary) {
        if (rename(store->temporary, store->path) == 0) {
            ce_free(store->temporary);
            store->temporary = NULL;
        }
        return;
    }
    snprintf(own, sizeof own, "/proc/self/fd/%d", store->file);
    if (linkat(AT_FDCWD, own, AT_FDCWD, store->path, AT_SYMLINK_FOLLOW) == 0 || errno != EEXIST)
        return;
    unlink(store->path);
    linkat(AT_FDCWD, own, AT_FDCWD, store->path, AT_SYMLINK_FOLLOW);
}

int ce_store_create(ce_store *store, const char *path, size_t size, ce_error *error)
{
    *store = (ce_store){0};
    if (path && create_file(store, path, size))
        return CE_OK;
    if (!map(store, -1, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS))
        return ce_fail_errno(error, CE_E_NO_MEMORY, errno, "no memory for %zu bytes of weights",
                             size);
    return CE_OK;
}

void ce_store_finish(ce_store *store, const char *key)
{
    if (store->path) {
        header h = {.size = store->size,
                    .crc32c = ce_crc32c(0, store->data, store->size),
                    .accuracy = store->accuracy};
        memcpy(h.magic, MAGIC, sizeof MAGIC);
        memcpy(h.key, key, sizeof h.key);
        memcpy(store->mapping, &h, sizeof h);
        name_file(store);
        drop_file(store);
    }
    mprotect(store->mapping, store->mapped, PROT_READ);
}

void ce_store_close(ce_store *store)
{
    drop_file(store);
    if (store->mapping)
        munmap(store->mapping, store->mapped);
    *store = (ce_store){0};
}
