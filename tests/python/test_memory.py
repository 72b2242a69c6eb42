"""Memory of a real model: what is estimated, what the engine's ledger says, and what the system counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import citadel_embed

ROOT = Path(__file__).resolve().parents[2]
PACK = Path(os.environ.get("CITADEL_TEST_MODEL", ROOT / "models" / "all-MiniLM-L6-v2"))
pytestmark = pytest.mark.skipif(
    not (PACK / "citadel.json").exists(), reason=f"no pack in {PACK}: run scripts/test"
)

# In a process of its own, as the pages of other tests would count too. The first load is not measured, as it
# brings libtorch into the process.
MEASURE = """
import json, sys
import citadel_embed

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))

with citadel_embed.Engine(threads=2) as engine:
    engine.pin(sys.argv[1])
    engine.unload(sys.argv[1])
    estimate = engine.estimate(sys.argv[1])
    before = resident()
    with engine.load(sys.argv[1]) as model:
        loaded = resident() - before
        ledger = engine.metrics()["bytes"]
        model.embed(["word " * 400] * 64)
        busy = resident() - before
    engine.pin(sys.argv[1])
    report = engine.unload(sys.argv[1])
    print(json.dumps(dict(estimate=estimate, loaded=loaded, busy=busy, ledger=ledger, report=report)))
"""


@pytest.fixture(scope="module")
def measured() -> dict:
    run = subprocess.run([sys.executable, "-c", MEASURE, PACK], check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def test_the_estimate_is_near_what_the_system_counts(measured):
    assert measured["estimate"]["resident_bytes"] == pytest.approx(measured["loaded"], rel=0.3)


def test_the_peak_is_above_what_a_busy_model_takes(measured):
    peak = measured["estimate"]["peak_bytes"]
    assert 0.5 * peak < measured["busy"] < peak


def test_the_ledger_is_near_what_the_system_counts(measured):
    assert measured["ledger"] == pytest.approx(measured["loaded"], rel=0.3)


def test_an_unload_gives_back_to_the_system_what_its_report_says(measured):
    report = measured["report"]
    assert report["models"] == 1
    assert report["cache_bytes_before"] == report["model_bytes"]
    assert report["cache_bytes_after"] == 0
    freed = report["process_bytes_before"] - report["process_bytes_after"]
    assert freed > 0.9 * report["model_bytes"]


def test_the_estimate_names_the_form_that_is_loaded():
    with citadel_embed.Engine() as engine:
        estimate = engine.estimate(PACK)
        with engine.load(PACK) as model:
            info = model.info()
    assert {name: estimate[name] for name in ("form", "precision", "weight_bytes")} == {
        name: info[name] for name in ("form", "precision", "weight_bytes")
    }


def test_a_budget_below_the_model_is_named():
    with citadel_embed.Engine(cache_bytes=50 << 20) as engine:
        with pytest.raises(
            citadel_embed.CitadelError, match=r"estimated at \d+ .* budget of 52428800"
        ) as error:
            engine.load(PACK)
        assert error.value.status == "CITADEL_E_NO_MEMORY"
        assert engine.metrics()["bytes_limit"] == 50 << 20


def test_models_come_and_go_by_name():
    with citadel_embed.Engine(cache_idle_seconds=3600) as engine:
        engine.pin(PACK)
        assert engine.metrics()["models_pinned"] == 1
        engine.pin(PACK, False)
        assert engine.metrics()["models_pinned"] == 0
        with (
            engine.load(PACK, timeout_ms=1000),
            pytest.raises(citadel_embed.CitadelError, match="is held by 1 handle") as error,
        ):
            engine.unload(PACK)
        assert error.value.status == "CITADEL_E_BUSY"
        with pytest.raises(citadel_embed.CitadelError, match="is not loaded"):
            engine.unload(PACK)
        metrics = engine.metrics()
        assert (metrics["loads"], metrics["hits"], metrics["models"]) == (1, 1, 0)


@pytest.mark.parametrize(
    "options", [{"cache_bytes": -1}, {"cache_bytes": 1 << 64}, {"cache_idle_seconds": 1 << 32}]
)
def test_a_number_that_does_not_fit_is_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        citadel_embed.Engine(**options)
