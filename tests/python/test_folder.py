"""Folders of Hugging Face, loaded as they are: vectors are those of sentence-transformers.

Small models of every family with random weights, and the genuine MiniLM. The limits are those of the packs:
in fp32 1e-5 for each element, in bf16 a cosine of 0.9999 to the vectors in fp32.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize
from tokenizers import normalizers, pre_tokenizers, processors

import citadel_embed
import model_zoo as zoo
import tokenizer_zoo
from citadel_embed.export.texts import SENTENCES

TEXTS = [
    *SENTENCES,
    "",
    " ",
    "a",
    "[SEP] <s> </s> [MASK]",
    "x" * 150,
    " ".join(SENTENCES),
    *(" ".join(["fox"] * n) for n in (1, 5, 6, 7, 9, 10, 11, 30, 31, 32, 33, 61, 62, 63, 64, 65)),
]


# ---- Tokenizers of the classes that transformers builds itself ---------------------------------


def roberta_tokenizer() -> tokenizers.Tokenizer:
    """As RobertaTokenizer makes it."""
    made = zoo.byte_level()
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    return made


def xlm_roberta_tokenizer() -> tokenizers.Tokenizer:
    """As XLMRobertaTokenizer makes it: words end at any white space."""
    made = zoo.unigram()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    return made


def llama_tokenizer() -> tokenizers.Tokenizer:
    """As LlamaTokenizer makes it."""
    made = zoo.llama_bpe()
    made.normalizer = None
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return made


def qwen2_tokenizer() -> tokenizers.Tokenizer:
    """As Qwen2Tokenizer makes it, with one token behind each text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = {token: number for number, token in enumerate([*alphabet, "<|endoftext|>"])}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(tokens, []))
    made.normalizer = normalizers.NFC()
    pattern = transformers.models.qwen2.tokenization_qwen2.PRETOKENIZE_REGEX
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.add_special_tokens(["<|endoftext|>"])
    made.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", tokens["<|endoftext|>"])]
    )
    return made


# ---- Folders -----------------------------------------------------------------------------------


def write(folder: Path, config, *modules, settings: dict | None = None, **more) -> Path:
    """``settings`` take the place of tokenizer_config.json."""
    zoo.write(folder, config, *(modules or (zoo.pooling(), Normalize())), **more)
    if settings is not None:
        zoo.write_json(folder / "tokenizer_config.json", settings)
    return folder


def classed(name: str, **settings) -> dict:
    return {"tokenizer_class": name, **settings}


def phi3(**changes) -> transformers.PretrainedConfig:
    return transformers.Phi3Config(**{**zoo._DECODER, **changes})


def qwen2(**changes) -> transformers.PretrainedConfig:
    return transformers.Qwen2Config(**{**zoo._DECODER, **changes})


def longrope(**changes) -> transformers.PretrainedConfig:
    """From the 33rd token on the frequencies are others."""
    scaling = {
        "rope_type": "longrope",
        "short_factor": [1.0, 1.25, 1.5, 2.0],
        "long_factor": [1.0, 2.0, 4.0, 8.5],
    }
    own = {"original_max_position_embeddings": 32, "rope_parameters": {**scaling, **changes}}
    return phi3(sliding_window=20, **own)


def llama3() -> transformers.PretrainedConfig:
    scaling = {
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    return zoo.llama(rope_parameters={**scaling, "rope_theta": 100.0}, max_position_embeddings=128)


def in_shards(folder: Path) -> Path:
    model = transformers.AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="30KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert (folder / "model.safetensors.index.json").exists()
    return folder


def with_head(folder: Path, kind) -> Path:
    """The checkpoint of a task's model, whose encoder has its names behind a prefix."""
    base = transformers.AutoModel.from_pretrained(folder)
    made = kind.from_config(transformers.AutoConfig.from_pretrained(folder))
    getattr(made, made.base_model_prefix).load_state_dict(base.state_dict(), strict=False)
    made.save_pretrained(folder)
    return folder


def saved_again(folder: Path) -> Path:
    """As today's sentence-transformers writes it."""
    model = SentenceTransformer(str(folder), device="cpu")
    again = folder.with_name(f"{folder.name} again")
    model.save(str(again))
    return again


def minilm(folder: Path) -> Path:
    return Path(shutil.copytree(tokenizer_zoo.minilm_folder(), folder))


DECODER = {"tokenizer": zoo.wordpiece(specials=False)}
LAST = (zoo.pooling("lasttoken"), Normalize())
BERT_SETTINGS = classed("BertTokenizer", do_lower_case=True, model_max_length=512)
QWEN2 = {"tokenizer": qwen2_tokenizer(), "settings": classed("Qwen2Tokenizer")}

FOLDERS: dict[str, Callable[[Path], Path]] = {
    "MiniLM": minilm,
    "BERT": lambda folder: write(folder, zoo.bert(), settings=BERT_SETTINGS),
    "BERT, cased": lambda folder: write(
        folder,
        zoo.bert(),
        tokenizer=zoo.wordpiece(lowercase=False),
        settings=classed("BertTokenizerFast", do_lower_case=False),
    ),
    "BERT, tanh": lambda folder: write(folder, zoo.bert(hidden_act="gelu_new", layer_norm_eps=1e-5)),
    "BERT in shards": lambda folder: in_shards(write(folder, zoo.bert())),
    "BERT of bf16": lambda folder: write(
        folder, zoo.bert(), zoo.pooling(), zoo.dense(zoo.HIDDEN, 20), dtype=torch.bfloat16
    ),
    "BERT of fp16": lambda folder: write(folder, zoo.bert(), dtype=torch.float16),
    "BERT with a head": lambda folder: with_head(
        write(folder, zoo.bert()), transformers.AutoModelForMaskedLM
    ),
    "BERT saved again": lambda folder: saved_again(
        write(folder, zoo.bert(), zoo.pooling(("mean", "max")), zoo.dense(2 * zoo.HIDDEN, 20), Normalize())
    ),
    "BERT of transformers alone": lambda folder: zoo.write_transformers(folder, zoo.bert(), max_length=40),
    "six poolings": zoo.ZOO["six modes"].write,
    "two Dense": lambda folder: write(
        folder,
        zoo.bert(),
        zoo.pooling("cls"),
        zoo.dense(zoo.HIDDEN, 48, torch.nn.Tanh()),
        zoo.dense(48, 24, torch.nn.ReLU(), bias=False),
        Normalize(),
    ),
    "Dense GELU": zoo.ZOO["Dense GELU"].write,
    "Dense Sigmoid": zoo.ZOO["Dense Sigmoid"].write,
    "prompts": zoo.ZOO["prompts"].write,
    "DistilBERT": lambda folder: write(folder, zoo.distilbert(), settings=classed("DistilBertTokenizer")),
    "DistilBERT with a head": lambda folder: with_head(
        write(folder, zoo.distilbert()), transformers.AutoModelForMaskedLM
    ),
    "RoBERTa": lambda folder: write(
        folder,
        zoo.roberta(pad_token_id=1),
        tokenizer=roberta_tokenizer(),
        settings=classed("RobertaTokenizer"),
    ),
    "RoBERTa with a head": lambda folder: with_head(
        write(folder, zoo.roberta()), transformers.AutoModelForMaskedLM
    ),
    "XLM-R": lambda folder: write(
        folder,
        zoo.xlm_roberta(),
        tokenizer=xlm_roberta_tokenizer(),
        settings=classed("XLMRobertaTokenizer"),
    ),
    "Llama": lambda folder: write(folder, zoo.llama(), *LAST, **DECODER),
    "Llama, all in shards": lambda folder: in_shards(write(folder, zoo.llama(), *LAST, **DECODER)),
    "Llama with a head": lambda folder: with_head(
        write(folder, zoo.llama(), *LAST, **DECODER), transformers.AutoModelForCausalLM
    ),
    "Llama, its own tokenizer": lambda folder: write(
        folder, zoo.llama(), *LAST, tokenizer=llama_tokenizer(), settings=classed("LlamaTokenizer")
    ),
    "Llama, one head of keys": zoo.ZOO["Llama, one head of keys"].write,
    "Llama, biases": lambda folder: write(
        folder, zoo.llama(attention_bias=True, mlp_bias=True), *LAST, **DECODER
    ),
    "Llama, wide heads": lambda folder: write(folder, zoo.llama(head_dim=12), *LAST, **DECODER),
    "Llama 3": lambda folder: write(folder, llama3(), *LAST, **DECODER),
    "Llama, linear": lambda folder: write(
        folder, zoo.llama(rope_parameters={"rope_type": "linear", "factor": 2.5}), *LAST, **DECODER
    ),
    "Mistral": lambda folder: write(folder, zoo.mistral(), zoo.pooling("weightedmean"), **DECODER),
    "Mistral without a window": lambda folder: write(
        folder, zoo.mistral(sliding_window=None), *LAST, **DECODER
    ),
    "Qwen2": lambda folder: write(folder, qwen2(), *LAST, **QWEN2),
    "Qwen2, add_bos_token": lambda folder: write(
        folder,
        qwen2(),
        *LAST,
        **{**QWEN2, "settings": classed("Qwen2Tokenizer", add_bos_token=False, add_eos_token=False)},
    ),
    "Qwen2, window": lambda folder: write(
        folder,
        qwen2(use_sliding_window=True, sliding_window=5, max_window_layers=1),
        *LAST,
        **QWEN2,
    ),
    "Qwen3": zoo.ZOO["Qwen3"].write,
    "Qwen3, biases": lambda folder: write(
        folder, zoo.qwen3(use_sliding_window=False, attention_bias=True), *LAST, **DECODER
    ),
    "Phi-3": lambda folder: write(folder, phi3(), *LAST, **DECODER),
    "Phi-3, window": lambda folder: write(folder, phi3(sliding_window=7), *LAST, **DECODER),
    "Phi-3, part of a head": lambda folder: write(folder, phi3(partial_rotary_factor=0.5), *LAST, **DECODER),
    "Phi-3, longrope": lambda folder: write(folder, longrope(), *LAST, **DECODER),
    "Phi-3, longrope with a factor": lambda folder: write(
        folder, longrope(attention_factor=1.5), *LAST, **DECODER
    ),
    "Phi-3 of bf16": lambda folder: write(folder, phi3(), *LAST, **DECODER, dtype=torch.bfloat16),
}

REFUSED = {
    "Dense SiLU": "activation_function is 'torch.nn.modules.activation.SiLU'",
    "Dense residual": "use_residual is true",
    "LayerNorm": "LayerNorm",
    "Normalize in the middle": "Normalize before others",
    "causal BERT": "is_decoder is true",
    "do_lower_case": "do_lower_case is true",
    "ALBERT": "model_type is 'albert'",
    "MPNet": "model_type is 'mpnet'",
    "T5": "model_type is 't5'",
    "DeBERTa": "model_type is 'deberta-v2'",
    "ModernBERT": "model_type is 'modernbert'",
    "Gemma 3": "model_type is 'gemma3_text'",
    "LFM2": "model_type is 'lfm2'",
}


# ---- What needs no backend ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine():
    with citadel_embed.Engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Callable[[str], Path]:
    """Each is made once."""
    made: dict[str, Path] = {}
    base = tmp_path_factory.mktemp("folders")

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = Path(FOLDERS[name](base / name.replace(",", "")))
        return made[name]

    return folder


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_has_four_forms(engine, folders, name):
    forms = [line.split(": ", 1)[1].split(" (")[0] for line in engine.model_forms(folders(name))]
    assert sorted(forms) == ["native bf16", "native fp32", "native int8", "native int8-accurate"]


@pytest.mark.parametrize("name", ["BERT of bf16", "Phi-3 of bf16"])
def test_a_checkpoint_of_bf16_is_computed_so(engine, folders, name):
    assert engine.model_forms(folders(name))[0].startswith("taken: native bf16")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_computed_is_refused_by_name(engine, tmp_path, name):
    zoo.ZOO[name].write(tmp_path)
    with pytest.raises(citadel_embed.CitadelError, match=r"python -m citadel_embed\.export") as caught:
        engine.model_forms(tmp_path)
    assert caught.value.status == "CITADEL_E_UNSUPPORTED"
    assert REFUSED[name] in str(caught.value)


def test_a_tokenizer_that_transformers_changes_is_refused(engine, tmp_path):
    """Its BertTokenizer takes do_lower_case from tokenizer_config.json."""
    write(tmp_path, zoo.bert(), settings=classed("BertTokenizer", do_lower_case=False))
    made = transformers.AutoTokenizer.from_pretrained(tmp_path)
    file = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert made("Fox")["input_ids"] != file.encode("Fox").ids
    with pytest.raises(citadel_embed.CitadelError, match="the normalizer is not the one that BertTokenizer"):
        engine.model_forms(tmp_path)


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_not_refused_transformers_does_not_change(folders, name):
    """The library reads tokenizer.json alone."""
    folder = folders(name)
    used = transformers.AutoTokenizer.from_pretrained(folder)
    file = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    file.no_truncation()
    file.no_padding()
    for text in TEXTS:
        assert used(text)["input_ids"] == file.encode(text).ids


def test_a_pickled_checkpoint_is_refused(engine, tmp_path):
    write(tmp_path, zoo.bert())
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(citadel_embed.CitadelError, match=r"pytorch_model\.bin are not read"):
        engine.model_forms(tmp_path)


# ---- Parity ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Reference:
    """Each text alone: a batch's padding and its longest text change nothing here."""

    folder: Path

    def __post_init__(self):
        self.model = SentenceTransformer(
            str(self.folder), device="cpu", model_kwargs={"dtype": torch.float32}
        )
        self.model.float()
        if self.model.tokenizer.pad_token is None:  # it asks for one even where nothing is padded
            self.model.tokenizer.pad_token = self.model.tokenizer.eos_token

    def encode(self, texts: list[str], **options) -> np.ndarray:
        return self.model.encode(texts, batch_size=1, show_progress_bar=False, **options)

    def texts(self) -> list[str]:
        """Without those of which no token is left, which transformers does not compute."""
        return [text for text in TEXTS if self.ids(text)]

    def ids(self, text: str) -> list[int]:
        return self.model.tokenizer(text, truncation=True, max_length=self.model.max_seq_length)["input_ids"]


@pytest.fixture(scope="module")
def native(engine, folders):
    """Skips where the library has no backend for folders."""
    try:
        engine.load(folders("BERT")).close()
    except citadel_embed.CitadelError as error:
        if error.status == "CITADEL_E_BACKEND" and "torch backend" in str(error):
            pytest.skip("this build has no native backend")
        raise
    return engine


def cosine(found: np.ndarray, expected: np.ndarray) -> float:
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((found * expected).sum(1) / norms).min())


@pytest.mark.parametrize("name", FOLDERS)
def test_vectors_are_those_of_sentence_transformers(native, folders, name):
    folder = folders(name)
    reference = Reference(folder)
    texts = reference.texts()
    expected = reference.encode(texts, prompt="")
    with native.load(folder, precision="fp32") as model:
        info = model.info()
        assert (info["form"], info["precision"]) == ("native", "fp32")
        assert info["dim"] == expected.shape[1]
        for text in texts:
            assert model.tokenize(text, prompt="") == reference.ids(text)
        found = model.embed(texts, prompt="")
        assert np.abs(found - expected).max() <= 1e-5
        assert cosine(found, expected) >= 0.99999
        alone = np.concatenate([model.embed([text], prompt="") for text in texts[:20]])
        assert np.abs(found[:20] - alone).max() <= 1e-6


@pytest.mark.parametrize("name", FOLDERS)
def test_vectors_in_bf16(native, folders, name):
    folder = folders(name)
    reference = Reference(folder)
    texts = reference.texts()
    expected = reference.encode(texts, prompt="")
    with native.load(folder, precision="bf16") as model:
        assert model.info()["precision"] == "bf16"
        # .9999 is for real widths: in a few dozen random elements rounding does not average out.
        assert cosine(model.embed(texts, prompt=""), expected) >= 0.998


def test_prompts_are_those_of_the_folder(native, folders):
    folder = folders("prompts")
    reference = Reference(folder)
    settings = json.loads((folder / "config_sentence_transformers.json").read_text())
    with native.load(folder, precision="fp32") as model:
        for prompt in settings["prompts"]:
            found = model.embed(TEXTS, prompt_name=prompt)
            assert np.abs(found - reference.encode(TEXTS, prompt_name=prompt)).max() <= 1e-5
        assert np.abs(model.embed(TEXTS) - reference.encode(TEXTS)).max() <= 1e-5


def test_changed_dense_weights_are_prepared_anew(folders, tmp_path):
    folder = Path(shutil.copytree(folders("two Dense"), tmp_path / "model"))
    found = []
    for _ in range(2):
        with (
            citadel_embed.Engine(prepared_path=tmp_path / "prepared") as engine,
            engine.load(folder) as model,
        ):
            found.append(model.embed(["a text"]))
        (file, *_) = sorted(folder.glob("*_Dense/model.safetensors"))
        data = bytearray(file.read_bytes())
        data[-4:] = np.float32(3).tobytes()
        file.write_bytes(data)
    assert not np.array_equal(*found)


def test_a_copy_has_the_same_identity(native, folders, tmp_path):
    folder = folders("BERT")
    copy = shutil.copytree(folder, tmp_path / folder.name)
    with native.load(folder) as one, native.load(copy) as other:
        assert one.info()["id"] == other.info()["id"]
