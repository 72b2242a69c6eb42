"""The TorchScript form: a graph file without weights, and the weights beside it."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import safetensors.torch
import torch

from . import ExportError, reason
from .pack import write_file, write_safetensors

# A graph without weights is some hundred kilobytes; more means that tracing baked weights into it.
GRAPH_LIMIT = 4 << 20


def state(module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer under the name by which the backend binds it."""
    named = list(module.named_parameters(remove_duplicate=False))
    named += list(module.named_buffers(remove_duplicate=False))
    return dict(named)


def _archive(module: torch.jit.ScriptModule) -> bytes:
    """The file that torch.jit.save makes, without what belongs to this machine.

    The debug records name the source files of the installed packages, and the serialization_id is a hash that
    counts them in.
    """
    saved, kept = io.BytesIO(), io.BytesIO()
    try:
        torch.jit.save(module, saved)
    except RuntimeError as error:
        raise ExportError(f"the graph cannot be saved: {reason(error)}") from error
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            if not name.endswith((".debug_pkl", "/.data/serialization_id")):
                target.writestr(zipfile.ZipInfo(name), source.read(name))
    return kept.getvalue()


@contextlib.contextmanager
def _without_weights(state: dict[str, torch.Tensor]):
    """Within, every tensor is empty; the graph is saved so."""
    kept = {name: tensor.data for name, tensor in state.items()}
    for tensor in state.values():
        tensor.data = torch.empty(0, dtype=tensor.dtype)
    try:
        yield
    finally:
        for name, tensor in state.items():
            tensor.data = kept[name]


def write_weights(module: torch.nn.Module, path: Path) -> dict:
    """Write parameters and buffers; returns their entry in the manifest."""
    return {path.name: write_safetensors(path, state(module))}


def write_graph(traced: torch.jit.ScriptModule, path: Path) -> dict:
    """Write the graph alone; returns its entry in the manifest."""
    with _without_weights(state(traced)):
        graph = _archive(traced)
    if len(graph) > GRAPH_LIMIT:
        raise ExportError(
            f"the graph without weights has {len(graph)} bytes, more than {GRAPH_LIMIT}: "
            "tracing made constants of weights"
        )
    return {path.name: write_file(path, graph)}


def read(graph_path: Path, weights_path: Path) -> torch.jit.ScriptModule:
    """The form as the backend reads it, from the files alone."""
    module = torch.jit.load(str(graph_path), map_location="cpu").eval()
    weights = safetensors.torch.load_file(str(weights_path))
    for name, tensor in state(module).items():
        tensor.data = weights.pop(name)
    if weights:
        raise ExportError(f"the graph does not use the tensor '{next(iter(weights))}'")
    return module
