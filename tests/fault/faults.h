/* Allocations and system calls of the library that fail when a test wants it. The program is linked with this
 * implementation of lib/base/mem.h and with wrapped system calls (-Wl,--wrap). */
#ifndef CE_TESTS_FAULTS_H
#define CE_TESTS_FAULTS_H

typedef enum fault_kind {
    FAULT_MEMORY, /* a function of lib/base/mem.h */
    FAULT_OPEN,   /* and openat */
    FAULT_FSTAT,
    FAULT_MMAP,
    FAULT_THREAD, /* pthread_create */
    FAULT_WRITE,  /* mkostemp, posix_fallocate, mprotect, linkat, rename */
    FAULT_KINDS
} fault_kind;

/* The `number`th call of this kind from now on, counted from 1, fails with `errnum`; 0: none does. */
void fault_arm(fault_kind kind, long number, int errnum);

/* Before the `number`th call of this kind, `run` runs; the call does not fail. */
void fault_interrupt(fault_kind kind, long number, void (*run)(void));

/* Files without a name are refused, as by a file system that has none. */
void fault_named_files_only(int on);

/* Whether the call that was to fail has been made. */
int fault_struck(void);

/* Blocks of memory that were allocated and not freed; files that are mapped. */
long fault_blocks(void);
long fault_mappings(void);

#endif
