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
import yardsticks
from citadel_embed.export import gate, packed, source
from citadel_embed.export.texts import SENTENCES

NAMES = ["e5-small-v2", "bge-base-en-v1.5", "phi-3-mini-2l"]
FULL = "phi-3-mini-4k-instruct"
PROMPTS = [("e5-small-v2", "query"), ("e5-small-v2", "passage"), ("bge-base-en-v1.5", "query")]


@dataclass
class Case:
    """One model: the reference, the library's, and what both say of the same texts."""

    reference: SentenceTransformer
    model: citadel_embed.Model
    folder: str
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
                folder = str(yardsticks.folder(name))
                options = {"dtype": torch.float32}
                reference = SentenceTransformer(folder, device="cpu", model_kwargs=options)
                texts = [*SENTENCES, *limit_texts(reference)]
                # The four at the limit come first and make one batch.
                expected = reference.encode(texts, batch_size=4, show_progress_bar=False)
                model = engine.load(yardsticks.pack(name))
                found = model.embed_results(texts)
                made[name] = Case(reference, model, folder, texts, expected, *found)
            return made[name]

        yield case
        for case_ in made.values():
            case_.model.close()


def check(found: np.ndarray, expected: np.ndarray) -> None:
    """The comparison. What all texts have in common would make a cosine of different vectors near 1."""
    assert np.abs(found - expected).max() <= 1e-5
    mean = expected.mean(axis=0, dtype=np.float64)
    assert gate._cosines(found - mean, expected - mean).min() >= 0.99999


@pytest.mark.parametrize("name", NAMES)
def test_vectors(cases, name):
    case = cases(name)
    check(case.found, case.expected)


@pytest.mark.parametrize("name", NAMES)
def test_alone_or_together(cases, name):
    case = cases(name)
    alone = np.concatenate([case.model.embed([text]) for text in case.texts[:-2]])
    assert np.abs(alone - case.found[:-2]).max() <= 2e-6


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
        command = [sys.executable, yardsticks.SCRIPT, tmp_path / run, "--layers", "1", NAMES[0]]
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
MUTATIONS = [(name, mutation) for name in NAMES[:2] for mutation in BERT_MUTATIONS]
MUTATIONS += [(NAMES[2], mutation) for mutation in PHI3_MUTATIONS]


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
    model = source.load(case.folder, "x", "bf16")
    assert model.dtype == torch.bfloat16
    vectors = model.encode(list(SENTENCES))
    assert vectors.dtype == np.float32
    own = model.model.encode(list(SENTENCES), batch_size=1, show_progress_bar=False)
    assert gate._cosines(vectors, own.astype(np.float32)).min() >= 0.9998
    cosines = gate._cosines(vectors, case.expected[: len(SENTENCES)])
    assert 0.9995 <= cosines.min() < 1 - 1e-6


def test_published_layout_of_phi3_is_refused(cases, tmp_path):
    """Without our settings, sentence-transformers puts each text into the chat template."""
    ours = {"modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling"}
    for path in Path(cases(NAMES[2]).folder).iterdir():
        if path.name not in ours:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(citadel_embed.export.ExportError, match="texts go through a chat template"):
        source.load(str(tmp_path), "x", "bf16")


FULL_SIZE = """
import json, resource, sys
from citadel_embed.export import gate, source, texts
model = source.load(sys.argv[1], "x", "auto")
vectors = model.encode(list(texts.SENTENCES))
print(json.dumps({
    "dtype": str(model.dtype),
    "layers": len(model.transformer.layers),
    "median": gate.median_cosine(vectors),
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


@pytest.mark.slow
def test_full_size_is_loaded_in_its_own_precision():
    command = [sys.executable, "-c", FULL_SIZE, str(yardsticks.folder(FULL))]
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert (said["dtype"], said["layers"]) == ("torch.bfloat16", 32)
    assert said["median"] < 0.8
    assert said["peak"] < 10e9  # the weights are 7.6e9
