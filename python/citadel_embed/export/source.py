"""The model to export, as sentence-transformers loads it, and what of it the pack can express."""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import tokenizers
import torch
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedModel

from . import ExportError, reason, texts

# Modules that may follow the Transformer: each maps one vector to one vector, or tokens to one vector.
KNOWN_MODULES = {"Pooling", "Dense", "LayerNorm", "Dropout", "Normalize"}

# More tokens than any model takes: who cuts nowhere up to here has no limit.
NO_LIMIT = 1 << 20

# These choose frequencies by the longest text of a batch, once it has more tokens than this member says.
DYNAMIC_ROPE = {"dynamic": "max_position_embeddings", "longrope": "original_max_position_embeddings"}

# What a Transformer may be kept in.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# Parameters from which a model is not brought to float32, and not every comparison made.
LARGE = 1_000_000_000

# Of a batch with its padding: a decoder takes minutes for the longest text eight times over.
BATCH_TOKENS = 4096
BATCH_TEXTS = 8


@dataclass(frozen=True)
class Choices:
    """What the folder leaves open, or says otherwise than it is wanted."""

    dtype: str = "fp32"  # one of DTYPES, or "auto"
    plain_text: bool = False
    pooling: str | None = None
    max_tokens: int | None = None


@dataclass
class Source:
    """A loaded model and the facts about it that go into the manifest."""

    model: SentenceTransformer
    name: str
    dtype: torch.dtype  # as the Transformer was loaded: what becomes of it for other forms changes nothing
    max_tokens: int
    too_long: str  # a text that is cut at max_tokens
    vocab_size: int
    tokenizer_json: str

    @property
    def transformer(self):
        return self.model[0].auto_model

    @property
    def precision(self) -> str:
        """The name of ``dtype``."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)

    @property
    def large(self) -> bool:
        return sum(parameter.numel() for parameter in self.transformer.parameters()) > LARGE

    @property
    def pooling(self) -> str:
        mode = self.model[1].pooling_mode
        return mode if isinstance(mode, str) else "+".join(mode)

    @property
    def truncate_dim(self) -> int | None:
        return self.model.truncate_dim

    @property
    def normalize(self) -> bool:
        """Whether the library is to normalise; what is cut off after a Normalize must be cut in the graph."""
        return _is_normalize(self.model[-1]) and not self.truncate_dim

    @property
    def inner_modules(self) -> list[torch.nn.Module]:
        """What follows the Transformer inside the graph, in float32: all but a final Normalize."""
        modules = list(self.model)[1:]
        modules = modules[:-1] if self.normalize else modules
        if self.dtype == torch.float32:
            return modules
        # The reference goes on with its own, which sentence-transformers brought to the Transformer's dtype.
        return [copy.deepcopy(module).float() for module in modules]

    @property
    def prompts(self) -> dict[str, str]:
        return {name: text for name, text in self.model.prompts.items() if text is not None}

    @property
    def default_prompt(self) -> str | None:
        name = self.model.default_prompt_name
        return name if name in self.prompts else None

    def ids(self, text: str) -> list[int]:
        """Token ids as sentence-transformers feeds them to the model."""
        features = self.model.preprocess([text])
        if "token_type_ids" in features and features["token_type_ids"].any():
            raise ExportError("the tokenizer gives token_type_ids other than 0, which is not supported")
        return features["input_ids"][0].long().tolist()

    def encode(self, sentences: list[str]) -> np.ndarray:
        """The reference: vectors of ``sentences`` without a prompt, as float32 whatever they come as."""
        lengths = [len(self.ids(sentence)) for sentence in sentences]
        rows: list[np.ndarray | None] = [None] * len(sentences)
        for numbers in _batches(lengths):
            found = self._encode([sentences[i] for i in numbers])
            for i, vector in zip(numbers, found, strict=True):
                rows[i] = vector
        return np.stack(rows)

    def _encode(self, sentences: list[str]) -> np.ndarray:
        """One batch."""
        try:
            vectors = self.model.encode(
                sentences,
                prompt="",
                batch_size=len(sentences),
                convert_to_numpy=True,
                show_progress_bar=False,
            ).astype(np.float32)
        except Exception as error:
            raise ExportError(
                "sentence-transformers itself fails on texts of up to "
                f"{self.max_tokens} tokens: {reason(error)}"
            ) from error
        if not np.isfinite(vectors).all():
            raise ExportError("sentence-transformers itself gives NaN or infinity")
        return vectors


def _batches(lengths: list[int]) -> list[list[int]]:
    """Numbers of texts in batches, the longest first, within both limits; a longer text goes alone."""
    batches: list[list[int]] = []
    room = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not room:
            room = min(BATCH_TEXTS, max(1, BATCH_TOKENS // max(1, lengths[i])))
            batches.append([])
        batches[-1].append(i)
        room -= 1
    return batches


def _is_normalize(module: torch.nn.Module) -> bool:
    return (
        type(module).__name__ == "Normalize"
        and module.module_input_name == module.module_output_name == "sentence_embedding"
    )


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot read '{path}': {reason(error)}") from error
    return content if isinstance(content, dict) else {}


def _check_folder(folder: Path) -> None:
    """What sentence-transformers would take for something else than it is, and load all the same."""
    if not folder.is_dir():
        raise ExportError(f"'{folder}' is not a folder")
    if (folder / "citadel.json").exists():
        raise ExportError(f"'{folder}' is a model pack already")
    is_sentence_transformer = (folder / "modules.json").exists()
    if not is_sentence_transformer and not (folder / "config.json").exists():
        raise ExportError(f"'{folder}' has neither modules.json nor config.json: it is no model")
    settings = folder / "config_sentence_transformers.json"
    kind = _read_json(settings).get("model_type") if settings.exists() else None
    if kind not in (None, "SentenceTransformer"):
        raise ExportError(f"'{folder}' is a {kind}, expected a SentenceTransformer")
    if not is_sentence_transformer:
        classes = _read_json(folder / "config.json").get("architectures") or [""]
        if "Classification" in classes[0]:
            raise ExportError(f"'{folder}' is a {classes[0]}, which gives scores and no vectors")


def _check_source(source: str) -> None:
    """A folder is checked here; what does not exist must at least look like a hub id."""
    path = Path(source)
    if path.exists():
        _check_folder(path)
    elif source.startswith((".", "/", "~")) or source.count("/") > 1 or not source.strip():
        raise ExportError(f"'{source}' does not exist")


@contextlib.contextmanager
def _missing_weights():
    """Collects what transformers finds in no file and fills with random numbers, which it merely logs."""
    missing: set[str] = set()
    finalize = PreTrainedModel._finalize_model_loading

    def collecting(model, *arguments):
        info = finalize(model, *arguments)
        missing.update(info.missing_keys)
        return info

    with mock.patch.object(PreTrainedModel, "_finalize_model_loading", staticmethod(collecting)):
        yield missing


def _drop_pooler(transformer: torch.nn.Module) -> None:
    """Nothing after it reads the output of BERT's own pooler, and many checkpoints have no weights for it."""
    if "add_pooling_layer" in inspect.signature(type(transformer).__init__).parameters:
        transformer.pooler = None


def _load(source: str, dtype: torch.dtype) -> tuple[SentenceTransformer, set[str]]:
    """The model, and the weights that no file has."""
    try:
        with _missing_weights() as missing:
            model = SentenceTransformer(
                source, device="cpu", model_kwargs={"dtype": dtype}, trust_remote_code=False
            )
    except Exception as error:
        asked = "" if Path(source).exists() else "is no folder here, and "
        raise ExportError(f"'{source}' {asked}cannot be loaded: {reason(error)}") from error
    return model.eval(), missing


def _check_weights(missing: set[str]) -> None:
    names = sorted(name for name in missing if not name.startswith("pooler."))  # see _drop_pooler
    if names:
        raise ExportError(f"the checkpoint lacks {len(names)} weights, the first is '{names[0]}'")


def _pin_to_text(transformer) -> None:
    """As if modality_config in sentence_bert_config.json named text alone: no chat template."""
    text = {kind: how for kind, how in transformer.modality_config.items() if kind == "text"}
    transformer.modality_config = text
    transformer.input_formatter.supported_modalities = list(text)


def _check_transformer(module) -> None:
    if type(module).__name__ != "Transformer":
        raise ExportError(f"the first module is {type(module).__name__}, expected Transformer")
    if module.transformer_task != "feature-extraction":
        raise ExportError(
            f"the Transformer's task is '{module.transformer_task}', expected feature-extraction"
        )
    if "message" in module.modality_config:
        raise ExportError(
            "texts go through a chat template, which is not supported: --plain-text embeds them as they are"
        )
    method = module.modality_config.get("text", {})
    found = (method.get("method"), method.get("method_output_name"), module.module_output_name)
    if found != ("forward", "last_hidden_state", "token_embeddings"):
        raise ExportError(f"the Transformer gives {found[1]} of {found[0]}(), expected last_hidden_state")


def _check_dtype(transformer: torch.nn.Module, expected: torch.dtype) -> None:
    for name, tensor in transformer.named_parameters():
        if tensor.dtype != expected:
            raise ExportError(f"parameter '{name}' is {tensor.dtype}, expected {expected}")


def _check_experts(transformer: torch.nn.Module) -> None:
    """Tracing records only the experts that its texts visit."""
    for module in transformer.modules():
        kind = type(module).__name__
        if "Expert" in kind or "MoE" in kind:
            raise ExportError(f"a mixture of experts ({kind}) is not supported")


def _check_modules(model: SentenceTransformer) -> None:
    first, *rest = model
    _check_transformer(first)
    _check_experts(first.auto_model)
    if not rest or type(rest[0]).__name__ != "Pooling":
        found = type(rest[0]).__name__ if rest else "nothing"
        raise ExportError(f"the Transformer is followed by {found}, expected Pooling")
    for module in rest[1:]:
        if type(module).__name__ not in KNOWN_MODULES - {"Pooling"}:
            raise ExportError(f"module {type(module).__name__} is not supported")
    if not rest[0].include_prompt:
        raise ExportError("Pooling with include_prompt=False is not supported")


def _choose_pooling(model: SentenceTransformer, source: str, mode: str) -> None:
    """In place of the one that sentence-transformers takes where nobody has chosen."""
    if not Path(source).is_dir() or (Path(source) / "modules.json").exists():
        raise ExportError(f"--pooling is for a folder without modules.json, which '{source}' is not")
    pooling = model[1]
    model[1] = type(pooling)(pooling.embedding_dimension, mode)


def _choose_limit(model: SentenceTransformer, max_tokens: int) -> None:
    specials = model.tokenizer.num_special_tokens_to_add()
    if max_tokens <= specials:
        raise ExportError(
            f"--max-tokens is {max_tokens}, which leaves no room beside {specials} special tokens"
        )
    own = model.max_seq_length
    if own is not None and max_tokens > own:
        raise ExportError(f"--max-tokens is {max_tokens}, but the model's own limit is {own}")
    model.max_seq_length = max_tokens


def _check_activations(model: SentenceTransformer, source: str) -> None:
    """sentence-transformers replaces an activation function from elsewhere by tanh and merely logs it."""
    configs = Path(source).glob("*/config.json") if Path(source).is_dir() else ()
    for path in configs:
        wanted = _read_json(path).get("activation_function")
        if isinstance(wanted, str) and not wanted.startswith("torch."):
            raise ExportError(f"the activation function '{wanted}' is not one of torch")


def _tokenizer_json(model: SentenceTransformer) -> str:
    """The tokenizer that is really used, without the limits that the library sets itself."""
    tokenizer = model.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ExportError(f"{type(tokenizer).__name__} has no fast tokenizer (tokenizer.json)")
    if tokenizer.truncation_side != "right":
        raise ExportError(f"the tokenizer cuts texts on the {tokenizer.truncation_side}, expected right")
    content = json.loads(backend.to_str())
    content["truncation"] = content["padding"] = None
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _limit(model: SentenceTransformer, tokenizer_json: str) -> tuple[int, str]:
    """The limit that encode() applies, read off what it does as many files name one, and a text beyond it."""
    whole = tokenizers.Tokenizer.from_str(tokenizer_json)
    text = texts.long()
    while True:
        count = len(whole.encode(text).ids)
        used = model.preprocess([text])["input_ids"].shape[1]
        if used < count:
            return used, text
        if count > NO_LIMIT:
            raise ExportError(
                "the model sets no limit of tokens: --max-tokens does, or max_seq_length in "
                "sentence_bert_config.json"
            )
        if len(text) > 16 * NO_LIMIT:
            raise ExportError("the tokenizer finds no tokens in ordinary texts")
        text += "\n" + text


def _positions(transformer: torch.nn.Module) -> int | None:
    """Rows of a learned table of positions that a text can use; None without such a table."""
    embeddings = getattr(transformer, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    if not isinstance(table, torch.nn.Embedding):
        return None
    # RoBERTa and its kin begin behind the row of the padding.
    first = 0 if table.padding_idx is None else table.padding_idx + 1
    return table.num_embeddings - first


def _check_limit(transformer: torch.nn.Module, max_tokens: int) -> None:
    positions = _positions(transformer)
    if positions is not None and max_tokens > positions:
        raise ExportError(
            f"max_seq_length is {max_tokens}, but the model has {positions} positions: lower it with "
            "--max-tokens"
        )
    config = transformer.config
    rope = getattr(config, "rope_parameters", None) or {}
    for parameters in [rope, *(value for value in rope.values() if isinstance(value, dict))]:
        kind = parameters.get("rope_type")
        if kind not in DYNAMIC_ROPE:
            continue
        fixed = parameters.get(DYNAMIC_ROPE[kind]) or getattr(config, DYNAMIC_ROPE[kind], 0)
        if max_tokens > fixed:
            raise ExportError(
                f"'{kind}' position embeddings change with the longest text of a batch beyond "
                f"{fixed} tokens: lower the limit of {max_tokens} with --max-tokens"
            )


def _wanted_dtype(source: str, asked: str) -> torch.dtype:
    """What the Transformer is loaded in: "auto" is float32, but for a large checkpoint its own."""
    if asked != "auto":
        return DTYPES[asked]
    files = Path(source).glob("*.safetensors") if Path(source).is_dir() else ()
    size = sum(path.stat().st_size for path in files)
    if size <= 2 * LARGE:
        return torch.float32
    config = _read_json(Path(source) / "config.json")
    name = str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch.")
    own = getattr(torch, name, None)
    return own if own in DTYPES.values() else torch.float32


def load(source: str, name: str, choices: Choices = Choices()) -> Source:
    """Load ``source`` (a folder, or a hub id where there is a network) and check what it is made of.

    Weights that are not converted are not copied: they stay in the mapped files.
    """
    _check_source(source)
    wanted = _wanted_dtype(source, choices.dtype)
    with contextlib.redirect_stdout(None):
        model, missing = _load(source, wanted)
    if choices.plain_text and hasattr(model[0], "modality_config"):
        _pin_to_text(model[0])
    _check_modules(model)
    _check_dtype(model[0].auto_model, wanted)
    _check_weights(missing)
    _check_activations(model, source)
    _drop_pooler(model[0].auto_model)
    if choices.pooling:
        _choose_pooling(model, source, choices.pooling)
    tokenizer_json = _tokenizer_json(model)
    if choices.max_tokens:
        _choose_limit(model, choices.max_tokens)
    max_tokens, too_long = _limit(model, tokenizer_json)
    _check_limit(model[0].auto_model, max_tokens)
    return Source(
        model=model,
        name=name,
        dtype=wanted,
        max_tokens=max_tokens,
        too_long=too_long,
        vocab_size=model[0].auto_model.get_input_embeddings().weight.shape[0],
        tokenizer_json=tokenizer_json,
    )
