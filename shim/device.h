// What there is to compute on.
#pragma once

extern "C" {
#include "../src/backend.h"
}

int describe_device(ce_backend_device *device, ce_error *error) noexcept;
