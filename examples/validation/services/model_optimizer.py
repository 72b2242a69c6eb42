"""Models in their fastest exact form, by name; see ModelOptimizer."""

from __future__ import annotations

import citadel_embed


class ModelOptimizer:
    """Loads models in the form that the environment's switches ask for, and keeps them."""

    def __init__(self) -> None:
        self.engine = citadel_embed.Engine()
        self._models: dict[str, citadel_embed.Model] = {}

    def load_optimized_model(self, name: str) -> citadel_embed.Model:
        """The same model for the same name; ``info()`` tells its form and precision, and why."""
        if name not in self._models:
            self._models[name] = self.engine.load(name)
        return self._models[name]

    def close(self) -> None:
        for model in self._models.values():
            model.close()
        self._models.clear()
        self.engine.close()

    def __enter__(self) -> ModelOptimizer:
        return self

    def __exit__(self, *_) -> None:
        self.close()
