#include "base/error.h"
#include "citadel_embed.h"

#include <stddef.h>

/* name, the leaf libraries' number, what it means */
#define STATUSES(X)                                                                              \
    X(CITADEL_OK, CE_OK, "success")                                                              \
    X(CITADEL_E_INVALID_ARGUMENT, CE_E_INVALID_ARGUMENT, "invalid argument")                     \
    X(CITADEL_E_ABI, CE_E_ABI, "a struct does not fit this library's interface")                 \
    X(CITADEL_E_CAPACITY, CE_E_CAPACITY, "output buffer too small")                              \
    X(CITADEL_E_INVALID_UTF8, CE_E_INVALID_UTF8, "text is not valid UTF-8")                      \
    X(CITADEL_E_NOT_FOUND, CE_E_NOT_FOUND, "not found")                                          \
    X(CITADEL_E_IO, CE_E_IO, "input/output error")                                               \
    X(CITADEL_E_BAD_MODEL, CE_E_BAD_MODEL, "model is malformed, damaged or fails its own check") \
    X(CITADEL_E_UNSUPPORTED, CE_E_UNSUPPORTED, "not supported by this library")                  \
    X(CITADEL_E_NO_MEMORY, CE_E_NO_MEMORY, "out of memory")                                      \
    X(CITADEL_E_FORKED, CE_E_FORKED, "engine was created before fork()")                         \
    X(CITADEL_E_BUSY, CE_E_BUSY, "held models, or a timeout, forbid it")                         \
    X(CITADEL_E_BACKEND, CE_E_BACKEND, "backend is missing or failed")                           \
    X(CITADEL_E_NOT_FINITE, CE_E_NOT_FINITE, "vector has NaN or infinity")                       \
    X(CITADEL_E_INTERNAL, CE_E_INTERNAL, "internal error: a defect of the library")

#define SAME_NUMBER(name, leaf, text) \
    _Static_assert((int)name == (int)leaf, #name " differs from the leaf libraries' number");
STATUSES(SAME_NUMBER)

const char *citadel_status_name(citadel_status status)
{
    switch (status) {
#define NAME(name, leaf, text) \
    case name:                 \
        return #name;
        STATUSES(NAME)
    default:
        return "CITADEL_E_UNKNOWN";
    }
}

const char *citadel_status_string(citadel_status status)
{
    switch (status) {
#define TEXT(name, leaf, text) \
    case name:                 \
        return text;
        STATUSES(TEXT)
    default:
        return "unknown status";
    }
}
