"""Nothing is published without comparison: the form read back from its files against the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import ExportError, packed
from .source import Source

TOLERANCE = 1e-5
BATCH_SIZES = (1, 7, 64)

# Above this median cosine all texts look alike to the model, and a comparison could not tell a bug.
ALIKE = 0.98


@dataclass
class Agreement:
    """How near the form comes to the reference, over all texts and batch sizes."""

    max_abs_error: float
    min_cosine: float


def _normalized(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return vectors / np.maximum(length, 1e-12)


def compare(
    source: Source, graph, layout: str, sequences: list[list[int]], expected: np.ndarray
) -> Agreement:
    """Run ``graph`` over ``sequences`` in several batch sizes; raises if it does not agree."""
    error, cosine = 0.0, 1.0
    for size in BATCH_SIZES:
        found = packed.run(graph, layout, sequences, size)
        if source.normalize:
            found = _normalized(found)
        if not np.isfinite(found).all():
            raise ExportError("the graph gives NaN or infinity")
        scale = np.maximum(1.0, np.abs(expected).max(axis=1, keepdims=True))
        error = max(error, float((np.abs(found - expected) / scale).max()))
        cosine = min(cosine, float((_normalized(found) * _normalized(expected)).sum(axis=1).min()))
    if not error <= TOLERANCE:
        raise ExportError(
            f"the {layout} graph differs from sentence-transformers by {error:.2g} "
            f"(limit {TOLERANCE:.0e}), minimum cosine {cosine:.6f}"
        )
    return Agreement(error, min(cosine, 1.0))


def median_cosine(vectors: np.ndarray) -> float:
    """Of all pairs of different texts: how much the model tells them apart."""
    unit = _normalized(vectors)
    return float(np.median((unit @ unit.T)[np.triu_indices(len(unit), 1)]))
