"""What operators run: performance and its comparison, validation, the rollback drill, the page of results."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import citadel_embed
from test_examples import BUILD, LIBRARY, MODEL, REPO

sys.path.append(str(REPO / "tests" / "service"))
from service import Service

FORMAT = re.compile(
    r"Model: (?P<model>.+)\n"
    r"Average inference time: (?P<mean>\d+\.\d)ms \(p50 \d+\.\dms, p95 \d+\.\dms, p99 \d+\.\dms\)\n"
    r"Throughput: (?P<rate>\d+) embeddings/sec\n"
    r"Memory usage: \d+\.\d\dGB \(optimized from \d+\.\d\dGB baseline\)\n"
    r"Optimization: (compiled|torchscript) (fp32|bf16)\n"
)
PERFORMANCE = BUILD / "bench" / "model_performance"
SERVICE = BUILD / "examples" / "service" / "citadel-service"
VALIDATION = REPO / "examples" / "validation"

needs_model = pytest.mark.skipif(not (MODEL / "citadel.json").exists(), reason=f"no model pack in {MODEL}")
needs_service = pytest.mark.skipif(not SERVICE.exists(), reason="built without libmicrohttpd or jansson")


def run(*command, **environment):
    paths = {
        "CITADEL_EMBED_LIBRARY": str(LIBRARY),
        "PYTHONPATH": str(REPO / "python"),
        "CITADEL_THREADS": "1",
    }
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, **paths, **environment},
        timeout=300,
    )


@needs_model
def test_performance(tmp_path):
    result, trace = tmp_path / "a.json", tmp_path / "trace.json"
    process = run(
        PERFORMANCE,
        "--model",
        MODEL,
        "--iterations",
        12,
        "--json",
        result,
        "--profile",
        "--profile-trace",
        trace,
    )
    assert process.returncode == 0, process.stderr
    told = FORMAT.match(process.stdout)
    assert told and told["model"] == str(MODEL)
    stages = re.findall(r"Profile: (\w+) +(-?[\d.]+)ms", process.stdout)
    assert [name for name, _ in stages] == ["tokenise", "wait", "compute", "output", "between"]
    assert sum(float(ms) for _, ms in stages) == pytest.approx(float(told["mean"]), abs=0.06)

    found = json.loads(result.read_text())
    assert found["tokens"] == 26 and len(found["optimized"]["seconds"]) == 12
    assert found["baseline"]["form"] == "torchscript" and found["max_difference"] <= 1e-5
    events = json.loads(trace.read_text())["traceEvents"]
    assert len(events) == 12 * 5 and all(e["ph"] == "X" and e["dur"] >= 0 for e in events)

    assert run(REPO / "bench" / "compare", result, result).returncode == 0


@pytest.mark.parametrize("arguments", [[], ["--model"], ["--model", "a", "--iterations", "0"], ["--fast"]])
def test_performance_arguments(arguments):
    process = run(PERFORMANCE, *arguments)
    assert process.returncode == 2 and process.stderr.startswith("model_performance: ")


def test_performance_of_no_model():
    process = run(PERFORMANCE, "--model", "./absent")
    assert process.returncode == 1 and "absent" in process.stderr and process.stdout == ""


def result_file(path, seconds, memory=100_000_000, model="m"):
    side = {"form": "compiled", "precision": "fp32", "seconds": seconds, "memory_bytes": memory}
    path.write_text(json.dumps({"model": model, "tokens": 26, "optimized": side}))
    return path


def noisy(base):
    return [base * (1 + (i * 37 % 11) / 100) for i in range(50)]


@pytest.mark.parametrize(
    "seconds, memory, expected",
    [
        (noisy(1.0), 100_000_000, 0),
        (noisy(1.05), 100_000_000, 0),  # within 10 %
        (noisy(1.2), 100_000_000, 1),
        ([1.0] * 20 + [9.0] * 30, 100_000_000, 0),  # a disturbance: part of the run was as fast as ever
        (noisy(0.5), 100_000_000, 0),
        (noisy(1.0), 111_000_000, 1),
    ],
)
def test_compare(tmp_path, seconds, memory, expected):
    old = result_file(tmp_path / "old.json", noisy(1.0))
    new = result_file(tmp_path / "new.json", seconds, memory)
    process = run(REPO / "bench" / "compare", old, new)
    assert process.returncode == expected, process.stdout + process.stderr
    assert ("REGRESSION" in process.stdout) == bool(expected)


def test_compare_refuses(tmp_path):
    old = result_file(tmp_path / "old.json", [1.0])
    other = result_file(tmp_path / "other.json", [1.0], model="n")
    (tmp_path / "bad.json").write_text("{")
    for arguments in ([old], [old, other], [old, tmp_path / "bad.json"], [old, tmp_path / "absent.json"]):
        assert run(REPO / "bench" / "compare", *arguments).returncode == 2


# ---- Validation ------------------------------------------------------------------------------


@needs_model
def test_validation_performance_says_the_same():
    process = run(sys.executable, VALIDATION / "model_performance.py", "--model", MODEL, "--iterations", 5)
    assert process.returncode == 0, process.stderr
    assert FORMAT.fullmatch(process.stdout)


@needs_model
def test_validation_warmup(tmp_path):
    (tmp_path / "good").symlink_to(MODEL)
    everything = [sys.executable, VALIDATION / "model_warmup.py", "--all-models", "--iterations", 1]
    process = run(*everything, CITADEL_MODEL_PATH=str(tmp_path))
    assert process.returncode == 0, process.stderr
    ready = r"✓ good: Warmed up in \d+\.\ds\nAll models ready for inference\n"
    assert re.fullmatch(ready, process.stdout)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "citadel.json").write_text("{}")
    process = run(*everything, CITADEL_MODEL_PATH=str(tmp_path))
    assert process.returncode == 1
    assert re.fullmatch(r"✗ bad: .+\n✓ good: Warmed up in \d+\.\ds\n", process.stdout)


@needs_model
def test_services():
    code = (
        "from services.inference_engine import InferenceEngine\n"
        "from services.model_optimizer import ModelOptimizer\n"
        "import sys\n"
        "with ModelOptimizer() as optimizer:\n"
        "    model = optimizer.load_optimized_model(sys.argv[1])\n"
        "    assert optimizer.load_optimized_model(sys.argv[1]) is model\n"
        "    vector = InferenceEngine(optimizer).generate_embedding('a text', sys.argv[1])\n"
        "    assert vector.shape == (model.dim,) and (vector == model.embed(['a text'])[0]).all()\n"
    )
    process = run(sys.executable, "-c", code, MODEL, PYTHONPATH=f"{VALIDATION}:{REPO / 'python'}")
    assert process.returncode == 0, process.stderr


def test_validation_cuda():
    process = run(sys.executable, VALIDATION / "cuda_memory.py")
    assert process.returncode == 0 and re.fullmatch(r"SKIPPED: .+\n", process.stdout)


@needs_model
@needs_service
def test_service_gives_the_vectors_of_the_library():
    texts = ["How do I reset my password?", "", "東京 \0 x"]
    with Service(str(SERVICE), CITADEL_SERVICE_MODELS=str(MODEL), CITADEL_THREADS="1") as service:
        status, answer = service.embed(texts=texts)
    assert status == 200
    with citadel_embed.Engine(threads=1) as engine, engine.load(MODEL) as model:
        expected, results = model.embed_results(texts)
    assert (np.array(answer["embeddings"], dtype=np.float32) == expected).all()
    assert answer["tokens"] == sum(result.tokens for result in results)


# ---- Rollback and results --------------------------------------------------------------------


@needs_model
@needs_service
def test_rollback_drill(tmp_path):
    file = tmp_path / "citadel.env"
    file.write_text("# kept\nCITADEL_THREADS=1\nMIXED_PRECISION_ENABLED=false\n")
    process = run(
        REPO / "scripts" / "rollback-drill", MODEL, "--environment-file", file, "--service", SERVICE
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.endswith("VERDICT: rollback works\n")
    assert process.stdout.count(": ok\n") == 4 and "TOO FAR" not in process.stdout
    lines = file.read_text().splitlines()
    assert lines[:2] == ["# kept", "CITADEL_THREADS=1"]
    assert [line for line in lines if line.startswith("MIXED")] == ["MIXED_PRECISION_ENABLED=true"]


def test_rollback_drill_that_cannot_be_held(tmp_path):
    assert run(REPO / "scripts" / "rollback-drill", tmp_path / "absent").returncode == 2


def test_page_of_results(tmp_path):
    pytest.importorskip("matplotlib")
    process = run(sys.executable, REPO / "bench" / "results.py", "write", tmp_path)
    assert process.returncode == 0, process.stderr
    for name in ("Model_Loading_Optimization_Results.md", "optimization.svg"):
        assert (tmp_path / name).read_text() == (REPO / "docs" / name).read_text(), (
            f"docs/{name} is not fresh"
        )
