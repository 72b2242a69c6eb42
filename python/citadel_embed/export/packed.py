"""The model as one graph over texts laid end to end: ``forward(ids, positions, cu_seqlens) -> [n, dim]``."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import torch

from . import ExportError, attention
from .source import Source


def pack(sequences: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The graph's input for texts that are already ids."""
    ids = torch.tensor([i for sequence in sequences for i in sequence], dtype=torch.int64)
    positions = torch.cat([torch.arange(len(sequence)) for sequence in sequences])
    lengths = torch.tensor([0] + [len(sequence) for sequence in sequences], dtype=torch.int64)
    return ids, positions, lengths.cumsum(0)


def _padding_index(transformer: torch.nn.Module) -> int | None:
    """RoBERTa and its kin number the tokens that are not padding, from padding_idx + 1."""
    embeddings = getattr(transformer, "embeddings", None)
    if hasattr(embeddings, "create_position_ids_from_input_ids"):
        return int(embeddings.padding_idx)
    return None


class _Graph(torch.nn.Module):
    """Transformer, then the modules of sentence-transformers themselves, over packed tokens."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.transformer = source.transformer
        self.modules_after = torch.nn.ModuleList(source.inner_modules)
        self.truncate_dim = source.truncate_dim
        parameters = inspect.signature(self.transformer.forward).parameters
        # A decoder would otherwise build a cache of keys and values.
        self.extra = {"use_cache": False} if "use_cache" in parameters else {}

    def pool(self, tokens: torch.Tensor, cu_seqlens: torch.Tensor) -> torch.Tensor:
        features = {"token_embeddings": tokens, "cu_seq_lens_q": cu_seqlens}
        for module in self.modules_after:
            features = module(features)
        return features["sentence_embedding"][:, : self.truncate_dim]


class PackedGraph(_Graph):
    """Texts of any length; the attention operator keeps them apart."""

    layout = "packed"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        parameters = inspect.signature(self.transformer.forward).parameters
        if "position_ids" not in parameters:
            raise ExportError(f"{type(self.transformer).__name__} takes no position_ids")
        self.padding = _padding_index(self.transformer)
        attention.register()
        self.transformer.set_attn_implementation(attention.NAME)

    def numbered(self, ids, positions, cu_seqlens):
        """Position ids as the family counts them."""
        if self.padding is None:
            return positions
        counts = (ids != self.padding).long()
        before = counts.cumsum(0) - counts
        begins = torch.repeat_interleave(cu_seqlens[:-1], cu_seqlens.diff(), output_size=ids.shape[0])
        return (counts.cumsum(0) - before[begins]) * counts + self.padding

    def forward(self, ids, positions, cu_seqlens):
        with attention.packed():
            tokens = self.transformer(
                input_ids=ids[None],
                position_ids=self.numbered(ids, positions, cu_seqlens)[None],
                cu_seqlens=cu_seqlens,
                **self.extra,
            )[0]
        return self.pool(tokens, cu_seqlens)


class PaddedGraph(_Graph):
    """Texts of one length in a batch, for architectures that have their own attention."""

    layout = "padded"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.transformer.set_attn_implementation("eager")

    def forward(self, ids, positions, cu_seqlens):
        rows = ids.view(cu_seqlens.shape[0] - 1, -1)
        tokens = self.transformer(input_ids=rows, attention_mask=torch.ones_like(rows), **self.extra)[0]
        return self.pool(tokens.reshape(1, ids.shape[0], -1), cu_seqlens)


def batches(graph_layout: str, sequences: list[list[int]], size: int) -> list[list[int]]:
    """Numbers of the sequences, in batches that the layout allows."""
    order = list(range(len(sequences)))
    if graph_layout == "packed":
        return [order[i : i + size] for i in range(0, len(order), size)]
    by_length: dict[int, list[int]] = {}
    for i in order:
        by_length.setdefault(len(sequences[i]), []).append(i)
    return [group[i : i + size] for group in by_length.values() for i in range(0, len(group), size)]


def run(graph, layout: str, sequences: list[list[int]], size: int) -> np.ndarray:
    """Pooled vectors of ``sequences``, computed ``size`` at a time."""
    rows: list[np.ndarray | None] = [None] * len(sequences)
    # Optimized execution compiles a graph anew for every shape.
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        for numbers in batches(layout, sequences, size):
            vectors = graph(*pack([sequences[i] for i in numbers])).numpy()
            for i, vector in zip(numbers, vectors, strict=True):
                rows[i] = vector
    return np.stack(rows)


def trace(graph: torch.nn.Module, sequences: list[list[int]]) -> torch.jit.ScriptModule:
    """TorchScript of ``graph``, traced on three texts (of one length if the layout wants it)."""
    middle = max(sequences, key=lambda s: len(s) if len(s) <= 24 else 0)
    three = [middle[:-2] + middle[-1:], middle, middle] if graph.layout == "packed" else [middle] * 3
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        # What tracing makes constant is found out by the comparison.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return torch.jit.trace(graph, pack(three), check_trace=False, strict=False)
