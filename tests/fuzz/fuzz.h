/* What every target has: bytes in, and an abort when something that must hold does not. */
#ifndef CE_TESTS_FUZZ_H
#define CE_TESTS_FUZZ_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) ((condition) ? (void)0 : fuzz_broken(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_broken(const char *condition, const char *file, int line);

/* `status` is one of ours, and after a failure `error` says so in one line of UTF-8. */
void fuzz_check_error(int status, const ce_error *error);

/* The bytes in memory of exactly their size, so that the sanitizers see a read one byte too far. Free with free(). */
void *fuzz_copy(const void *data, size_t size);

#endif
