"""The TorchScript form: a graph file without weights, and the weights beside it."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch

from . import ExportError
from .pack import write_safetensors

# A graph without weights is some hundred kilobytes; more means that tracing baked weights into it.
GRAPH_LIMIT = 4 << 20


def _state(module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer under the name by which the backend binds it."""
    named = list(module.named_parameters(remove_duplicate=False))
    named += list(module.named_buffers(remove_duplicate=False))
    return dict(named)


def write(traced: torch.jit.ScriptModule, graph_path: Path, weights_path: Path) -> dict:
    """Write both files; returns the entry of the weights file. The module is empty afterwards."""
    state = _state(traced)
    entry = write_safetensors(weights_path, state)
    for tensor in state.values():
        tensor.data = torch.empty(0, dtype=tensor.dtype)
    traced.save(str(graph_path))
    size = graph_path.stat().st_size
    if size > GRAPH_LIMIT:
        raise ExportError(
            f"the graph without weights has {size} bytes, more than {GRAPH_LIMIT}: tracing made constants of weights"
        )
    return entry


def read(graph_path: Path, weights_path: Path) -> torch.jit.ScriptModule:
    """The form as the backend reads it, from the files alone."""
    module = torch.jit.load(str(graph_path), map_location="cpu").eval()
    weights = safetensors.torch.load_file(str(weights_path))
    for name, tensor in _state(module).items():
        tensor.data = weights.pop(name)
    if weights:
        raise ExportError(f"the graph does not use the tensor '{next(iter(weights))}'")
    return module
