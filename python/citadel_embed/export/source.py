"""The model to export, as sentence-transformers loads it, and what of it the pack can express."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from . import ExportError

# Modules that may follow the Transformer: each maps one vector to one vector, or tokens to one vector.
KNOWN_MODULES = {"Pooling", "Dense", "LayerNorm", "Dropout", "Normalize"}


@dataclass
class Source:
    """A loaded model and the facts about it that go into the manifest."""

    model: SentenceTransformer
    name: str
    max_tokens: int
    vocab_size: int
    normalize: bool
    pooling: str
    tokenizer_json: str

    @property
    def transformer(self):
        return self.model[0].auto_model

    @property
    def inner_modules(self) -> list[torch.nn.Module]:
        """What follows the Transformer inside the graph: all but a final Normalize."""
        modules = list(self.model)[1:]
        return modules[:-1] if self.normalize else modules

    def ids(self, text: str) -> list[int]:
        """Token ids as sentence-transformers feeds them to the model."""
        return self.model.preprocess([text])["input_ids"][0].tolist()

    def encode(self, texts: list[str]) -> np.ndarray:
        """The reference: vectors of ``texts`` without a prompt."""
        with torch.inference_mode():
            return self.model.encode(
                texts, prompt="", batch_size=8, convert_to_numpy=True, show_progress_bar=False
            ).astype(np.float32)


def _load(source: str) -> SentenceTransformer:
    try:
        model = SentenceTransformer(
            source, device="cpu", model_kwargs={"dtype": torch.float32}, trust_remote_code=False
        )
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"cannot load '{source}': {reason[0]}") from error
    return model.eval()


def _check_modules(model: SentenceTransformer) -> None:
    first, *rest = model
    if type(first).__name__ != "Transformer":
        raise ExportError(f"the first module is {type(first).__name__}, expected Transformer")
    task = getattr(first, "transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise ExportError(f"the Transformer's task is '{task}', expected feature-extraction")
    if not rest or type(rest[0]).__name__ != "Pooling":
        found = type(rest[0]).__name__ if rest else "nothing"
        raise ExportError(f"the Transformer is followed by {found}, expected Pooling")
    for module in rest[1:]:
        if type(module).__name__ not in KNOWN_MODULES - {"Pooling"}:
            raise ExportError(f"module {type(module).__name__} is not supported")
    if not rest[0].include_prompt:
        raise ExportError("Pooling with include_prompt=False is not supported")


def _pooling_name(pooling) -> str:
    mode = pooling.pooling_mode
    return mode if isinstance(mode, str) else "+".join(mode)


def _tokenizer_json(model: SentenceTransformer) -> str:
    """The tokenizer that is really used, without the limits that the library sets itself."""
    tokenizer = model.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ExportError(f"{type(tokenizer).__name__} has no fast tokenizer (tokenizer.json)")
    content = json.loads(backend.to_str())
    content["truncation"] = content["padding"] = None
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _max_tokens(model: SentenceTransformer) -> int:
    """The limit that encode() applies, read off what it does and not off one of the files that name it."""
    text = "a b c d " * 64
    while True:
        count = model.preprocess([text])["input_ids"].shape[1]
        if count < len(text) // 2:
            break
        if count > 1 << 20:
            raise ExportError("the model sets no limit of tokens (max_seq_length)")
        text *= 4
    positions = getattr(model[0].auto_model.config, "max_position_embeddings", None)
    if positions and count > positions:
        raise ExportError(
            f"max_seq_length is {count}, but the model has {positions} positions: lower it in "
            "sentence_bert_config.json"
        )
    return count


def load(source: str, name: str | None) -> Source:
    """Load ``source`` (a folder, or a hub id where there is a network) and check what it is made of."""
    with contextlib.redirect_stdout(None):
        model = _load(source)
    _check_modules(model)
    if name is None:
        path = Path(source)
        name = path.resolve().name if path.exists() else source.rsplit("/", 1)[-1]
    modules = list(model)
    return Source(
        model=model,
        name=name,
        max_tokens=_max_tokens(model),
        vocab_size=model[0].auto_model.get_input_embeddings().weight.shape[0],
        normalize=type(modules[-1]).__name__ == "Normalize",
        pooling=_pooling_name(modules[1]),
        tokenizer_json=_tokenizer_json(model),
    )
