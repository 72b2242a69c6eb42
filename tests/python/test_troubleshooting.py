"""Every command of docs/troubleshooting.md runs, and shows what the guide says."""

import os
import re
import subprocess
import sys

import pytest

from test_examples import BUILD, LIBRARY, MODEL, REPO
from test_operations import SERVICE, needs_model, needs_service

sys.path.append(str(REPO / "tests" / "service"))
from service import Service

GUIDE = (REPO / "docs" / "troubleshooting.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL))

pytestmark = [needs_model, needs_service]


@pytest.fixture(scope="module")
def service():
    with Service(str(SERVICE), CITADEL_SERVICE_MODELS=str(MODEL), CITADEL_THREADS="1") as running:
        yield running


@pytest.fixture
def here(tmp_path):
    """A folder that looks like the repository, for what the commands write."""
    for name, target in [("build", BUILD), ("bench", REPO / "bench"), ("scripts", REPO / "scripts")]:
        (tmp_path / name).symlink_to(target)
    return tmp_path


def outputs(section, here, service):
    """Of each block of the section."""
    variables = {
        "MODEL": str(MODEL),
        "SERVICE": f"http://127.0.0.1:{service.port}",
        "CITADEL_EMBED_LIBRARY": str(LIBRARY),
        "CITADEL_THREADS": "1",
    }
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL):
        process = subprocess.run(
            ["bash", "-euc", block],
            cwd=here,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert process.returncode == 0, f"{block}\n{process.stdout}{process.stderr}"
        found.append(process.stdout)
    return found


def test_refused_folder(here, service):
    (shown,) = outputs("A folder is refused", here, service)
    assert "explain:" in shown


def test_prepared_weights(here, service):
    (shown,) = outputs("The first load of a folder takes long every time", here, service)
    assert "prepared_weights = " in shown and "prepared_path = " in shown


def test_compiled_form(here, service):
    why, without = outputs("A compiled form is not used", here, service)
    assert "explain" in why and "form" in why
    assert re.search(r"form\W+torchscript", without)


def test_nan(here, service):
    metrics, own = outputs("NaN", here, service)
    assert re.search(r"^citadel_nan_recoveries_total \d+$", metrics, re.MULTILINE)
    assert re.search(r"precision\W+fp32", own)


def test_memory(here, service):
    metrics, _ = outputs("Growing memory", here, service)
    rows = dict(line.split() for line in metrics.splitlines())
    assert int(rows["citadel_process_resident_bytes"]) > int(rows["citadel_cache_bytes"]) > 0
    tight = {**os.environ, "CITADEL_CACHE_BYTES": "1M"}
    info = [BUILD / "tools" / "citadel-embed", "info", MODEL]
    process = subprocess.run(info, env=tight, capture_output=True, text=True, timeout=300)
    assert process.returncode != 0 and "cache_bytes" in process.stderr


def test_regressions(here, service):
    old = ["build/bench/model_performance", "--model", MODEL, "--iterations", "20", "--json", "old.json"]
    subprocess.run(old, cwd=here, env={**os.environ, "INFERENCE_OPTIMIZATION": "false"}, check=True)
    (compared,) = outputs("It became slower", here, service)
    assert "Profile: wait" in compared and re.search(r"^time .* ok$", compared, re.MULTILINE)


def test_known_state(here, service):
    (info,) = outputs("Back to a known state", here, service)
    assert re.search(r"form\W+torchscript", info) and re.search(r"precision\W+fp32", info)


def test_each_section_is_tried():
    assert len(SECTIONS) == 7 and all("```sh" in text for text in SECTIONS.values())
