"""The yardstick models, from their folders to the library's vectors, against sentence-transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import citadel_embed
import test_parity
import yardsticks
from citadel_embed.export import gate, packed, source, torchscript
from citadel_embed.export.texts import SENTENCES

E5, BGE, PHI3 = NAMES = ["e5-small-v2", "bge-base-en-v1.5", "phi-3-mini-2l"]
FULL = "phi-3-mini-4k-instruct"
PROMPTS = [(E5, "query"), (E5, "passage"), (BGE, "query")]
OWN = {E5: "fp32", BGE: "fp32", PHI3: "bf16"}

# Every form of every pack.
FORMS = [(name, form, OWN[name]) for name in NAMES for form in ("compiled", "torchscript")]
FORMS += [(E5, "compiled", "bf16"), (E5, "torchscript", "bf16")]


@dataclass
class Case:
    """One model: the reference in float32, the library as it is by default, and what both say."""

    reference: SentenceTransformer
    model: citadel_embed.Model
    folder: str
    pack: Path
    texts: list[str]
    expected: np.ndarray
    found: np.ndarray
    results: list


def limit_texts(reference: SentenceTransformer) -> list[str]:
    """One token below the limit, at it, one beyond, and far beyond."""
    most = reference.max_seq_length
    specials = len(reference.tokenizer("")["input_ids"])
    text = "the " * most
    texts = [text[: 4 * (count - specials) - 1] for count in (most - 1, most, most + 1)]
    lengths = [len(reference.tokenizer(text)["input_ids"]) for text in texts]
    assert lengths == [most - 1, most, most + 1]
    return [*texts, " ".join(SENTENCES * 4)]


@pytest.fixture(scope="module")
def cases():
    """Cases by name, each made when it is first asked for."""
    made: dict[str, Case] = {}
    with citadel_embed.Engine() as engine:

        def case(name: str) -> Case:
            if name not in made:
                folder, pack = str(yardsticks.folder(name)), yardsticks.pack(name)
                options = {"dtype": torch.float32}
                reference = SentenceTransformer(folder, device="cpu", model_kwargs=options)
                texts = [*SENTENCES, *limit_texts(reference)]
                # The four at the limit come first and make one batch.
                expected = reference.encode(texts, batch_size=4, show_progress_bar=False)
                model = engine.load(pack)
                found = model.embed_results(texts)
                made[name] = Case(reference, model, folder, pack, texts, expected, *found)
            return made[name]

        yield case
        for case_ in made.values():
            case_.model.close()


def check(found: np.ndarray, expected: np.ndarray, precision: str = "fp32") -> None:
    """The comparison. What all texts have in common would make a cosine of different vectors near 1."""
    mean = expected.mean(axis=0, dtype=np.float64)
    centred = gate._cosines(found - mean, expected - mean).min()
    if precision == "fp32":
        assert np.abs(found - expected).max() <= 1e-5
        assert centred >= 0.99999
    else:
        assert gate._cosines(found, expected).min() >= 0.9999
        assert centred >= 0.99


@pytest.mark.parametrize("name", NAMES)
def test_compiled_form_is_what_computes(cases, name):
    info = cases(name).model.info()
    assert (info["form"], info["precision"], info["fallbacks"]) == ("compiled", OWN[name], 0)


@pytest.mark.parametrize("name", NAMES)
def test_vectors(cases, name):
    case = cases(name)
    check(case.found, case.expected, OWN[name])


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name, form, precision", FORMS)
def test_every_form_in_any_batch_and_order(cases, name, form, precision, threads):
    case = cases(name)
    order = np.random.default_rng(threads).permutation(len(SENTENCES))
    texts, expected = [case.texts[i] for i in order], case.expected[order]
    with (
        citadel_embed.Engine(threads=threads, compile=form == "compiled") as engine,
        engine.load(case.pack, precision=precision) as model,
    ):
        info = model.info()
        assert (info["form"], info["precision"], info["fallbacks"]) == (form, precision, 0)
        for size in (1, 5, len(texts)):
            check(test_parity.in_batches(model, texts, size), expected, precision)
        if threads == 2:  # the long ones take longer than all others together
            check(model.embed(case.texts), case.expected, precision)


def test_mixed_precision_takes_bf16_where_the_cpu_has_it(cases):
    """Unasked it is taken only if it was near enough at export."""
    case = cases(E5)
    has = "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    with citadel_embed.Engine(mixed_precision=True) as engine, engine.load(case.pack) as model:
        info = model.info()
        expected = ("compiled", "bf16" if has else "fp32")
        assert (info["form"], info["precision"]) == expected
        check(model.embed(case.texts), case.expected, info["precision"])


@pytest.mark.parametrize("name", [E5, PHI3])
def test_recovery_graph(cases, name):
    """The same 16-bit weights with float32 between them: of a model that has them, the reference itself."""
    case = cases(name)
    graph = torchscript.read(case.pack / "graph.bf16.recovery.pt", case.pack / "weights.bf16.safetensors")
    ids = [case.model.tokenize(text) for text in SENTENCES]
    found = gate.normalized(packed.run(graph, "packed", ids, 7))
    check(found, case.expected[: len(ids)], "fp32" if name == PHI3 else "bf16")


@pytest.mark.parametrize("name", NAMES)
def test_ids_and_limit(cases, name):
    case = cases(name)
    most = case.reference.max_seq_length
    for text, result in zip(case.texts, case.results, strict=True):
        ids = case.reference.preprocess([text])["input_ids"][0].tolist()
        assert case.model.tokenize(text) == ids
        assert result.tokens == len(ids)
        assert result.truncated == (len(case.reference.tokenizer(text)["input_ids"]) > most)
    assert [result.truncated for result in case.results[-4:]] == [False, False, True, True]


@pytest.mark.parametrize("name, prompt", PROMPTS)
def test_prompt(cases, name, prompt):
    case = cases(name)
    texts = [*SENTENCES[:11], case.texts[-1]]
    expected = case.reference.encode(texts, prompt_name=prompt, batch_size=3, show_progress_bar=False)
    check(case.model.embed(texts, prompt_name=prompt), expected)
    with pytest.raises(AssertionError):
        check(case.model.embed(texts), expected)


# ---- A comparison that cannot fail shows nothing -----------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_texts_are_told_apart(cases, name):
    assert gate.median_cosine(cases(name).expected[: len(SENTENCES)]) < 0.8


@pytest.mark.parametrize("name", NAMES)
def test_no_gain_is_one_and_no_bias_zero(cases, name):
    model = source.load(cases(name).folder, "x")
    for parameter, values in model.transformer.named_parameters():
        if values.dim() == 1:
            assert values.std() > 0.05, parameter


def test_made_again_the_files_are_the_same(tmp_path):
    made = []
    for run in ("a", "b"):
        command = [sys.executable, yardsticks.SCRIPT, tmp_path / run, "--layers", "1", E5]
        subprocess.run(command, check=True)
        files = sorted(path for path in (tmp_path / run).rglob("*") if path.is_file())
        made.append({path.relative_to(tmp_path / run): path.read_bytes() for path in files})
    assert made[0] == made[1]


def shift_positions(model: source.Source) -> None:
    table = model.transformer.embeddings.position_embeddings.weight
    table.data = table.data.roll(1, 0)


def drop_rope(model: source.Source) -> None:
    model.transformer.rotary_emb.inv_freq.zero_()


def stretch_rope(model: source.Source) -> None:
    """Every position counted twice: RoPE does not notice one that is merely added to all."""
    model.transformer.rotary_emb.inv_freq.mul_(2)


def drop_bert_layer(model: source.Source) -> None:
    del model.transformer.encoder.layer[-1]


def drop_phi3_layer(model: source.Source) -> None:
    model.transformer.config.num_hidden_layers -= 1
    del model.transformer.layers[-1]


def other_pooling(model: source.Source) -> None:
    model.model[1].pooling_mode = "cls" if model.pooling == "mean" else "mean"


BERT_MUTATIONS = [shift_positions, drop_bert_layer, other_pooling]
PHI3_MUTATIONS = [drop_rope, stretch_rope, drop_phi3_layer, other_pooling]
MUTATIONS = [(name, mutation) for name in (E5, BGE) for mutation in BERT_MUTATIONS]
MUTATIONS += [(PHI3, mutation) for mutation in PHI3_MUTATIONS]


def graph_vectors(model: source.Source, texts: list[str]) -> np.ndarray:
    ids = [model.ids(text) for text in texts]
    return gate.normalized(packed.run(packed.PackedGraph(model), "packed", ids, 7))


@pytest.mark.parametrize("name", NAMES)
def test_graph_without_a_mutation_passes(cases, name):
    case = cases(name)
    count = len(SENTENCES)
    check(graph_vectors(source.load(case.folder, "x"), case.texts[:count]), case.expected[:count])


@pytest.mark.parametrize("name, mutation", MUTATIONS)
def test_mutated_graph_fails(cases, name, mutation):
    case = cases(name)
    count = len(SENTENCES)
    model = source.load(case.folder, "x")
    mutation(model)
    found = graph_vectors(model, case.texts[:count])
    with pytest.raises(AssertionError):
        check(found, case.expected[:count])
    assert np.abs(found - case.expected[:count]).max() > 1e-3


# ---- The source's own precision ------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_source(cases, name):
    """Near float32, on the same texts, and not float32 itself."""
    case = cases(name)
    model = source.load(case.folder, "x", source.Choices("bf16"))
    assert model.dtype == torch.bfloat16
    vectors = model.encode(list(SENTENCES))
    assert vectors.dtype == np.float32
    own = model.model.encode(list(SENTENCES), batch_size=1, show_progress_bar=False)
    assert gate._cosines(vectors, own.astype(np.float32)).min() >= 0.9998
    cosines = gate._cosines(vectors, case.expected[: len(SENTENCES)])
    assert 0.9995 <= cosines.min() < 1 - 1e-6


# ---- Phi-3 as it is published --------------------------------------------------------------------

OURS = {"modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"}
PINNED = source.Choices("bf16", plain_text=True, pooling="lasttoken", max_tokens=128)


@pytest.fixture
def published(tmp_path) -> Path:
    """Without our settings, with a chat template and with code that must not be run."""
    folder = tmp_path / "published"
    folder.mkdir()
    for path in yardsticks.folder(PHI3).iterdir():
        if path.is_file() and path.name not in OURS:
            (folder / path.name).symlink_to(path)
    config = folder / "config.json"
    content = json.loads(config.read_text())
    names = {"AutoConfig": "Phi3Config", "AutoModelForCausalLM": "Phi3ForCausalLM"}
    config.unlink()
    config.write_text(
        json.dumps({**content, "auto_map": {kind: f"code_phi3.{name}" for kind, name in names.items()}})
    )
    (folder / "code_phi3.py").write_text("raise SystemExit('code of the model was run')\n")
    assert "chat_template" in json.loads((folder / "tokenizer_config.json").read_text())
    return folder


def test_published_phi3_is_refused_by_the_name_of_the_option(published):
    with pytest.raises(citadel_embed.export.ExportError, match=r"chat template.*--plain-text"):
        source.load(str(published), "x", source.Choices("bf16"))


def test_published_phi3_is_pinned(cases, published):
    """To the same ids, limit and vectors as the folder that says so itself."""
    case = cases(PHI3)
    model = source.load(str(published), "x", PINNED)
    assert (model.pooling, model.max_tokens, model.precision) == ("lasttoken", 128, "bf16")
    assert [model.ids(text) for text in case.texts] == [case.model.tokenize(text) for text in case.texts]
    texts = case.texts[:6]
    pinned = source.load(case.folder, "x", source.Choices("bf16")).encode(texts)
    # sentence-transformers normalises the other ones, in bf16.
    assert gate._cosines(model.encode(texts), pinned).min() >= 0.99999


@pytest.mark.slow
def test_published_phi3_is_exported_unchanged(cases, published, tmp_path):
    case = cases(PHI3)
    options = ["--plain-text", "--pooling", "lasttoken", "--max-tokens", "128", "--dtype", "bf16"]
    command = [sys.executable, "-m", "citadel_embed.export", published, tmp_path / "pack", *options]
    subprocess.run(command, check=True)
    with citadel_embed.Engine(compile=False) as engine, engine.load(tmp_path / "pack") as model:
        found = model.embed(case.texts, normalize="always")
        with engine.load(case.pack) as pinned:
            assert np.array_equal(found, pinned.embed(case.texts))


# ---- Phi-3 in full ---------------------------------------------------------------------------------

FULL_SIZE = """
import json, resource, sys
import numpy as np
from citadel_embed.export import gate, source, texts
model = source.load(sys.argv[1], "x", source.Choices("auto"))
vectors = model.encode(list(texts.SENTENCES))
np.save(sys.argv[2], vectors)
print(json.dumps({
    "dtype": str(model.dtype),
    "layers": len(model.transformer.layers),
    "median": gate.median_cosine(vectors),
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


@pytest.mark.slow
def test_full_size(tmp_path):
    """Loaded and compared in its own precision: in float32 it would be 15 GB."""
    vectors = tmp_path / "vectors.npy"
    command = [sys.executable, "-c", FULL_SIZE, str(yardsticks.folder(FULL)), str(vectors)]
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert (said["dtype"], said["layers"]) == ("torch.bfloat16", 32)
    assert said["median"] < 0.8
    assert said["peak"] < 10e9  # the weights are 7.6e9
    with citadel_embed.Engine() as engine, engine.load(yardsticks.pack(FULL)) as model:
        info = model.info()
        assert (info["form"], info["precision"], info["fallbacks"]) == ("compiled", "bf16", 0)
        found = model.embed(list(SENTENCES))
    assert gate._cosines(found, np.load(vectors)).min() >= gate.NARROW_COSINE
