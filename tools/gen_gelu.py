#!/usr/bin/env python3
"""Writes lib/kernels/gelu_pieces.h: |x| (1 - Phi(|x|)), by which GELU is below the larger of x and 0.

Chebyshev's points of each piece, solved by least squares in double precision; the value at 0 is exact.
"""

import math
from pathlib import Path

import numpy

PIECES, WIDTH = 32, 0.2
DEGREES = {"exact": 5, "rough": 2}
TARGET = Path(__file__).resolve().parents[1] / "lib/kernels/gelu_pieces.h"


def taken(x: float) -> float:
    return x * math.erfc(x / math.sqrt(2)) / 2


def piece(k: int, degree: int) -> numpy.ndarray:
    nodes = numpy.cos(numpy.pi * (numpy.arange(64) + 0.5) / 64) / 2
    if k == 0:
        nodes = (nodes + 0.5) / 2
    values = numpy.array([taken(WIDTH * (k + t)) for t in nodes])
    powers = numpy.vander(nodes, degree + 1, increasing=True)
    if k == 0:
        rest = numpy.linalg.lstsq(powers[:, 1:], values, rcond=None)[0]
        return numpy.concatenate(([0], rest))
    return numpy.linalg.lstsq(powers, values, rcond=None)[0]


def table(name: str, degree: int) -> str:
    columns = numpy.array([piece(k, degree) for k in range(PIECES)]).T.astype(numpy.float32)
    rows = ",\n".join("    {" + ", ".join(f"{value:.9e}f" for value in row) + "}" for row in columns)
    return f"static const _Alignas(64) float gelu_{name}[{degree + 1}][{PIECES}] = {{\n{rows}}};\n"


def main() -> None:
    tables = "\n".join(table(name, degree) for name, degree in DEGREES.items())
    TARGET.write_text(
        "/* Written by tools/gen_gelu.py: |x| (1 - Phi(|x|)) in pieces round |x| = k / 5, k = 0 .. 31, as\n"
        " * polynomials of 5 |x| - k: coefficients by power and piece. */\n/* clang-format off */\n"
        f"enum {{ GELU_PIECES = {PIECES} }};\n#define GELU_SCALE {1 / WIDTH}f\n\n" + tables
    )


if __name__ == "__main__":
    main()
