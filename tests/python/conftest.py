"""For every test here."""

import os
from pathlib import Path

import pytest

import citadel_embed

PACK = Path(
    os.environ.get("CITADEL_TEST_MODEL", Path(__file__).resolve().parents[2] / "models" / "all-MiniLM-L6-v2")
)


@pytest.fixture(scope="session", autouse=True)
def prepared_weights(tmp_path_factory):
    """No test writes to the user's cache."""
    os.environ["CITADEL_PREPARED_PATH"] = str(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session", autouse=True)
def operator_of_the_library(prepared_weights):
    """Who registers the operator first serves the whole process: it must be the library, not the exporter."""
    if (PACK / "citadel.json").exists():
        with citadel_embed.Engine() as engine, engine.load(PACK):
            pass
