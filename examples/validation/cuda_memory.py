"""Memory of a CUDA device before and after a model is loaded; skips, with the reason, where there is none."""

from __future__ import annotations

import ctypes
import sys


def reason_to_skip() -> str:
    """Empty if there is a device; asked of the driver itself, which needs no torch."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return f"no CUDA driver: {error}"
    count = ctypes.c_int()
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status or not count.value:
        return f"no CUDA device (driver status {status}, {count.value} devices)"
    return "a CUDA device is there, but this version of the library computes on the CPU only"


def main() -> int:
    print(f"SKIPPED: {reason_to_skip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
