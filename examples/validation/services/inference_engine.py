"""Text to vector, by the model's name; see InferenceEngine."""

from __future__ import annotations

import numpy as np

from .model_optimizer import ModelOptimizer


class InferenceEngine:
    def __init__(self, optimizer: ModelOptimizer | None = None) -> None:
        self._owned = optimizer is None
        self.optimizer = optimizer or ModelOptimizer()

    def generate_embedding(self, text: str, model: str) -> np.ndarray:
        """The vector of one text, float32."""
        return self.optimizer.load_optimized_model(model).embed([text])[0]

    def close(self) -> None:
        if self._owned:
            self.optimizer.close()

    def __enter__(self) -> InferenceEngine:
        return self

    def __exit__(self, *_) -> None:
        self.close()
