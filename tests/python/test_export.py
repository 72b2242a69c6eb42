"""The exporter: tiny models of many kinds, what it refuses, and how it publishes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers import models as st
from transformers import masking_utils

import citadel_embed
import model_zoo as zoo
import test_parity
from citadel_embed.export import ExportError, attention, gate, pack, packed, source, torchscript
from citadel_embed.export import __main__ as command
from citadel_embed.export import compiled as aoti
from citadel_embed.export.export import export
from citadel_embed.export.scratch import Scratch
from model_zoo import HIDDEN, MAX_TOKENS, ZOO, bert, change_json, pooling, write, write_transformers

TEXTS = test_parity.texts()[::4]

# Exports several models in one process, as the command would, and with the exporter's own operator.
EXPORT_ALL = """
import sys
from citadel_embed.export import __main__ as command
arguments = sys.argv[1:]
for source, dest in zip(arguments[::2], arguments[1::2]):
    sys.argv = ["export", source, dest, "--quiet"]
    if command.main():
        sys.exit(f"{source} was not exported")
"""


def child(*arguments, **environment) -> subprocess.CompletedProcess:
    """Python with one thread: tiny models gain nothing from more, and lose on a machine that is busy."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("zoo")
    return {name: animal.write(folder / name) for name, animal in ZOO.items()}


@pytest.fixture(scope="module")
def packs(sources, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packs")
    made = {name: folder / name for name in sources}
    done = child("-c", EXPORT_ALL, *(path for name in sources for path in (sources[name], made[name])))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(made)
    return made


@pytest.fixture(scope="module")
def engine():
    with citadel_embed.Engine(threads=1, cache_models=len(ZOO)) as engine:
        yield engine


@pytest.fixture
def copied(tmp_path):
    """A model to change: an ordinary BERT with mean pooling."""
    return write(tmp_path / "source", bert(), pooling(), st.Normalize())


class Phases:
    """Stands for the progress of the command line, and keeps what it is told."""

    seconds = 0.0

    def __init__(self) -> None:
        self.told: list[str] = []

    def phase(self, what: str) -> None:
        self.told.append(what)

    def warn(self, what: str) -> None:
        self.told.append(f"WARNING: {what}")


def exported(folder: Path, dest: Path, *options: str) -> Phases:
    phases = Phases()
    export(command.parse([str(folder), str(dest), *options]), phases)
    return phases


def refused(folder: Path, tmp_path: Path, *options: str) -> str:
    """The reason why ``folder`` is not exported: one line, and nothing is left behind."""
    place = tmp_path / "place"
    with pytest.raises(ExportError) as caught:
        exported(folder, place / "pack", *options)
    assert not place.exists() or not list(place.iterdir())
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def manifest(folder: Path) -> dict:
    return json.loads((folder / "citadel.json").read_text())


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- The zoo ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_manifest(packs, name):
    folder = packs[name]
    content = manifest(folder)
    assert {key: content[key] for key in ZOO[name].info} == ZOO[name].info
    assert content["name"] == name
    assert content["artifacts"][0]["max_abs_error"] <= 1e-5
    assert sorted(content["files"]) == sorted(set(os.listdir(folder)) - {"citadel.json", "citadel.sha256"})
    for file, entry in content["files"].items():
        data = (folder / file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])
    identity = hashlib.sha256((folder / "citadel.json").read_bytes()).hexdigest()
    assert (folder / "citadel.sha256").read_text() == f"{identity}  citadel.json\n"


def test_golden_texts_have_all_lengths(packs):
    texts = json.loads((packs["mean"] / "golden.json").read_text())["texts"]
    lengths = [len(text["ids"]) for text in texts]
    assert len(texts) >= 16
    assert lengths == sorted(lengths)
    assert lengths[0] == 3 and lengths[-1] == MAX_TOKENS


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest, as a share of the longest number where that is above 1: vectors need not be normalised."""
    scale = np.maximum(1, np.abs(expected).max(axis=1, keepdims=True))
    return float((np.abs(found - expected) / scale).max())


@pytest.mark.parametrize("name", ZOO)
def test_library_gives_the_vectors_of_sentence_transformers(engine, sources, packs, name):
    with engine.load(packs[name]) as model:
        info = model.info()
        assert {key: info[key] for key in ZOO[name].info} == ZOO[name].info
        reference = SentenceTransformer(
            str(sources[name]), device="cpu", model_kwargs={"dtype": torch.float32}
        )
        # Without a token there is nothing to embed, and the library says so.
        texts = [text for text in TEXTS if model.tokenize(text)]
        assert len(texts) >= len(TEXTS) - 4
        random.Random(name).shuffle(texts)
        expected = reference.encode(texts, batch_size=16, show_progress_bar=False)
        assert gate.median_cosine(expected) < gate.ALIKE
        for size in (1, 7, 64):
            assert difference(test_parity.in_batches(model, texts, size), expected) <= 1e-5


def test_prompts_of_the_pack(engine, sources, packs):
    reference = SentenceTransformer(str(sources["prompts"]), device="cpu")
    texts = TEXTS[20:60]
    with engine.load(packs["prompts"]) as model:
        for name in zoo.PROMPTS:
            expected = reference.encode(texts, prompt_name=name)
            assert difference(model.embed(texts, prompt_name=name), expected) <= 1e-5
        assert difference(model.embed(texts, prompt=""), reference.encode(texts, prompt="")) <= 1e-5


def test_padded_layout_says_why(sources, tmp_path):
    told = exported(sources["Gemma 2"], tmp_path / "pack").told
    assert (
        "traced, layout padded because: attention of Gemma2Attention uses 'softcap', which is not supported"
        in told
    )


def test_texts_that_look_alike_are_reported(tmp_path):
    """Then a comparison tells little, and the user should know."""
    folder = write(tmp_path / "source", bert(), pooling(), zoo.dense(HIDDEN, 8, torch.nn.Sigmoid()))
    path = folder / "2_Dense" / "model.safetensors"
    state = {name: tensor * 1e-3 for name, tensor in safetensors.torch.load(path.read_bytes()).items()}
    path.write_bytes(safetensors.torch.save(state))
    assert any("WARNING: texts look alike" in line for line in exported(folder, tmp_path / "pack").told)


# ---- The gate finds out what is wrong ----------------------------------------------------------


def position(transformer):
    table = transformer.embeddings.position_embeddings.weight
    table.data = table.data.roll(1, 0)


def layer(transformer):
    del transformer.encoder.layer[1]


def mask(transformer):
    transformer.config.is_decoder = True


def window(transformer):
    """One token more."""
    transformer.config.sliding_window += 1


@pytest.mark.parametrize(
    ("name", "mutation"), [("mean", position), ("mean", layer), ("mean", mask), ("Mistral", window)]
)
@pytest.mark.parametrize("kind", [packed.PackedGraph, packed.PaddedGraph])
def test_gate_finds_a_wrong(sources, name, mutation, kind):
    model = source.load(str(sources[name]), "x")
    texts = [text for text in TEXTS if model.ids(text)][:40]
    sequences, expected = [model.ids(text) for text in texts], model.encode(texts)
    gate.compare(model, packed.trace(kind(model), sequences), kind.layout, sequences, expected)
    mutation(model.transformer)
    wrong = packed.trace(kind(model), sequences)
    with pytest.raises(
        ExportError, match=r"graph differs from sentence-transformers by 0\.\d+ \(limit 1e-05\)"
    ):
        gate.compare(model, wrong, kind.layout, sequences, expected)


@pytest.fixture
def plain(sources):
    """A model, its graph, and what the gate compares it with."""
    model = source.load(str(sources["no Normalize"]), "x")
    sequences, expected = [model.ids(text) for text in TEXTS[20:32]], model.encode(TEXTS[20:32])
    return model, packed.trace(packed.PackedGraph(model), sequences), sequences, expected


def test_gate_finds_a_forgotten_prompt(sources):
    model = source.load(str(sources["prompts"]), "x")
    texts = TEXTS[20:32]
    sequences, expected = [model.ids(text) for text in texts], model.model.encode(texts, prompt_name="query")
    graph = packed.trace(packed.PackedGraph(model), sequences)
    with pytest.raises(ExportError, match="differs"):
        gate.compare(model, graph, "packed", sequences, expected)


def test_gate_finds_texts_that_see_their_neighbours(plain):
    model, graph, sequences, expected = plain

    def leaking(ids, positions, cu_seqlens):
        """A text gets the first token of the next one."""
        ends = cu_seqlens.clone()
        ends[1:-1] += 1
        return graph(ids, positions, ends)

    with pytest.raises(ExportError, match="differs"):
        gate.compare(model, leaking, "packed", sequences, expected)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda vectors: vectors * torch.nan, "gives NaN or infinity"),
        (lambda vectors: vectors[:, 1:], "gives 31 numbers, expected 32"),
        (lambda vectors: vectors * 1.0001, "differs from sentence-transformers by 0.0001"),
    ],
)
def test_gate_refuses_what_a_graph_gives(plain, broken, reason):
    model, graph, sequences, expected = plain
    with pytest.raises(ExportError, match=reason):
        gate.compare(model, lambda *batch: broken(graph(*batch)), "packed", sequences, expected)


def test_gate_measures_short_vectors_by_their_angle(plain):
    model, graph, sequences, expected = plain
    with pytest.raises(ExportError, match=r"minimum cosine -?0"):
        gate.compare(
            model, lambda *batch: graph(*batch).roll(1, 1) * 1e-7, "packed", sequences, expected * 1e-7
        )


# ---- Sources that are refused ------------------------------------------------------------------


def rewrite_weights(folder: Path, change) -> None:
    path = folder / "model.safetensors"
    state = safetensors.torch.load(path.read_bytes())
    change(state)
    path.write_bytes(safetensors.torch.save(state, metadata={"format": "pt"}))


def change_modules(folder: Path, change) -> None:
    path = folder / "modules.json"
    entries = json.loads(path.read_text())
    change(entries)
    zoo.write_json(path, entries)


def remove(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def settings(file: str, **changes):
    return lambda folder: change_json(folder / file, **changes)


def content(file: str, text: str):
    return lambda folder: (folder / file).write_text(text)


def weights(change):
    return lambda folder: rewrite_weights(folder, change)


def modules(change):
    return lambda folder: change_modules(folder, change)


def to_half(state):
    for name in state:
        state[name] = state[name].half()


def with_nan(state):
    state["embeddings.word_embeddings.weight"][:] = torch.nan


def types_of_one(folder: Path) -> None:
    path = folder / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path))
    names = ["input_ids", "token_type_ids", "attention_mask"]
    change_json(folder / "tokenizer_config.json", model_input_names=names)


def characters(folder: Path) -> None:
    """Canine's tokenizer is Python."""
    (folder / "tokenizer.json").unlink()
    zoo.write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CanineTokenizer"})


def nothing_is_a_token(folder: Path) -> None:
    path = folder / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.normalizer = tokenizers.normalizers.Replace(tokenizers.Regex(r"[\s\S]"), "")
    tokenizer.save(str(path))


# One change to an ordinary model each, and the reason.
REFUSED = {
    "pack": (settings("citadel.json", format="citadel-pack"), "is a model pack already"),
    "no model": (
        remove("modules.json", "config.json"),
        "has neither modules.json nor config.json: it is no model",
    ),
    "sparse": (
        settings("config_sentence_transformers.json", model_type="SparseEncoder"),
        "is a SparseEncoder, expected a SentenceTransformer",
    ),
    "cross": (
        settings("config_sentence_transformers.json", model_type="CrossEncoder"),
        "is a CrossEncoder, expected a SentenceTransformer",
    ),
    "broken settings": (content("config_sentence_transformers.json", "{"), "cannot read '"),
    "broken config": (content("config.json", "{"), "cannot be loaded: "),
    "broken weights": (content("model.safetensors", "x" * 100), "cannot be loaded: "),
    "broken tokenizer": (content("tokenizer.json", "[]"), "cannot be loaded: "),
    "no weights": (remove("model.safetensors"), "cannot be loaded: "),
    "unknown architecture": (settings("config.json", model_type="nobody"), "cannot be loaded: "),
    "own code": (
        settings(
            "config.json",
            model_type="nobody",
            auto_map={"AutoConfig": "code.Config", "AutoModel": "code.Model"},
        ),
        " contains custom code ",
    ),
    "missing weight": (
        weights(lambda state: state.pop("encoder.layer.1.output.dense.weight")),
        "the checkpoint lacks 1 weights, the first is 'encoder.layer.1.output.dense.weight'",
    ),
    "weight of another shape": (
        weights(lambda state: state.update({"embeddings.LayerNorm.weight": torch.ones(7)})),
        "cannot be loaded: ",
    ),
    "NaN": (weights(with_nan), "sentence-transformers itself gives NaN or infinity"),
    "another task": (
        settings("sentence_bert_config.json", transformer_task="fill-mask"),
        "the Transformer's task is 'fill-mask', expected feature-extraction",
    ),
    "another output": (
        settings(
            "sentence_bert_config.json",
            modality_config={"text": {"method": "forward", "method_output_name": "pooler_output"}},
            module_output_name="sentence_embedding",
        ),
        "the Transformer gives pooler_output of forward(), expected last_hidden_state",
    ),
    "no pooling": (
        modules(lambda entries: entries.pop(1)),
        "the Transformer is followed by Normalize, expected Pooling",
    ),
    "nothing follows": (
        modules(lambda entries: entries.__delitem__(slice(1, 3))),
        "the Transformer is followed by ",
    ),
    "prompt not pooled": (
        settings("1_Pooling/config.json", include_prompt=False),
        "Pooling with include_prompt=False",
    ),
    "no tokenizer.json": (characters, "CanineTokenizer has no fast tokenizer (tokenizer.json)"),
    "cut on the left": (
        settings("tokenizer_config.json", truncation_side="left"),
        "the tokenizer cuts texts on the left, expected right",
    ),
    "too few positions": (
        settings("sentence_bert_config.json", max_seq_length=200),
        "max_seq_length is 200, but the model has 128 positions",
    ),
    "token types": (types_of_one, "the tokenizer gives token_type_ids other than 0"),
    "no tokens": (nothing_is_a_token, "the tokenizer finds no tokens in ordinary texts"),
    "special tokens are split": (
        settings("tokenizer_config.json", split_special_tokens=True),
        "sentence-transformers does more to a text than tokenizer.json says: ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(copied, tmp_path, monkeypatch, name):
    change, reason = REFUSED[name]
    monkeypatch.setattr(source, "NO_LIMIT", 1 << 12)  # the tests need not wait for a million
    change(copied)
    assert reason in refused(copied, tmp_path)


def test_refused_unless_it_is_a_folder(copied, tmp_path):
    assert "is not a folder" in refused(copied / "config.json", tmp_path)
    assert refused(tmp_path / "nowhere", tmp_path).endswith("nowhere' does not exist")


def test_classifier_is_refused(tmp_path):
    folder = write_transformers(tmp_path / "source", bert())
    change_json(folder / "config.json", architectures=["BertForSequenceClassification"])
    assert "is a BertForSequenceClassification, which gives scores and no vectors" in refused(
        folder, tmp_path
    )


def test_first_module_that_is_no_transformer_is_refused(copied, tmp_path):
    words = st.BoW(vocab=["a", "b"])
    words.save(str(copied))
    change_modules(copied, lambda entries: entries[0].update(type="sentence_transformers.models.BoW"))
    assert "the first module is BoW, expected Transformer" in refused(copied, tmp_path)


def test_chat_template_is_refused(copied, tmp_path):
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    change_json(copied / "tokenizer_config.json", chat_template=template)
    text = {"method": "forward", "method_output_name": "last_hidden_state"}
    change_json(
        copied / "sentence_bert_config.json",
        modality_config={"text": text, "message": {**text, "format": "flat"}},
        module_output_name="token_embeddings",
    )
    assert "texts go through a chat template, which is not supported" in refused(copied, tmp_path)


def test_plain_text_goes_past_a_chat_template(tmp_path):
    """A folder of transformers with a chat template, as language models are published."""
    config = transformers.Phi3Config(**zoo._DECODER, architectures=["Phi3ForCausalLM"])
    tokenizer = zoo.wordpiece(specials=False)
    folder = write_transformers(tmp_path / "source", config, tokenizer, max_length=2 * MAX_TOKENS)
    template = "{% for message in messages %}<|user|>{{ message['content'] }}<|end|>{% endfor %}"
    change_json(folder / "tokenizer_config.json", chat_template=template)
    assert "not supported: --plain-text embeds them as they are" in refused(folder, tmp_path)

    options = ("--plain-text", "--pooling", "weightedmean", "--max-tokens", str(MAX_TOKENS))
    exported(folder, tmp_path / "pack", *options)
    content = manifest(tmp_path / "pack")
    assert (content["pooling"], content["max_tokens"]) == ("weightedmean", MAX_TOKENS)

    text = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    transformer = st.Transformer(
        str(folder), modality_config=text, module_output_name="token_embeddings", max_seq_length=MAX_TOKENS
    )
    reference = SentenceTransformer(modules=[transformer, pooling("weightedmean")], device="cpu")
    with citadel_embed.Engine(threads=1) as engine, engine.load(tmp_path / "pack") as model:
        texts = [text for text in TEXTS if model.tokenize(text)]
        assert difference(model.embed(texts), reference.encode(texts)) <= 1e-5


def test_pooling_is_chosen_only_where_nobody_has(copied, tmp_path):
    message = "--pooling is for a folder without modules.json"
    assert message in refused(copied, tmp_path, "--pooling", "cls")


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        (2, "--max-tokens is 2, which leaves no room beside 2 special tokens"),
        (MAX_TOKENS + 1, f"--max-tokens is {MAX_TOKENS + 1}, but the model's own limit is {MAX_TOKENS}"),
    ],
)
def test_limit_that_cannot_be_is_refused(copied, tmp_path, tokens, reason):
    assert reason in refused(copied, tmp_path, "--max-tokens", str(tokens))


def test_limit_where_the_model_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "NO_LIMIT", 1 << 12)
    folder = write(tmp_path / "source", zoo.t5(), pooling(), max_seq_length=None)
    assert "the model sets no limit of tokens: --max-tokens does" in refused(folder, tmp_path)
    exported(folder, tmp_path / "pack", "--max-tokens", "20")
    assert manifest(tmp_path / "pack")["max_tokens"] == 20


def test_unknown_module_is_refused(tmp_path):
    folder = write(tmp_path / "source", bert(), pooling(), st.LSTM(HIDDEN, 8))
    assert "module LSTM is not supported" in refused(folder, tmp_path)


def test_foreign_activation_is_refused(tmp_path):
    folder = write(tmp_path / "source", bert(), pooling(), zoo.dense(HIDDEN, 8))
    change_json(folder / "2_Dense" / "config.json", activation_function="somebody.Swish")
    assert "the activation function 'somebody.Swish' is not one of torch" in refused(folder, tmp_path)


def test_missing_weight_of_a_dense_is_refused(tmp_path):
    folder = write(tmp_path / "source", bert(), pooling(), zoo.dense(HIDDEN, 8))
    path = folder / "2_Dense" / "model.safetensors"
    path.write_bytes(safetensors.torch.save({"linear.weight": torch.zeros(8, HIDDEN)}))
    assert "cannot be loaded: " in refused(folder, tmp_path)


def test_experts_are_refused(tmp_path):
    config = transformers.MixtralConfig(**zoo._DECODER, num_local_experts=4)
    folder = write(tmp_path / "source", config, pooling())
    assert "a mixture of experts (Mixtral" in refused(folder, tmp_path)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_frequencies_that_change_with_the_batch_are_refused(tmp_path, kind):
    rope = {"rope_type": kind, "factor": 2.0, "rope_theta": 10000.0}
    if kind == "longrope":
        rope |= {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "original_max_position_embeddings": 32}
    config = zoo.llama(rope_parameters=rope, max_position_embeddings=32 if kind == "dynamic" else 128)
    folder = write(tmp_path / "source", config, pooling(), tokenizer=zoo.wordpiece(specials=False))
    assert f"'{kind}' position embeddings change with the longest text of a batch beyond 32" in refused(
        folder, tmp_path
    )
    change_json(folder / "sentence_bert_config.json", max_seq_length=32)
    exported(folder, tmp_path / "pack")


def test_model_without_a_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "NO_LIMIT", 1 << 12)
    folder = write(tmp_path / "source", zoo.t5(), pooling(), max_seq_length=None)
    assert "the model sets no limit of tokens: --max-tokens does" in refused(folder, tmp_path)


def test_tokens_beyond_the_embeddings_are_refused(tmp_path):
    size = len(zoo.VOCABULARY) - 10
    folder = write(tmp_path / "source", bert(vocab_size=size), pooling())
    assert f"is beyond the {size} embeddings" in refused(folder, tmp_path)


def test_texts_that_the_reference_fails_on_are_refused(tmp_path):
    """The limit is more than the model can take, and no table of positions tells."""
    config = transformers.GPT2Config(
        vocab_size=len(zoo.VOCABULARY), n_embd=HIDDEN, n_layer=1, n_head=4, n_positions=40
    )
    folder = write(tmp_path / "source", config, pooling(), tokenizer=zoo.wordpiece(specials=False))
    assert "sentence-transformers itself fails on texts of up to 64 tokens" in refused(folder, tmp_path)


def test_neither_packed_nor_padded_is_refused(tmp_path):
    """FNet mixes tokens by a Fourier transform, padding included."""
    shape = {name: value for name, value in zoo._SHAPE.items() if name != "num_attention_heads"}
    folder = write(tmp_path / "source", transformers.FNetConfig(**shape), pooling())
    assert "; and padded: the padded graph differs from sentence-transformers by 0." in refused(
        folder, tmp_path
    )


def test_graph_with_python_in_it_is_refused(tmp_path):
    config = transformers.BloomConfig(vocab_size=len(zoo.VOCABULARY), hidden_size=HIDDEN, n_layer=1, n_head=4)
    folder = write(tmp_path / "source", config, pooling())
    message = refused(folder, tmp_path)
    assert message.startswith(
        "the graph cannot be saved: Could not export Python function call 'GeLUFunction'"
    )


def test_weights_inside_the_graph_are_refused(copied, tmp_path, monkeypatch):
    monkeypatch.setattr(torchscript, "GRAPH_LIMIT", 1000)
    assert "more than 1000: tracing made constants of weights" in refused(copied, tmp_path)


def test_weights_that_no_graph_reads_are_refused(packs, tmp_path):
    folder = packs["mean"]
    state = safetensors.torch.load((folder / "weights.fp32.safetensors").read_bytes())
    pack.write_safetensors(tmp_path / "weights", {**state, "more": torch.zeros(1)})
    with pytest.raises(ExportError, match="the graph does not use the tensor 'more'"):
        torchscript.read(folder / "graph.fp32.pt", tmp_path / "weights")


def test_unknown_type_of_tensor_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"tensor 'c' is of type torch.complex64, which is not supported"):
        pack.write_safetensors(tmp_path / "weights", {"c": torch.zeros(1, dtype=torch.complex64)})


def test_parameter_that_is_not_fp32_is_refused(sources):
    model = SentenceTransformer(str(sources["mean"]), device="cpu", model_kwargs={"dtype": torch.bfloat16})
    with pytest.raises(ExportError, match=r"is torch.bfloat16, expected torch.float32"):
        source._check_dtype(model[0].auto_model, torch.float32)


# ---- What attention may be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (masking_utils.bidirectional_mask_function, attention.Window(-1, -1)),
        (masking_utils.causal_mask_function, attention.Window(-1, 0)),
        (masking_utils.sliding_window_causal_mask_function(5), attention.Window(4, 0)),
        (masking_utils.sliding_window_bidirectional_mask_function(8), None),
    ],
)
def test_window_of_a_mask(function, expected):
    found = attention._window(function)
    if expected is not None:
        assert found == expected
    rows = torch.arange(40)
    zero = torch.zeros(1, dtype=torch.long)
    theirs = torch.stack([function(zero, zero, row[None], rows).expand(40) for row in rows])
    ours = found.mask(40)
    assert torch.equal(theirs, torch.ones(40, 40, dtype=torch.bool) if ours is None else ours)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (masking_utils.chunked_causal_mask_function(8192, torch.zeros(1, dtype=torch.long)), "is no window"),
        (lambda b, h, q, k: (k <= q) & (k % 2 == q % 2), "is no window"),
        (lambda b, h, q, k: (k <= q) | (k < 5), "is no window"),
        (lambda b, h, q, k: (q - k < 10) & (k <= q) | (k == 0), "is no window"),
        (lambda b, h, q, k: k < 0, "hides everything"),
    ],
)
def test_mask_that_is_no_window_is_refused(function, reason):
    with pytest.raises(ExportError, match=reason):
        attention._window(function)


def test_attention_that_the_operator_lacks_is_refused():
    attention.register()
    layer = torch.nn.Identity()
    tokens = torch.zeros(1, 2, 6, 4)
    ends = torch.tensor([0, 6])
    everything = attention.Window(-1, -1)
    known = {"module": layer, "query": tokens, "key": tokens, "value": tokens}
    known |= {"attention_mask": everything, "cu_seqlens": ends}
    assert attention._forward(**known)[0].shape == (1, 6, 2, 4)
    for change, reason in (
        ({"softcap": 30.0}, "attention of Identity uses 'softcap'"),
        ({"cu_seqlens": None}, "Identity does not pass cu_seqlens on"),
        ({"key": tokens[:, :, 1:]}, "has other keys than queries"),
        ({"value": tokens[..., 1:]}, "has values of another size than keys"),
        ({"attention_mask": torch.zeros(1, 1, 6, 6)}, "has a mask of its own"),
    ):
        with pytest.raises(ExportError, match=reason):
            attention._forward(**{**known, **change})


# ---- Publishing ----------------------------------------------------------------------------------


def test_two_exports_are_the_same_bytes(sources, tmp_path):
    """In processes with other hashes, so that no order of a set is in them."""
    names = ["mean", "MPNet", "ModernBERT", "prompts"]
    for seed in ("1", "2"):
        arguments = [path for name in names for path in (sources[name], tmp_path / seed / name)]
        assert child("-c", EXPORT_ALL, *arguments, PYTHONHASHSEED=seed).returncode == 0
    for name in names:
        assert files(tmp_path / "1" / name) == files(tmp_path / "2" / name)


def test_pack_names_nothing_of_this_machine(sources, packs):
    place = str(sources["mean"].parent).encode()
    for folder in packs.values():
        for name, data in files(folder).items():
            assert place not in data and b"site-packages" not in data, name


def test_force_replaces_at_once(sources, packs, tmp_path):
    dest = tmp_path / "place" / "pack"
    exported(sources["cls"], dest)
    with pytest.raises(ExportError, match="exists; --force replaces a pack"):
        exported(sources["mean"], dest)
    assert manifest(dest)["pooling"] == "cls"
    gone, done = [], threading.Event()

    def watch():
        while not done.is_set():
            if not (dest / "citadel.json").exists():
                gone.append(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    exported(sources["mean"], dest, "--force")
    done.set()
    watcher.join()
    assert not gone
    assert {**files(dest), "citadel.json": b"", "citadel.sha256": b""}.keys() == files(packs["mean"]).keys()
    assert manifest(dest)["pooling"] == "mean"
    assert os.listdir(dest.parent) == ["pack"]


def test_force_where_nothing_can_be_exchanged(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "_exchange", lambda *_: False)
    dest = tmp_path / "place" / "pack"
    exported(sources["cls"], dest)
    exported(sources["mean"], dest, "--force")
    assert manifest(dest)["pooling"] == "mean"
    assert os.listdir(dest.parent) == ["pack"]


def test_failed_force_leaves_the_old_pack(sources, tmp_path, monkeypatch):
    dest = tmp_path / "place" / "pack"
    exported(sources["cls"], dest)
    before = files(dest)
    monkeypatch.setattr(torchscript, "GRAPH_LIMIT", 1000)
    with pytest.raises(ExportError, match="tracing made constants"):
        exported(sources["mean"], dest, "--force")
    assert files(dest) == before
    assert os.listdir(dest.parent) == ["pack"]


def test_what_is_no_pack_is_not_replaced(sources, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious").write_text("x")
    (tmp_path / "file").write_text("x")
    exported(sources["cls"], tmp_path / "pack")
    (tmp_path / "link").symlink_to(tmp_path / "pack")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name, reason in (
        ("folder", "exists and is not a pack: it is not replaced"),
        ("file", "exists and is not a pack: it is not replaced"),
        ("link", "is a symbolic link: name the directory itself"),
        ("dangling", "is a symbolic link: name the directory itself"),
        ("", "is no name for a pack"),
    ):
        with pytest.raises(ExportError, match=reason):
            exported(sources["mean"], Path("/") if not name else tmp_path / name, "--force")
    assert (tmp_path / "folder" / "precious").read_text() == (tmp_path / "file").read_text() == "x"
    assert manifest(tmp_path / "link")["pooling"] == "cls"


def test_destination_that_appears_meanwhile_is_left_alone(sources, tmp_path, monkeypatch):
    """Two exports to one place: the second to finish does not replace the first."""
    dest = tmp_path / "pack"
    write_manifest = pack.write_manifest

    def appear(*arguments):
        write_manifest(*arguments)
        dest.mkdir()
        (dest / "citadel.json").write_text("the first")

    monkeypatch.setattr("citadel_embed.export.export.write_manifest", appear)
    with pytest.raises(ExportError, match="exists; --force replaces a pack"):
        exported(sources["mean"], dest)
    assert files(dest) == {"citadel.json": b"the first"}
    assert os.listdir(tmp_path) == ["pack"]


def test_place_that_cannot_be_written(sources, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match=r"cannot write beside '.*': Not a directory"):
        exported(sources["mean"], tmp_path / "file" / "deep" / "pack")
    assert os.listdir(tmp_path) == ["file"]


def test_place_that_is_read_only():
    nobody, user = 65534, os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        try:
            if user == 0:  # whom no permission stops
                os.seteuid(nobody)
            with pytest.raises(ExportError, match=r"cannot write beside '.*': Permission denied"):
                pack.Destination(Path(folder) / "pack", force=False).__enter__()
        finally:
            os.seteuid(user)
            os.chmod(folder, 0o755)
        assert not os.listdir(folder)


def test_full_disk_is_one_line(sources, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("citadel_embed.export.export.write_golden", full)
    assert refused(sources["mean"], tmp_path).endswith("pack': No space left on device")


KILLED = """
import os, sys
from citadel_embed.export import __main__ as command, export, pack
def kill(*_):
    os.kill(os.getpid(), 9)
if sys.argv.pop(1) == "rename":
    os.rename = kill
else:
    export.write_manifest = kill
command.main()
"""


@pytest.mark.parametrize("moment", ["manifest", "rename"])
def test_killed_export_leaves_nothing_under_its_name(sources, tmp_path, moment):
    dest = tmp_path / "pack"
    done = child("-c", KILLED, moment, sources["mean"], dest)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = os.listdir(tmp_path)
    assert len(left) == 1 and left[0].startswith(".pack.")
    with citadel_embed.Engine(model_path=tmp_path) as engine:
        with pytest.raises(citadel_embed.CitadelError) as caught:
            engine.load("pack")
        assert caught.value.status == "CITADEL_E_NOT_FOUND"
        if moment == "manifest":
            with pytest.raises(citadel_embed.CitadelError):
                engine.load(tmp_path / left[0])
    exported(sources["mean"], dest)
    assert os.listdir(tmp_path) == ["pack"]


def test_what_nobody_makes_any_more_is_removed(tmp_path):
    """By the lock, which the death of a process gives back; nothing else with a dot is touched."""
    code = "import os, sys; from pathlib import Path; from citadel_embed.export.scratch import Scratch; "
    code += "(Scratch(Path(sys.argv[1]), '.pack.').__enter__() / 'x').touch(); os.kill(os.getpid(), 9)"
    assert child("-c", code, tmp_path).returncode == -signal.SIGKILL
    (dead,) = os.listdir(tmp_path)
    kept = {".pack.old", ".pack.1.unfinished.old", ".other.1.unfinished"}
    for name in kept:
        (tmp_path / name).mkdir()
    (tmp_path / ".pack.link.unfinished").symlink_to(tmp_path / ".pack.old")
    kept.add(".pack.link.unfinished")
    with Scratch(tmp_path, ".pack.") as one:
        assert set(os.listdir(tmp_path)) == {*kept, one.name}
        with Scratch(tmp_path, ".pack.") as other:
            assert set(os.listdir(tmp_path)) == {*kept, one.name, other.name}
    assert set(os.listdir(tmp_path)) == kept and dead not in kept


# ---- Compiled forms ------------------------------------------------------------------------------

# Each takes a quarter of a minute.
COMPILED = ["mean", "Qwen3"]
SLOWLY_COMPILED = [
    "DistilBERT",
    "ModernBERT",
    "XLM-R, Unigram",
    "RoBERTa",
    "Phi-3",
    "Gemma 3",
    "Dense residual",
]
BOTH = ("--compile", "--precision", "bf16")


@pytest.fixture(scope="module")
def compiled(sources, tmp_path_factory):
    """Packs with all forms by name, for AVX2, each beside the folder for temporary files that it had."""
    made: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("compiled")

    def pack_of(name: str) -> Path:
        if name not in made:
            place = folder / name.replace(" ", "-")  # AOTInductor cannot work in one with a space
            (place / "tmp").mkdir(parents=True)
            made[name] = place / "pack"
            command = ("-m", "citadel_embed.export", sources[name], made[name], *BOTH, "--isa", "avx2")
            done = child(*command, TMPDIR=str(place / "tmp"))
            assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
        return made[name]

    return pack_of


@pytest.mark.parametrize(
    "name", [*COMPILED, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOWLY_COMPILED)]
)
def test_compiled_forms_give_the_vectors_of_sentence_transformers(compiled, sources, name):
    reference = SentenceTransformer(str(sources[name]), device="cpu", model_kwargs={"dtype": torch.float32})
    for precision in ("fp32", "bf16"):
        with (
            citadel_embed.Engine(threads=1) as engine,
            engine.load(compiled(name), precision=precision) as model,
        ):
            info = model.info()
            assert (info["form"], info["precision"], info["fallbacks"]) == ("compiled", precision, 0)
            texts = [text for text in TEXTS if model.tokenize(text)]
            expected = reference.encode(texts, batch_size=16, show_progress_bar=False)
            for size in (1, 7, 64):
                found = test_parity.in_batches(model, texts, size)
                if precision == "fp32":
                    assert difference(found, expected) <= 1e-5
                else:
                    assert gate._cosines(found, expected).min() >= gate.NARROW_COSINE


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_form_says_what_cpu_it_needs(compiled, name):
    forms = [form for form in manifest(compiled(name))["artifacts"] if form["form"] == "compiled"]
    assert [form["precision"] for form in forms] == ["fp32", "bf16"]
    for form in forms:
        assert {"avx2", "fma"} <= set(form["isa"])
        assert not any(feature.startswith(("avx512", "amx")) for feature in form["isa"])


def test_weights_are_packed_into_the_compiled_form(compiled):
    """Not merely copied: that is what makes it faster than TorchScript."""
    pack = compiled("mean")
    forms = [form for form in manifest(pack)["artifacts"] if form["form"] == "compiled"]
    assert len(forms) == 2
    for form in forms:
        assert form["tensors_inside"]
        assert b"linear_pointwise" in (pack / form["graph"]).read_bytes()


@pytest.mark.parametrize("name", COMPILED)
def test_compiling_leaves_nothing_behind(compiled, name):
    """Neither in the folder for temporary files, nor a path of this machine in the pack."""
    place = compiled(name).parent
    assert not [path for path in (place / "tmp").rglob("*") if path.is_file()]
    own = [str(place), "site-packages", "citadel-compile-", str(Path(torch.__file__).parent)]
    for name, data in files(place / "pack").items():
        assert not [path for path in own if path.encode() in data], name


@pytest.mark.slow
def test_compiled_twice_the_bytes_are_the_same(compiled, sources, tmp_path):
    command = ("-m", "citadel_embed.export", sources["mean"], tmp_path / "pack", *BOTH, "--isa", "avx2")
    assert child(*command).returncode == 0
    assert files(tmp_path / "pack") == files(compiled("mean"))


@pytest.mark.parametrize(
    ("compiler", "said"),
    [("/bin/false", "compiled fp32: "), ("no-such-c++", "there is no C++ compiler 'no-such-c++'")],
)
def test_without_a_compiler_the_export_goes_on(sources, tmp_path, compiler, said):
    command = ("-m", "citadel_embed.export", sources["mean"], tmp_path / "pack", "--compile", "--quiet")
    done = child(*command, CXX=compiler)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("export: WARNING: goes on without the form compiled fp32: ") and said in line
    assert [form["form"] for form in manifest(tmp_path / "pack")["artifacts"]] == ["torchscript"]
    assert sorted(manifest(tmp_path / "pack")["files"]) == sorted(
        set(os.listdir(tmp_path / "pack")) - {"citadel.json", "citadel.sha256"}
    )
    with citadel_embed.Engine(threads=1) as engine, engine.load(tmp_path / "pack") as model:
        assert model.info()["form"] == "torchscript"


def test_temporary_folder_with_a_space_is_named(sources, tmp_path):
    (tmp_path / "a b").mkdir()
    command = ("-m", "citadel_embed.export", sources["mean"], tmp_path / "pack", "--compile", "--quiet")
    done = child(*command, TMPDIR=str(tmp_path / "a b"))
    assert done.returncode == 0 and "for its space: TMPDIR names another place" in done.stderr


def test_level_that_this_cpu_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert aoti.level(None) == aoti.level("avx2") == "avx2"
    with pytest.raises(ExportError, match="this CPU has no AVX-512"):
        aoti.level("avx512")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with pytest.raises(ExportError, match="needs a CPU with AVX2, this one has DEFAULT"):
        aoti.level(None)


def test_padded_graph_is_not_compiled(sources, tmp_path):
    told = exported(sources["MPNet"], tmp_path / "pack", "--compile").told
    assert "WARNING: goes on without the form compiled fp32: a graph of layout padded is not compiled" in told
    assert len(manifest(tmp_path / "pack")["artifacts"]) == 1


# What is there when the process is killed, in the unfinished pack or beside the compiler's files.
MOMENTS = [
    "pack/.pack.*/tokenizer.json",
    "pack/.pack.*/graph.fp32.pt",
    "tmp/citadel-compile-*/cache/**/*.cpp",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment(sources, tmp_path, moment):
    for name in ("pack", "tmp"):
        (tmp_path / name).mkdir()
    dest = tmp_path / "pack" / "pack"
    command = [sys.executable, "-m", "citadel_embed.export", sources["mean"], dest, "--compile", "--quiet"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(list(map(str, command)), env=environment) as process:
        while process.poll() is None and not list(tmp_path.glob(moment)):
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    (left,) = os.listdir(tmp_path / "pack")
    assert left.startswith(".pack.")
    with citadel_embed.Engine(model_path=tmp_path / "pack") as engine:
        for name, status in (("pack", "CITADEL_E_NOT_FOUND"), (tmp_path / "pack" / left, None)):
            with pytest.raises(citadel_embed.CitadelError) as caught:
                engine.load(name)
            assert status in (None, caught.value.status)
    exported(sources["mean"], dest)
    assert os.listdir(tmp_path / "pack") == ["pack"]
    # The compiler may go on for a while without its parent.
    with Scratch(tmp_path / "tmp", "citadel-compile-") as scratch:
        assert [
            path for path in (tmp_path / "tmp").glob("citadel-compile-*/c++") if path.parent != scratch
        ] == []


# ---- The command ---------------------------------------------------------------------------------


def test_command(sources, tmp_path):
    dest = tmp_path / "deep" / "pack"
    done = child("-m", "citadel_embed.export", sources["mean"], dest, "--name", "other")
    assert done.returncode == 0
    assert [line.partition(" ")[0] for line in done.stderr.splitlines()] == [f"[{i}/5]" for i in range(1, 6)]
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{dest}: 32 dimensions, 64 tokens, mean pooling, packed, ")
    assert manifest(dest)["name"] == "other"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, ""),
        ([], 2, "the following arguments are required: source, dest"),
        (["./nowhere", "pack"], 1, "export: './nowhere' does not exist\n"),
        (["{source}", "/proc/citadel/pack"], 1, "export: cannot write beside '/proc/citadel/pack': "),
    ],
)
def test_command_fails_with_one_line(sources, tmp_path, arguments, code, said):
    arguments = [argument.format(source=sources["mean"]) for argument in arguments]
    done = child("-m", "citadel_embed.export", *arguments, "--quiet")
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert code != 1 or done.stderr.count("\n") == 1
    assert ("usage: python -m citadel_embed.export" in done.stdout) == (code == 0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), "export: interrupted, nothing was published"),
        (
            ImportError("No module named 'torch'"),
            "export: No module named 'torch': pip install './python[export]'",
        ),
        (PermissionError(13, "Permission denied", "x"), "export: [Errno 13] Permission denied: 'x'"),
        (ZeroDivisionError("by\nzero"), "export: unexpected ZeroDivisionError: by (test_export.py, line "),
    ],
)
def test_any_error_is_one_line(monkeypatch, capsys, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr("citadel_embed.export.export.export", fail)
    monkeypatch.setattr(command, "_silence_libraries", lambda: None)
    monkeypatch.setattr(sys, "argv", ["export", "source", "dest"])
    assert command.main() == 1
    found = capsys.readouterr().err
    assert found.startswith(said) and found.count("\n") == 1


def process_state() -> dict:
    """What an export could leave changed for the rest of the process."""
    return {
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tracing": torch._C._get_tracing_state(),
        "random": hashlib.sha256(torch.get_rng_state().numpy()).hexdigest(),
        "numpy random": hashlib.sha256(np.random.get_state()[1]).hexdigest(),
        "loading": transformers.PreTrainedModel.__dict__["_finalize_model_loading"],
        "packing": masking_utils.find_packed_sequence_indices,
        "attention": transformers.AttentionInterface()["sdpa"],
        "verbosity": transformers.utils.logging.get_verbosity(),
        "logging": logging.root.manager.disable,
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "stdout": sys.stdout,
        "directory": os.getcwd(),
    }


@pytest.mark.parametrize("name", ["mean", "MPNet"])
def test_export_leaves_the_process_as_it_was(sources, tmp_path, name):
    attention.register()  # the one thing that stays
    before = process_state()
    exported(sources[name], tmp_path / "pack")
    assert process_state() == before
