"""Folders of models with their true configurations and seeded random weights, to compare forms on.

The shapes, files, names of tensors, prompts and settings are those of the published models; the weights are
not. What they are drawn from stands in ``Gains``: random weights of the usual size give every text the same
vector, to which no comparison could object. The same NAME gives the same bytes every time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "python"))

import tokenizer_zoo

SHARD_BYTES = 5 * 10**9  # transformers' limit when these models were published


# ---- Weights ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gains:
    """Standard deviations; those of a matrix are divided by the square root of its inputs.

    Found by experiment. Biases and the GELU add the same to every text in each layer, attention adds what
    differs: larger ``bias``, ``up`` and ``down`` make all texts alike, a larger ``query_key`` makes rounding
    grow. The median cosine of different texts is 0.69 (e5), 0.73 (bge) and 0.0 (Phi-3); in bfloat16 every
    vector keeps a cosine of 0.9998 with its float32.
    """

    words: float = 1.0
    positions: float = 0.5
    query_key: float = 1.0
    value: float = 2.0
    output: float = 0.5
    up: float = 1.0
    down: float = 0.5
    bias: float = 0.1


GAINS = Gains()


@dataclass(frozen=True)
class Tensor:
    """A weight that is drawn when it is written. ``std`` is one number, or one for each part of the rows."""

    shape: tuple[int, ...]
    std: tuple[float, ...] = (1.0,)
    mean: float = 0.0

    def draw(self, name: str) -> np.ndarray:
        generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
        values = generator.standard_normal(self.shape, dtype=np.float32)
        for part, std in zip(np.split(values, len(self.std)), self.std, strict=True):
            part *= std
        values += self.mean
        return values


def matrix(outputs: int, inputs: int, *gains: float) -> Tensor:
    """A linear layer; with several gains its rows are several layers stacked."""
    return Tensor((outputs, inputs), tuple(gain / inputs**0.5 for gain in gains))


def norm(width: int) -> Tensor:
    return Tensor((width,), (0.2,), mean=1.0)


def bert_weights(config: dict, gains: Gains = GAINS) -> dict[str, Tensor]:
    width, inner = config["hidden_size"], config["intermediate_size"]
    weights = {
        "embeddings.word_embeddings.weight": Tensor((config["vocab_size"], width), (gains.words,)),
        "embeddings.position_embeddings.weight": Tensor(
            (config["max_position_embeddings"], width), (gains.positions,)
        ),
        "embeddings.token_type_embeddings.weight": Tensor((config["type_vocab_size"], width), (gains.bias,)),
        "embeddings.LayerNorm.weight": norm(width),
        "embeddings.LayerNorm.bias": Tensor((width,), (gains.bias,)),
    }
    for layer in range(config["num_hidden_layers"]):
        linears = {
            "attention.self.query": (width, width, gains.query_key),
            "attention.self.key": (width, width, gains.query_key),
            "attention.self.value": (width, width, gains.value),
            "attention.output.dense": (width, width, gains.output),
            "intermediate.dense": (inner, width, gains.up),
            "output.dense": (width, inner, gains.down),
        }
        for name, (outputs, inputs, gain) in linears.items():
            weights[f"encoder.layer.{layer}.{name}.weight"] = matrix(outputs, inputs, gain)
            weights[f"encoder.layer.{layer}.{name}.bias"] = Tensor((outputs,), (gains.bias,))
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            weights[f"encoder.layer.{layer}.{name}.weight"] = norm(width)
            weights[f"encoder.layer.{layer}.{name}.bias"] = Tensor((width,), (gains.bias,))
    weights["pooler.dense.weight"] = matrix(width, width, 1.0)
    weights["pooler.dense.bias"] = Tensor((width,), (gains.bias,))
    return weights


def phi3_weights(config: dict, gains: Gains = GAINS) -> dict[str, Tensor]:
    width, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    weights = {"model.embed_tokens.weight": Tensor((vocabulary, width), (gains.words,))}
    for layer in range(config["num_hidden_layers"]):
        start = f"model.layers.{layer}"
        qkv = (gains.query_key, gains.query_key, gains.value)
        weights |= {
            f"{start}.input_layernorm.weight": norm(width),
            f"{start}.self_attn.qkv_proj.weight": matrix(3 * width, width, *qkv),
            f"{start}.self_attn.o_proj.weight": matrix(width, width, gains.output),
            f"{start}.post_attention_layernorm.weight": norm(width),
            f"{start}.mlp.gate_up_proj.weight": matrix(2 * inner, width, gains.up),
            f"{start}.mlp.down_proj.weight": matrix(width, inner, gains.down),
        }
    weights["model.norm.weight"] = norm(width)
    weights["lm_head.weight"] = matrix(vocabulary, width, 1.0)
    return weights


# ---- Files -----------------------------------------------------------------------------------

DTYPES = {"float32": ("F32", torch.float32, 4), "bfloat16": ("BF16", torch.bfloat16, 2)}


def write_json(path: Path, content: dict | list) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def size(tensor: Tensor, dtype: str) -> int:
    return int(np.prod(tensor.shape)) * DTYPES[dtype][2]


def write_safetensors(path: Path, weights: dict[str, Tensor], dtype: str) -> Iterator[int]:
    """One tensor in memory at a time; gives the bytes written of each."""
    kind, torch_dtype, _ = DTYPES[dtype]
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in weights.items():
        end = offset + size(tensor, dtype)
        header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in weights.items():
            values = torch.from_numpy(tensor.draw(name)).to(torch_dtype).reshape(-1)
            yield file.write(values.view(torch.uint8).numpy())


def shards(weights: dict[str, Tensor], dtype: str) -> list[dict[str, Tensor]]:
    """The weights in their order, cut where a file would grow beyond SHARD_BYTES."""
    parts, filled = [{}], 0
    for name, tensor in weights.items():
        if filled + size(tensor, dtype) > SHARD_BYTES:
            parts.append({})
            filled = 0
        parts[-1][name] = tensor
        filled += size(tensor, dtype)
    return parts


def write_weights(folder: Path, weights: dict[str, Tensor], dtype: str, sharded: bool) -> Iterator[int]:
    if not sharded:
        yield from write_safetensors(folder / "model.safetensors", weights, dtype)
        return
    parts = shards(weights, dtype)
    places = {}
    for number, part in enumerate(parts, start=1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        places |= dict.fromkeys(part, file)
        yield from write_safetensors(folder / file, part, dtype)
    total = sum(size(tensor, dtype) for tensor in weights.values())
    write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))},
    )


def write_modules(folder: Path, width: int, pooling: str) -> None:
    """Transformer, Pooling, Normalize."""
    names = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(names.items())
    ]
    write_json(folder / "modules.json", modules)
    modes = (
        "cls_token",
        "mean_tokens",
        "max_tokens",
        "mean_sqrt_len_tokens",
        "weightedmean_tokens",
        "lasttoken",
    )
    chosen = {f"pooling_mode_{mode}": mode == pooling for mode in modes}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **chosen})


# ---- Tokenizers ------------------------------------------------------------------------------

BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
PHI3_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
    "unk_token": "<unk>",
}
PHI3_CHAT = (
    "{% for message in messages %}{{'<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)


def write_bert_tokenizer(folder: Path) -> None:
    """bert-base-uncased's, which e5 and bge share."""
    shutil.copy(tokenizer_zoo.path("bge"), folder / "tokenizer.json")
    shutil.copy(tokenizer_zoo.minilm_folder() / "vocab.txt", folder / "vocab.txt")
    settings = {
        "clean_up_tokenization_spaces": True,
        "do_basic_tokenize": True,
        "do_lower_case": True,
        "model_max_length": 512,
        "never_split": None,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer",
    }
    write_json(folder / "tokenizer_config.json", {**settings, **BERT_TOKENS})
    write_json(folder / "special_tokens_map.json", BERT_TOKENS)


def write_phi3_tokenizer(folder: Path) -> None:
    """Its published settings, on a vocabulary of our own that has the same size and special tokens."""
    path = tokenizer_zoo.path("phi3")
    shutil.copy(path, folder / "tokenizer.json")
    tokens = json.loads(path.read_text(encoding="utf-8"))["added_tokens"]
    settings = {
        "add_bos_token": False,
        "add_eos_token": False,
        "added_tokens_decoder": {str(token.pop("id")): token for token in tokens},
        "chat_template": PHI3_CHAT,
        "clean_up_tokenization_spaces": False,
        "legacy": False,
        "model_max_length": 4096,
        "padding_side": "left",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "use_default_system_prompt": False,
    }
    write_json(folder / "tokenizer_config.json", {**settings, **PHI3_TOKENS})
    write_json(folder / "special_tokens_map.json", PHI3_TOKENS)


# ---- Models ----------------------------------------------------------------------------------


def bert_config(width: int) -> dict:
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": None,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": width,
        "initializer_range": 0.02,
        "intermediate_size": 4 * width,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "torch_dtype": "float32",
        "transformers_version": "4.30.0",
        "type_vocab_size": 2,
        "use_cache": True,
        "vocab_size": 30522,
    }


PHI3_CONFIG = {
    "architectures": ["Phi3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "embd_pdrop": 0.0,
    "eos_token_id": 32000,
    "hidden_act": "silu",
    "hidden_size": 3072,
    "initializer_range": 0.02,
    "intermediate_size": 8192,
    "max_position_embeddings": 4096,
    "model_type": "phi3",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "original_max_position_embeddings": 4096,
    "pad_token_id": 32000,
    "resid_pdrop": 0.0,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "sliding_window": 2047,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.2",
    "use_cache": True,
    "vocab_size": 32064,
}

# With its chat template, sentence-transformers would take every text for a conversation.
PLAIN_TEXT = {
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}


@dataclass(frozen=True)
class Yardstick:
    """One model: what its files say, and what its weights are drawn from."""

    config: dict
    pooling: str
    settings: dict  # sentence_bert_config.json
    prompts: dict[str, str]
    weights: Callable[[dict], dict[str, Tensor]]
    write_tokenizer: Callable[[Path], None]

    @property
    def sharded(self) -> bool:
        return self.config["model_type"] == "phi3"


def bert(width: int, pooling: str, prompts: dict[str, str]) -> Yardstick:
    settings = {"max_seq_length": 512, "do_lower_case": False}
    return Yardstick(bert_config(width), pooling, settings, prompts, bert_weights, write_bert_tokenizer)


def phi3(layers: int, max_tokens: int) -> Yardstick:
    settings = {"max_seq_length": max_tokens, "do_lower_case": False, **PLAIN_TEXT}
    config = {**PHI3_CONFIG, "num_hidden_layers": layers}
    return Yardstick(config, "lasttoken", settings, {}, phi3_weights, write_phi3_tokenizer)


# A limit of 4096 is possible; each text that reaches it costs 30 TFLOP with all layers.
BGE_QUERY = "Represent this sentence for searching relevant passages: "
YARDSTICKS = {
    "e5-small-v2": bert(384, "mean_tokens", {"query": "query: ", "passage": "passage: "}),
    "bge-base-en-v1.5": bert(768, "cls_token", {"query": BGE_QUERY}),
    "phi-3-mini-2l": phi3(2, 128),
    "phi-3-mini-4k-instruct": phi3(32, 512),
}


def make(folder: Path, yardstick: Yardstick) -> Iterator[float]:
    """Write ``folder``, which appears when it is whole; gives the share that is written."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    config, tensors = yardstick.config, yardstick.weights(yardstick.config)
    write_json(new / "config.json", config)
    write_json(new / "sentence_bert_config.json", yardstick.settings)
    write_json(new / "config_sentence_transformers.json", {"prompts": yardstick.prompts})
    write_modules(new, config["hidden_size"], yardstick.pooling)
    yardstick.write_tokenizer(new)
    total = sum(size(tensor, config["torch_dtype"]) for tensor in tensors.values())
    written = shown = 0
    for count in write_weights(new, tensors, config["torch_dtype"], yardstick.sharded):
        written += count
        if 100 * (written - shown) >= total or written == total:
            shown = written
            yield written / total
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Make folders of the yardstick models: true configurations, seeded random weights.",
        epilog="names: " + ", ".join(YARDSTICKS) + "; by default all but the last, which takes 7.6 GB",
    )
    parser.add_argument("dest", type=Path, help="directory in which the folders are made")
    parser.add_argument("names", nargs="*", metavar="NAME", help="models to make")
    parser.add_argument("--layers", type=int, help="number of layers instead of the model's own")
    given = parser.parse_intermixed_args()
    given.names = given.names or list(YARDSTICKS)[:-1]
    if given.layers is not None and given.layers < 1:
        parser.error(f"--layers is {given.layers}, expected at least 1")
    for name in given.names:
        if name not in YARDSTICKS:
            parser.error(f"unknown model '{name}', expected some of: {', '.join(YARDSTICKS)}")
    return given


def main() -> None:
    given = arguments()
    for name in given.names:
        yardstick = YARDSTICKS[name]
        if given.layers is not None:
            config = {**yardstick.config, "num_hidden_layers": given.layers}
            yardstick = dataclasses.replace(yardstick, config=config)
        start = time.monotonic()

        for share in make(given.dest / name, yardstick):
            line = f"\r{name}: {share:4.0%}, {time.monotonic() - start:.0f} s"
            print(line, end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        print(given.dest / name, flush=True)


if __name__ == "__main__":
    main()
