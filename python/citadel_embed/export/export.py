"""The steps of an export, in order."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
import torch

from . import ExportError, compiled, gate, packed, reason, source, texts, torchscript
from . import precision as precisions
from .pack import FORMAT_VERSION, Destination, write_file, write_golden, write_manifest


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
    # A token of a large model takes a tenth of a second, and there are several forms to compare.
    varied = [] if model.large else texts.varied()
    every = golden + varied + texts.special(model.model.tokenizer.all_special_tokens)
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
            graph = kind(model)
            if model.precision != "fp32":
                precisions.narrow(graph.transformer, model.dtype)
            traced = packed.trace(graph, sample.ids)
            # A few texts are enough to see that an architecture ignores the attention interface.
            few = slice(0, 12)
            gate.compare(model, traced, kind.layout, sample.ids[few], sample.vectors[few], model.precision)
            return graph, traced, kind.layout, "; ".join(reasons)
        except ExportError as error:
            reasons.append(str(error))
        except Exception as error:  # whatever an architecture does that cannot be traced so
            reasons.append(f"{type(error).__name__}: {reason(error)}")
    raise ExportError(f"{reasons[0]}; and padded: {reasons[1]}")


def _versions() -> dict[str, str]:
    names = ("citadel_embed", "torch", "transformers", "sentence_transformers", "tokenizers")
    return {name: importlib.metadata.version(name) for name in names}


def _manifest(model: source.Source, layout: str, forms: list[Form], dim: int, files: dict) -> dict:
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
        "precision": forms[0].precision,
        "tokenizer": "tokenizer.json",
        "golden": {"texts": "golden.json", "vectors": "golden.safetensors"},
        "artifacts": [form.artifact() for form in forms],
        "exported_with": _versions(),
        "files": files,
    }


@dataclass
class Form:
    """One way to compute the model, and how near it comes to the reference."""

    form: str
    precision: str
    members: dict
    agreement: gate.Agreement

    def artifact(self) -> dict:
        return {
            "form": self.form,
            "precision": self.precision,
            "device": "cuda" if self.precision == "fp16" else "cpu",
            **self.members,
            "torch": torch.__version__.split("+")[0],
            "max_abs_error": self.agreement.max_abs_error,
            "min_cosine": self.agreement.min_cosine,
        }


class Writer:
    """Writes the forms of one model into ``folder``; none is kept that does not agree."""

    def __init__(self, model: source.Source, layout: str, sample: Sample, folder: Path) -> None:
        self.model, self.layout, self.sample, self.folder = model, layout, sample, folder
        self.forms: list[Form] = []
        self.files: dict = {}

    def _keep(self, form: str, precision: str, members: dict, files: dict, graph) -> None:
        ids, vectors = self.sample.ids, self.sample.vectors
        agreement = gate.compare(self.model, graph, self.layout, ids, vectors, precision)
        self.forms.append(Form(form, precision, members, agreement))
        self.files |= files

    def _take_as_reference(self, recovery) -> None:
        """Of a model that is 16-bit at its source: the same weights with fp32 between them.

        What sentence-transformers gives has the rounding of every step in it; the vectors must be near
        that, but a form is better compared with what the weights say.
        """
        sample = self.sample
        vectors = packed.run(recovery, self.layout, sample.ids, gate.BATCH_SIZES[0])
        vectors = gate.normalized(vectors) if self.model.normalize else vectors
        gate.agree(self.layout, vectors, sample.vectors, self.model.precision)
        sample.vectors = vectors

    def torchscript(self, graph, traced, precision: str) -> None:
        names = {"graph": f"graph.{precision}.pt", "weights": f"weights.{precision}.safetensors"}
        paths = {member: self.folder / name for member, name in names.items()}
        files = torchscript.write_weights(traced, paths["weights"])
        files |= torchscript.write_graph(traced, paths["graph"])
        if precision != "fp32":
            names["recovery"] = f"graph.{precision}.recovery.pt"
            with precisions.wide(graph):
                recovery = packed.trace(graph, self.sample.ids)
            files |= torchscript.write_graph(recovery, self.folder / names["recovery"])
            if precision == self.model.precision:
                self._take_as_reference(torchscript.read(self.folder / names["recovery"], paths["weights"]))
        read_back = torchscript.read(paths["graph"], paths["weights"])
        self._keep("torchscript", precision, names, files, read_back)

    def compiled(self, graph, precision: str, isa: str) -> None:
        """After the TorchScript form, whose weights and recovery graph it shares."""
        if self.layout != "packed":
            raise ExportError(f"a graph of layout {self.layout} is not compiled")
        base = next(form.members for form in self.forms if form.precision == precision)
        weights = torchscript.state(graph)
        size = sum(tensor.nbytes for tensor in weights.values())
        made = compiled.write(graph, self.sample.ids, size, self.folder, f"graph.{precision}", isa)
        members = {
            **base,
            "graph": made.graph,
            "externs": made.externs,
            "tensors_inside": made.tensors_inside,
            "isa": made.isa,
        }
        self._keep("compiled", precision, members, made.files, compiled.Runner(self.folder, made, weights))

    def discard_unlisted(self) -> None:
        """What a form that failed has left."""
        for path in self.folder.iterdir():
            if path.name.startswith(("graph.", "weights.")) and path.name not in self.files:
                path.unlink()


def _write_forms(writer: Writer, graph, traced, arguments, progress) -> None:
    """The base form first, which must succeed; the others are left out with a word if they do not."""
    base = writer.model.precision
    writer.torchscript(graph, traced, base)
    progress.phase(f"torchscript {base}: {writer.forms[-1].agreement}")
    for precision in [base, *arguments.precision]:
        if precision != base:
            precisions.narrow(graph.transformer, source.DTYPES[precision])
            _attempt(
                progress,
                f"torchscript {precision}",
                writer,
                lambda p=precision: writer.torchscript(graph, packed.trace(graph, writer.sample.ids), p),
            )
        if arguments.compile and precision != "fp16":
            _attempt(
                progress,
                f"compiled {precision}",
                writer,
                lambda p=precision: writer.compiled(graph, p, compiled.level(arguments.isa)),
            )
    writer.discard_unlisted()


def _attempt(progress, what: str, writer: Writer, write) -> None:
    try:
        write()
        progress.phase(f"{what}: {writer.forms[-1].agreement}")
    except OSError:
        raise
    except Exception as error:  # whatever torch does not like of a graph
        why = str(error) if isinstance(error, ExportError) else f"{type(error).__name__}: {reason(error)}"
        progress.warn(f"goes on without the form {what}: {why}")


def export(arguments, progress) -> str:
    """Export as the command line says; returns the line that sums it up."""
    destination = Destination(arguments.dest, arguments.force)
    choices = source.Choices(arguments.dtype, arguments.plain_text, arguments.pooling, arguments.max_tokens)
    model = source.load(arguments.source, arguments.name or destination.path.name, choices)
    if model.precision != "fp32" and arguments.precision:
        raise ExportError(f"the weights are {model.precision}: --precision needs them in fp32 (--dtype fp32)")
    progress.phase(f"loaded {type(model.transformer).__name__} from '{arguments.source}'")

    with destination as folder:
        tokenizer = write_file(folder / "tokenizer.json", model.tokenizer_json.encode())
        sample = _sample(model, folder / "tokenizer.json")
        dim = sample.vectors.shape[1]
        # The small vocabulary of a test model need not tell scripts apart, a real one does.
        alike = gate.median_cosine(sample.vectors[: sample.golden])
        if alike > gate.ALIKE:
            progress.warn(f"texts look alike to this model, median cosine {alike:.3f}")
        progress.phase(f"ids and reference vectors of {len(sample.texts)} texts")

        graph, traced, layout, why = _traced(model, sample)
        progress.phase(f"traced, layout {layout}" + (f" because: {why}" if why else ""))

        writer = Writer(model, layout, sample, folder)
        _write_forms(writer, graph, traced, arguments, progress)
        files = {"tokenizer.json": tokenizer, **writer.files}
        files |= write_golden(folder, sample.texts, sample.ids, sample.vectors, sample.golden)
        write_manifest(folder, _manifest(model, layout, writer.forms, dim, files))
        destination.publish()
        progress.phase(f"published '{destination.path}'")

    size = sum(entry["bytes"] for entry in files.values()) / 1e6
    return (
        f"{destination.path}: {dim} dimensions, {model.max_tokens} tokens, {model.pooling} pooling, "
        f"{layout}, {size:.1f} MB, {', '.join(f'{f.form} {f.precision}' for f in writer.forms)}, "
        f"{writer.forms[0].agreement}, {progress.seconds:.1f} s"
    )
