/* O_TMPFILE */
#define _GNU_SOURCE
#include "faults.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

static atomic_long left[FAULT_KINDS]; /* calls until the one that fails; 0 or less: none does */
static atomic_int failure, struck, named_only;
static void (*interrupt)(void);
static atomic_long blocks, mappings;

void fault_arm(fault_kind kind, long number, int errnum)
{
    for (int k = 0; k < FAULT_KINDS; k++)
        atomic_store(&left[k], 0);
    atomic_store(&struck, 0);
    atomic_store(&failure, errnum);
    interrupt = NULL;
    atomic_store(&left[kind], number);
}

void fault_interrupt(fault_kind kind, long number, void (*run)(void))
{
    fault_arm(kind, 0, 0);
    interrupt = run;
    atomic_store(&left[kind], number);
}

void fault_named_files_only(int on)
{
    atomic_store(&named_only, on);
}

int fault_struck(void)
{
    return atomic_load(&struck);
}

long fault_blocks(void)
{
    return atomic_load(&blocks);
}

long fault_mappings(void)
{
    return atomic_load(&mappings);
}

static int strikes(fault_kind kind)
{
    if (atomic_fetch_sub(&left[kind], 1) != 1)
        return 0;
    atomic_store(&struck, 1);
    if (interrupt) {
        interrupt();
        return 0;
    }
    errno = atomic_load(&failure);
    return 1;
}

/* ---- lib/base/mem.h ----------------------------------------------------------------------- */

static void *counted(void *pointer)
{
    if (pointer)
        atomic_fetch_add(&blocks, 1);
    return pointer;
}

/* Filled with rubbish, so that nothing leans on memory that happens to be zero. */
void *ce_malloc(size_t size)
{
    void *pointer = strikes(FAULT_MEMORY) ? NULL : counted(malloc(size ? size : 1));
    if (pointer)
        memset(pointer, 0xA5, size);
    return pointer;
}

void *ce_calloc(size_t count, size_t size)
{
    return strikes(FAULT_MEMORY) ? NULL : counted(calloc(count ? count : 1, size ? size : 1));
}

void *ce_realloc(void *pointer, size_t size)
{
    if (strikes(FAULT_MEMORY))
        return NULL;
    void *grown = realloc(pointer, size ? size : 1);
    return pointer ? grown : counted(grown);
}

void ce_free(void *pointer)
{
    if (pointer)
        atomic_fetch_sub(&blocks, 1);
    free(pointer);
}

void *ce_aligned_alloc(size_t alignment, size_t size)
{
    void *pointer = NULL;
    if (strikes(FAULT_MEMORY) || posix_memalign(&pointer, alignment, size ? size : 1) != 0)
        return NULL;
    return counted(pointer);
}

void *ce_reallocarray(void *pointer, size_t count, size_t size)
{
    return size && count > SIZE_MAX / size ? NULL : ce_realloc(pointer, count * size);
}

char *ce_strndup(const char *text, size_t length)
{
    char *copy = ce_malloc(length + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

/* Without a budget nobody asks how much. */
size_t ce_mem_held(void)
{
    return 0;
}

/* ---- System calls ------------------------------------------------------------------------- */

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_openat64(int directory, const char *path, int flags, ...);
int __wrap_openat64(int directory, const char *path, int flags, ...);
int __real_fstat64(int fd, struct stat *info);
int __wrap_fstat64(int fd, struct stat *info);
void *__real_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);

int __real_mkostemp64(char *path, int flags);
int __wrap_mkostemp64(char *path, int flags);
int __real_posix_fallocate64(int fd, off_t offset, off_t size);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t size);
int __real_mprotect(void *at, size_t size, int protection);
int __wrap_mprotect(void *at, size_t size, int protection);
int __real_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags);
int __wrap_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags);
int __real_rename(const char *from, const char *to);
int __wrap_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    return strikes(FAULT_WRITE) ? -1 : __real_linkat(from_folder, from, to_folder, to, flags);
}

int __wrap_rename(const char *from, const char *to);

int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if ((flags & O_TMPFILE) == O_TMPFILE && atomic_load(&named_only)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return strikes(FAULT_OPEN) ? -1 : __real_open64(path, flags, mode);
}

/* The library creates no file with this, so that there is no third argument to pass on. */

int __wrap_openat64(int directory, const char *path, int flags, ...)
{
    return strikes(FAULT_OPEN) ? -1 : __real_openat64(directory, path, flags);
}

int __wrap_fstat64(int fd, struct stat *info)
{
    return strikes(FAULT_FSTAT) ? -1 : __real_fstat64(fd, info);
}

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *data =
        strikes(FAULT_MMAP) ? MAP_FAILED : __real_mmap64(at, size, protection, flags, fd, offset);
    if (data != MAP_FAILED)
        atomic_fetch_add(&mappings, 1);
    return data;
}

int __wrap_munmap(void *at, size_t size)
{
    atomic_fetch_sub(&mappings, 1);
    return __real_munmap(at, size);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    return strikes(FAULT_THREAD) ? atomic_load(&failure)
                                 : __real_pthread_create(thread, attributes, run, argument);
}

int __wrap_mkostemp64(char *path, int flags)
{
    return strikes(FAULT_WRITE) ? -1 : __real_mkostemp64(path, flags);
}

int __wrap_posix_fallocate64(int fd, off_t offset, off_t size)
{
    return strikes(FAULT_WRITE) ? atomic_load(&failure)
                                : __real_posix_fallocate64(fd, offset, size);
}

int __wrap_mprotect(void *at, size_t size, int protection)
{
    return strikes(FAULT_WRITE) ? -1 : __real_mprotect(at, size, protection);
}

int __wrap_rename(const char *from, const char *to)
{
    return strikes(FAULT_WRITE) ? -1 : __real_rename(from, to);
}
