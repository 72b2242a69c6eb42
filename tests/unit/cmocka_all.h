/* cmocka asks for these headers before its own. */
#ifndef CE_TESTS_CMOCKA_ALL_H
#define CE_TESTS_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
