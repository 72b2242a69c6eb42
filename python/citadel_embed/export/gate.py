"""Nothing is published without comparison: the form read back from its files against the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import ExportError, packed
from .source import Source

TOLERANCE = 1e-5
BATCH_SIZES = (7, 1, 64)
SHORT = 128  # tokens

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


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return vectors / np.maximum(length, 1e-12)


def normalized(vectors: np.ndarray) -> np.ndarray:
    """As the library normalises: float32 again."""
    return _unit(vectors).astype(np.float32)


def _cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Of each pair of rows; two rows of zeros agree."""
    both_zero = ~found.any(axis=1) & ~expected.any(axis=1)
    return (_unit(found) * _unit(expected)).sum(axis=1) + both_zero


def _measure(layout: str, found: np.ndarray, expected: np.ndarray) -> Agreement:
    if not np.isfinite(found).all():
        raise ExportError(f"the {layout} graph gives NaN or infinity")
    if found.shape != expected.shape:
        raise ExportError(f"the {layout} graph gives {found.shape[1]} numbers, expected {expected.shape[1]}")
    scale = np.maximum(1.0, np.abs(expected).max(axis=1, keepdims=True))
    error = float((np.abs(found - expected) / scale).max())
    return Agreement(error, float(_cosines(found, expected).min()))


def agree(layout: str, found: np.ndarray, expected: np.ndarray, precision: str = "fp32") -> Agreement:
    """How near ``found`` comes to ``expected``; raises if that is not as near as ``precision`` must."""
    agreement = _measure(layout, found, expected)
    if precision == "fp32":
        enough = agreement.max_abs_error <= TOLERANCE and agreement.min_cosine >= 1 - COSINE_TOLERANCE
        limit = f"{TOLERANCE:.0e}"
    else:
        enough = agreement.min_cosine >= NARROW_COSINE
        limit = f"a cosine of {NARROW_COSINE}"
    if not enough:
        raise ExportError(
            f"the {layout} graph differs from sentence-transformers by {agreement.max_abs_error:.2g} "
            f"(limit {limit}), minimum cosine {agreement.min_cosine:.6f}"
        )
    return agreement


def compare(
    source: Source,
    graph,
    layout: str,
    sequences: list[list[int]],
    expected: np.ndarray,
    precision: str = "fp32",
) -> Agreement:
    """Run ``graph`` over ``sequences`` in several batch sizes; raises if it does not agree."""
    # Whether a vector depends on what else is in the batch, short texts show as well as long ones.
    short = [i for i, ids in enumerate(sequences) if len(ids) <= SHORT]
    every = list(range(len(sequences)))
    found = []
    for size in BATCH_SIZES[:1] if source.large else BATCH_SIZES:
        some = every if size == BATCH_SIZES[0] else short
        vectors = packed.run(graph, layout, [sequences[i] for i in some], size)
        vectors = normalized(vectors) if source.normalize else vectors
        found.append(agree(layout, vectors, expected[some], precision))
    return Agreement(max(one.max_abs_error for one in found), min(one.min_cosine for one in found))


def median_cosine(vectors: np.ndarray) -> float:
    """Of all pairs of different texts: how much the model tells them apart."""
    unit = _unit(vectors)
    return float(np.median((unit @ unit.T)[np.triu_indices(len(unit), 1)]))
