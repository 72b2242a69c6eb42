"""Metrics, timings and warm-up through the binding, with a real model."""

import math
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import citadel_embed

PACK = Path(
    os.environ.get("CITADEL_TEST_MODEL", Path(__file__).resolve().parents[2] / "models" / "all-MiniLM-L6-v2")
).resolve()
TEXTS = ["How do I reset my password?", "", "a", "Größe und Straße"]
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)')


@pytest.fixture
def engine():
    with citadel_embed.Engine(threads=2) as engine:
        yield engine


@pytest.fixture
def model(engine):
    if not (PACK / "citadel.json").exists():
        pytest.skip(f"there is no model pack in {PACK}")
    with engine.load(PACK) as model:
        yield model


def parse(text: str) -> dict[str, dict]:
    """The exposition format, read strictly. {name: {"type", "help", "samples": {(sample, labels): value}}}"""
    families, current = {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, text_of_help = line[7:].split(" ", 1)
            assert name not in families
            current = families[name] = {"help": text_of_help, "samples": {}}
        elif line.startswith("# TYPE "):
            named, kind = line[7:].split(" ")
            assert named == name and "type" not in current
            current["type"] = kind
        else:
            sample, labels, value = SAMPLE.fullmatch(line).groups()
            suffixes = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
            assert sample in [name + end for end in suffixes.get(current["type"], ("",))]
            key = (sample, labels)
            assert key not in current["samples"]
            current["samples"][key] = float(value)
    return families


def check_family(name: str, family: dict) -> None:
    samples = family["samples"]
    assert (family["type"] == "counter") == name.endswith("_total")
    assert all(value >= 0 for value in samples.values())
    if family["type"] == "histogram":
        buckets = [
            (labels, value) for (sample, labels), value in samples.items() if sample.endswith("_bucket")
        ]
        bounds = [float(re.fullmatch(r'le="(.+)"', labels)[1]) for labels, _ in buckets]
        counts = [value for _, value in buckets]
        assert bounds == sorted(set(bounds)) and bounds[-1] == math.inf
        assert counts == sorted(counts)
        assert counts[-1] == samples[(name + "_count", None)]


def value(families: dict, name: str, sample: str | None = None, labels: str | None = None) -> float:
    return families[name]["samples"][(sample or name, labels)]


def promtool(text: str) -> None:
    program = shutil.which("promtool")
    if not program:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and done.stdout == ""


def test_the_text_is_well_formed_and_has_the_numbers_of_the_snapshot(engine, model):
    model.embed(TEXTS)
    model.embed(TEXTS[:1])
    with pytest.raises(citadel_embed.CitadelError):
        model.embed([b"\xff"])
    before = engine.metrics()
    families = parse(engine.metrics_text())
    for name, family in families.items():
        check_family(name, family)
    assert before["requests_ok"] == 2 and before["failed_text"] == 1
    assert value(families, "citadel_request_success_total") == 2
    assert value(families, "citadel_request_failure_total", labels='err="text"') == 1
    assert value(families, "citadel_texts_total") == before["texts"] == len(TEXTS) + 1
    assert value(families, "citadel_tokens_total") == before["tokens"]
    tokens = sum(len(model.tokenize(text)) for text in [*TEXTS, TEXTS[0]])
    assert before["tokens"] == tokens
    for name, key in {
        "": "total",
        "tokenization_": "tokenize",
        "queue_": "queue",
        "inference_": "compute",
    }.items():
        family = f"citadel_request_{name}duration_seconds"
        assert value(families, family, family + "_count") == before[key]["count"]
        assert value(families, family, family + "_sum") == pytest.approx(before[key]["sum"], abs=2e-9)
    assert value(families, "citadel_batch_tokens", "citadel_batch_tokens_sum") == tokens
    load = "citadel_model_load_duration_seconds"
    assert value(families, load, load + "_sum") == pytest.approx(model.info()["load_seconds"], abs=1e-6)
    (resident,) = families["citadel_model_resident_bytes"]["samples"].values()
    assert resident == before["bytes"]


def test_promtool_accepts_it(engine, model):
    promtool(engine.metrics_text())
    model.embed(TEXTS)
    promtool(engine.metrics_text())


def test_promtool_would_refuse():
    """The check above can fail."""
    with pytest.raises(AssertionError):
        promtool("# TYPE requests counter\nrequests 1\n")


def test_timings_of_a_call(model):
    timings = {}
    model.embed(TEXTS, timings=timings)
    parts = [timings[part] for part in ("tokenize", "queue", "compute", "output")]
    assert all(part > 0 for part in parts)
    assert sum(parts) <= timings["total"] + 1e-8
    assert timings["tokens"] == sum(len(model.tokenize(text)) for text in TEXTS)
    assert timings["batches"] == 1
    assert timings["compute"] > timings["tokenize"]


def test_a_warm_up_reports_what_it_did(engine, model):
    report = model.warmup(lengths=[8, 16], batch_sizes=[1, 2], iterations=3)
    assert report["passes"] == 3 + 3 * 2 + 2
    assert 0 < report["p50_seconds"] <= report["p95_seconds"]
    assert report["first_seconds"] + 2 * report["p50_seconds"] <= report["seconds"] * 2
    assert report["peak_bytes"] >= engine.metrics()["process_bytes"] * 0.9
    assert not report["cancelled"] and not report["timed_out"]
    metrics = engine.metrics()
    assert metrics["warmups"] == 1 and metrics["requests_ok"] == metrics["texts"] == 0
    assert metrics["warmup_seconds"] == pytest.approx(report["seconds"], abs=1e-6)


def test_a_warm_up_is_cancelled(model):
    answers = iter([False, False, True])
    report = model.warmup(lengths=[8], batch_sizes=[1], iterations=9, cancel=lambda: next(answers))
    assert report["cancelled"] and report["passes"] == 2


def test_what_cancel_raises_is_raised(model):
    def cancel():
        raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        model.warmup(cancel=cancel)


def test_a_bad_plan_is_refused(model):
    with pytest.raises(citadel_embed.CitadelError, match=r"lengths\[0\] is 100000, expected 2 to"):
        model.warmup(lengths=[100000])
