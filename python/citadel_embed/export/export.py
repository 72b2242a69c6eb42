"""The steps of an export, in order."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import tokenizers
import torch

from . import ExportError, gate, packed, source, texts, torchscript
from .pack import FORMAT_VERSION, Destination, file_entry, write_golden, write_manifest

GRAPH = "graph.fp32.pt"
WEIGHTS = "weights.fp32.safetensors"


def _check_ids(model: source.Source, tokenizer_path: Path, sample: list[str]) -> list[list[int]]:
    """The tokenizer file alone must give the ids that sentence-transformers uses."""
    written = tokenizers.Tokenizer.from_file(str(tokenizer_path))
    written.enable_truncation(model.max_tokens)
    ids = [model.ids(text) for text in sample]
    for text, expected in zip(sample, ids, strict=True):
        if written.encode(text).ids != expected:
            raise ExportError(
                f"sentence-transformers does more to a text than tokenizer.json says: {text[:40]!r}"
            )
    return ids


def _traced(model: source.Source, sequences: list[list[int]], expected):
    """The packed graph if the architecture can have one, else the padded one; with the reason."""
    reason = None
    for kind in (packed.PackedGraph, packed.PaddedGraph):
        try:
            graph = packed.trace(kind(model), sequences)
            # A few texts are enough to see that an architecture ignores the attention interface.
            gate.compare(model, graph, kind.layout, sequences[:12], expected[:12])
            return graph, kind.layout, reason
        except ExportError as error:
            if reason:
                raise ExportError(f"packed: {reason}; padded: {error}") from error
            reason = str(error)
        except Exception as error:
            if reason:
                raise ExportError(f"packed: {reason}; padded: {error}") from error
            reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    raise AssertionError("unreachable")


def _versions() -> dict[str, str]:
    names = ("citadel_embed", "torch", "transformers", "sentence_transformers", "tokenizers")
    return {name: importlib.metadata.version(name) for name in names}


def _prompts(model) -> dict[str, str]:
    return {name: text for name, text in (model.prompts or {}).items() if isinstance(text, str)}


def _manifest(model: source.Source, layout: str, agreement, dim: int, files: dict) -> dict:
    return {
        "format": "citadel-pack",
        "format_version": FORMAT_VERSION,
        "name": model.name,
        "architecture": type(model.transformer).__name__,
        "dim": dim,
        "max_tokens": model.max_tokens,
        "vocab_size": model.vocab_size,
        "layout": layout,
        "modules": [type(module).__name__ for module in model.model],
        "pooling": model.pooling,
        "normalize": model.normalize,
        "prompts": _prompts(model.model),
        "default_prompt": model.model.default_prompt_name,
        "similarity": str(getattr(model.model, "similarity_fn_name", None) or "cosine"),
        "tokenizer": "tokenizer.json",
        "golden": {"texts": "golden.json", "vectors": "golden.safetensors"},
        "artifacts": [
            {
                "form": "torchscript",
                "precision": "fp32",
                "device": "cpu",
                "graph": GRAPH,
                "weights": WEIGHTS,
                "torch": torch.__version__.split("+")[0],
                "max_abs_error": agreement.max_abs_error,
                "min_cosine": agreement.min_cosine,
            }
        ],
        "exported_with": _versions(),
        "files": files,
    }


def export(arguments, progress) -> str:
    """Export as the command line says; returns the line that sums it up."""
    destination = Destination(arguments.dest, arguments.force)
    model = source.load(arguments.source, arguments.name)
    progress.phase(f"loaded {type(model.transformer).__name__} from '{arguments.source}'")

    with destination as into:
        folder = into.folder
        golden = texts.golden(model.max_tokens)
        sample = golden + texts.varied()
        (folder / "tokenizer.json").write_text(model.tokenizer_json, encoding="utf-8")
        sequences = _check_ids(model, folder / "tokenizer.json", sample)
        progress.phase(f"tokenizer gives the same ids on {len(sample)} texts")

        expected = model.encode(sample)
        # The small vocabulary of a test model need not tell scripts apart, a real one does.
        alike = gate.median_cosine(expected[: len(golden)])
        warning = f"; WARNING: texts look alike to this model, median cosine {alike:.3f}"
        progress.phase(
            f"reference vectors of {expected.shape[1]} dimensions" + (warning if alike > gate.ALIKE else "")
        )

        highest = max(max(sequence, default=0) for sequence in sequences)
        if highest >= model.vocab_size:
            raise ExportError(f"token id {highest} is beyond the {model.vocab_size} embeddings")
        graph, layout, reason = _traced(model, sequences, expected)
        progress.phase(f"traced, layout {layout}" + (f" because: {reason}" if reason else ""))

        files = {"tokenizer.json": file_entry(folder / "tokenizer.json")}
        files[WEIGHTS] = torchscript.write(graph, folder / GRAPH, folder / WEIGHTS)
        files[GRAPH] = file_entry(folder / GRAPH)
        files |= write_golden(folder, golden, sequences[: len(golden)], expected[: len(golden)])
        progress.phase("wrote graph, weights and golden texts")

        read_back = torchscript.read(folder / GRAPH, folder / WEIGHTS)
        agreement = gate.compare(model, read_back, layout, sequences, expected)
        progress.phase(f"compared {len(sample)} texts in batches of {gate.BATCH_SIZES}")

        dim = expected.shape[1]
        write_manifest(folder, _manifest(model, layout, agreement, dim, files))
        into.publish()
        progress.phase(f"published '{destination.path}'")

    size = sum(entry["bytes"] for entry in files.values()) / 1e6
    return (
        f"{destination.path}: {dim} dimensions, {model.max_tokens} tokens, {model.pooling} pooling, "
        f"{layout}, {size:.1f} MB, max |difference| {agreement.max_abs_error:.1e}, "
        f"minimum cosine {agreement.min_cosine:.9f}, {progress.seconds:.1f} s"
    )
