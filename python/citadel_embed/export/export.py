"""The steps of an export, in order."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
import torch

from . import ExportError, gate, packed, reason, source, texts, torchscript
from .pack import FORMAT_VERSION, Destination, write_file, write_golden, write_manifest

GRAPH = "graph.fp32.pt"
WEIGHTS = "weights.fp32.safetensors"


@dataclass
class Sample:
    """What is compared: the golden texts first, with their ids and reference vectors."""

    golden: int
    texts: list[str]
    ids: list[list[int]]
    vectors: np.ndarray


def _sample(model: source.Source, tokenizer_path: Path) -> Sample:
    """Texts that have tokens, with the ids that tokenizer.json alone must give too."""
    golden = texts.golden(model.too_long)
    every = golden + texts.varied() + texts.special(model.model.tokenizer.all_special_tokens)
    written = tokenizers.Tokenizer.from_file(str(tokenizer_path))
    written.enable_truncation(model.max_tokens)
    ids = [model.ids(text) for text in every]
    for text, expected in zip(every, ids, strict=True):
        if written.encode(text).ids != expected:
            raise ExportError(
                f"sentence-transformers does more to a text than tokenizer.json says: {text[:40]!r}"
            )
    highest = max(max(sequence, default=0) for sequence in ids)
    if highest >= model.vocab_size:
        raise ExportError(f"token id {highest} is beyond the {model.vocab_size} embeddings")
    # The library refuses a text without tokens; sentence-transformers' answer depends on the batch.
    kept = [i for i, sequence in enumerate(ids) if sequence]
    kept_texts = [every[i] for i in kept]
    return Sample(
        golden=sum(i < len(golden) for i in kept),
        texts=kept_texts,
        ids=[ids[i] for i in kept],
        vectors=model.encode(kept_texts),
    )


def _traced(model: source.Source, sample: Sample):
    """The packed graph if the architecture can have one, else the padded one; with the reason."""
    reasons = []
    for kind in (packed.PackedGraph, packed.PaddedGraph):
        try:
            graph = packed.trace(kind(model), sample.ids)
            # A few texts are enough to see that an architecture ignores the attention interface.
            gate.compare(model, graph, kind.layout, sample.ids[:12], sample.vectors[:12])
            return graph, kind.layout, "; ".join(reasons)
        except ExportError as error:
            reasons.append(str(error))
        except Exception as error:  # whatever an architecture does that cannot be traced so
            reasons.append(f"{type(error).__name__}: {reason(error)}")
    raise ExportError(f"{reasons[0]}; and padded: {reasons[1]}")


def _versions() -> dict[str, str]:
    names = ("citadel_embed", "torch", "transformers", "sentence_transformers", "tokenizers")
    return {name: importlib.metadata.version(name) for name in names}


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
        "prompts": model.prompts,
        "default_prompt": model.default_prompt,
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
    model = source.load(arguments.source, arguments.name or destination.path.name)
    progress.phase(f"loaded {type(model.transformer).__name__} from '{arguments.source}'")

    with destination as folder:
        files = {"tokenizer.json": write_file(folder / "tokenizer.json", model.tokenizer_json.encode())}
        sample = _sample(model, folder / "tokenizer.json")
        dim = sample.vectors.shape[1]
        # The small vocabulary of a test model need not tell scripts apart, a real one does.
        alike = gate.median_cosine(sample.vectors[: sample.golden])
        warning = f"; WARNING: texts look alike to this model, median cosine {alike:.3f}"
        progress.phase(
            f"ids and reference vectors of {len(sample.texts)} texts"
            + (warning if alike > gate.ALIKE else "")
        )

        graph, layout, why = _traced(model, sample)
        progress.phase(f"traced, layout {layout}" + (f" because: {why}" if why else ""))

        files |= torchscript.write(graph, folder / GRAPH, folder / WEIGHTS)
        files |= write_golden(folder, sample.texts, sample.ids, sample.vectors, sample.golden)
        progress.phase("wrote graph, weights and golden texts")

        read_back = torchscript.read(folder / GRAPH, folder / WEIGHTS)
        agreement = gate.compare(model, read_back, layout, sample.ids, sample.vectors)
        progress.phase(f"compared {len(sample.texts)} texts in batches of {gate.BATCH_SIZES}")

        write_manifest(folder, _manifest(model, layout, agreement, dim, files))
        destination.publish()
        progress.phase(f"published '{destination.path}'")

    size = sum(entry["bytes"] for entry in files.values()) / 1e6
    return (
        f"{destination.path}: {dim} dimensions, {model.max_tokens} tokens, {model.pooling} pooling, "
        f"{layout}, {size:.1f} MB, max |difference| {agreement.max_abs_error:.1e}, "
        f"minimum cosine {agreement.min_cosine:.9f}, {progress.seconds:.1f} s"
    )
