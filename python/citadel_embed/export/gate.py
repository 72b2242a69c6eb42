"""Nothing is published without comparison: the form read back from its files against the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import ExportError, packed
from .source import Source

TOLERANCE = 1e-5
BATCH_SIZES = (1, 7, 64)

# Of a model whose vectors are short, the difference alone says little.
COSINE_TOLERANCE = 1e-5

# Of a form of less than fp32. The library uses it without being asked only from .9999 on.
NARROW_COSINE = 0.995

# Above this median cosine all texts look alike to the model, and a comparison could not tell a bug.
ALIKE = 0.98


@dataclass
class Agreement:
    """How near the form comes to the reference, over all texts and batch sizes."""

    max_abs_error: float
    min_cosine: float

    def __str__(self) -> str:
        return f"max |difference| {self.max_abs_error:.1e}, minimum cosine {self.min_cosine:.9f}"


def _normalized(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return vectors / np.maximum(length, 1e-12)


def _cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Of each pair of rows; two rows of zeros agree."""
    both_zero = ~found.any(axis=1) & ~expected.any(axis=1)
    return (_normalized(found) * _normalized(expected)).sum(axis=1) + both_zero


def measure(
    source: Source, graph, layout: str, sequences: list[list[int]], expected: np.ndarray
) -> Agreement:
    """Run ``graph`` over ``sequences`` in several batch sizes."""
    error, cosine = 0.0, 1.0
    for size in BATCH_SIZES:
        found = packed.run(graph, layout, sequences, size)
        if source.normalize:
            found = _normalized(found)
        if not np.isfinite(found).all():
            raise ExportError(f"the {layout} graph gives NaN or infinity")
        if found.shape != expected.shape:
            raise ExportError(
                f"the {layout} graph gives {found.shape[1]} numbers, expected {expected.shape[1]}"
            )
        scale = np.maximum(1.0, np.abs(expected).max(axis=1, keepdims=True))
        error = max(error, float((np.abs(found - expected) / scale).max()))
        cosine = min(cosine, float(_cosines(found, expected).min()))
    return Agreement(error, cosine)


def compare(
    source: Source,
    graph,
    layout: str,
    sequences: list[list[int]],
    expected: np.ndarray,
    precision: str = "fp32",
) -> Agreement:
    """Measure ``graph``; raises if it does not agree as ``precision`` must."""
    found = measure(source, graph, layout, sequences, expected)
    if precision == "fp32":
        agrees = found.max_abs_error <= TOLERANCE and found.min_cosine >= 1 - COSINE_TOLERANCE
        limit = f"{TOLERANCE:.0e}"
    else:
        agrees = found.min_cosine >= NARROW_COSINE
        limit = f"a cosine of {NARROW_COSINE}"
    if not agrees:
        raise ExportError(
            f"the {layout} graph differs from sentence-transformers by {found.max_abs_error:.2g} "
            f"(limit {limit}), minimum cosine {found.min_cosine:.6f}"
        )
    return found


def median_cosine(vectors: np.ndarray) -> float:
    """Of all pairs of different texts: how much the model tells them apart."""
    unit = _normalized(vectors)
    return float(np.median((unit @ unit.T)[np.triu_indices(len(unit), 1)]))
