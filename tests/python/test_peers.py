"""The report on the peers says what the measurements say, and names who is absent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPORT = Path(__file__).resolve().parents[2] / "bench" / "peers" / "report"
WORKLOADS = ("one", "short", "mixed", "128", "256")


def run(engine, threads, seconds, latency, cosine):
    start = {
        "load_seconds": 0.1,
        "first_vector_seconds": 0.2,
        "resident_bytes": 5e6,
        "short": 1.0,
        "mixed": 1.0,
    }
    return {
        "engine": engine,
        "threads": threads,
        "tuned": {name: {"mode": "intra", "batch": 8} for name in WORKLOADS},
        "starts": [{**start, "one": {"p50": 0.001, "p95": 0.002}}],
        "seconds": {
            "one": [{"p50": p50, "p95": 2 * p50} for p50 in latency],
            **{name: seconds for name in WORKLOADS[1:]},
        },
        "peak_bytes": 7e6,
        "accuracy": {n: {"min_cosine": cosine, "mean_cosine": cosine, "top10": 1.0} for n in WORKLOADS},
        "versions": {"library": "1.2.3"},
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers")
    engines = {
        "citadel_embed fp32": ("fp32", [0.5, 0.4, 0.6], [0.002, 0.003, 0.001], 1.0),
        "citadel_embed bf16": ("bf16", [0.3], [0.001], 0.9999),
        "sentence-transformers fp32": ("fp32", [2.0], [0.020], 1.0),
        "ONNX Runtime fp32": ("fp32", [1.0], [0.030], 1.0),
        "ONNX Runtime int8": ("int8", [0.1], [0.001], 0.97),
    }
    report = {
        "cpu": "a CPU",
        "model": "tiny",
        "note": "quiet",
        "rounds": 3,
        "linear_flops_per_token": 10**9,
        "texts": {n: {"texts": 100, "tokens": 50, "shortest": 3, "longest": 9} for n in WORKLOADS},
        "classes": {name: values[0] for name, values in engines.items()},
        "absent": {"llama.cpp f16": "install: no compiler"},
        "gemm": {"2": {"fp32": 200.0}},
        "runs": [run(name, 2, *values[1:]) for name, values in engines.items()],
    }
    (folder / "result.json").write_text(json.dumps(report))
    (folder / "kernels.json").write_text(json.dumps({"peak": {"fp32": 125.0}}))
    command = [
        sys.executable,
        REPORT,
        folder / "result.json",
        "--to",
        folder,
        "--kernels",
        folder / "kernels.json",
    ]
    subprocess.run(command, check=True)
    for picture in ("speed", "pareto"):
        assert (folder / f"peers-tiny-{picture}.png").read_bytes().startswith(b"\x89PNG")
    return (folder / "peers-tiny.md").read_text()


def rows(page, title):
    section = page.split(f"## {title}")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("| ")
    ]


def test_medians_stand_with_the_lowest_and_the_highest(page):
    row = next(row for row in rows(page, "Steady state") if row[0] == "citadel_embed fp32")
    assert row[1] == "2.00 (1.00–3.00)"
    assert row[3] == "200 (167–250)"


def test_a_ratio_is_to_the_fastest_peer_of_the_class_in_each_column(page):
    own = [row for row in rows(page, "Ratios") if row[0] == "citadel_embed fp32"]
    assert own[0][1:3] == ["fastest fp32 peer", "10.00 sentence-transformers fp32"]
    assert own[0][4] == "2.00 ONNX Runtime fp32"
    assert own[1][1] == "sentence-transformers fp32" and own[1][4] == "4.00"


def test_a_class_without_a_peer_says_so(page):
    own = [row for row in rows(page, "Ratios") if row[0] == "citadel_embed bf16"]
    assert own[0][1] == "fastest bf16 peer: none was measured"


def test_a_share_is_of_the_larger_peak(page):
    row = next(row for row in rows(page, "Share") if row[0] == "citadel_embed fp32")
    # Kernels: 125 on one core, 250 on two; 1 GFLOP a token, 50 tokens in 0.5 s.
    assert row[1:3] == ["250", "40%"]


def test_who_is_absent_is_named(page):
    assert "**Absent: llama.cpp f16**: install: no compiler" in page
