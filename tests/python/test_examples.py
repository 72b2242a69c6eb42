"""The example programs run, and say the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CITADEL_BUILD_DIR", REPO / "build"))
LIBRARY = BUILD / "libcitadel_embed.so.0"
MODEL = Path(os.environ.get("CITADEL_TEST_MODEL", REPO / "models" / "all-MiniLM-L6-v2")).resolve()


@pytest.fixture(scope="session")
def model():
    if not (MODEL / "citadel.json").exists():
        pytest.skip(f"there is no model pack in {MODEL}")
    return MODEL


def run(*command, env=None):
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        timeout=300,
    )


def test_the_program_in_the_header_is_the_example():
    header = (REPO / "include" / "citadel_embed.h").read_text()
    overview = header[header.index("A COMPLETE PROGRAM") : header.index("RULES")]
    program = re.search(r" \*     #include.*?\n \*     }\n", overview, re.DOTALL).group()
    program = "".join(line[7:] + "\n" for line in program.splitlines())
    assert (REPO / "examples" / "embed.c").read_text() == program


def test_embed(model, tmp_path):
    (tmp_path / "all-MiniLM-L6-v2").symlink_to(model)
    process = run(BUILD / "examples" / "embed", env={"CITADEL_MODEL_PATH": str(tmp_path)})
    assert process.returncode == 0, process.stderr
    assert re.fullmatch(r"similarity 0\.\d{3}\n", process.stdout)


def test_embed_without_model(tmp_path):
    process = run(BUILD / "examples" / "embed", env={"CITADEL_MODEL_PATH": str(tmp_path)})
    assert process.returncode == 1 and process.stdout == ""
    assert "all-MiniLM-L6-v2" in process.stderr


def test_similarity(model):
    process = run(BUILD / "examples" / "similarity", model)
    assert process.returncode == 0, process.stderr
    answers = process.stdout.splitlines()
    assert len(answers) == 6
    for question, answer in (("log in", "password"), ("shipping", "Parcels"), ("bill", "Invoices")):
        place = next(i for i in (0, 2, 4) if question in answers[i])
        assert re.match(r"  0\.\d{3}  ", answers[place + 1]) and answer in answers[place + 1]


def test_similarity_errors(tmp_path):
    assert run(BUILD / "examples" / "similarity").returncode == 2
    process = run(BUILD / "examples" / "similarity", tmp_path / "missing")
    assert process.returncode == 1 and "missing" in process.stderr


def test_ctypes(model, tmp_path):
    process = run(sys.executable, REPO / "examples" / "ctypes_embed.py", LIBRARY, model)
    assert process.returncode == 0, process.stderr
    (tmp_path / "all-MiniLM-L6-v2").symlink_to(model)
    embed = run(BUILD / "examples" / "embed", env={"CITADEL_MODEL_PATH": str(tmp_path)})
    dim, similarity = process.stdout.splitlines(keepends=True)
    assert int(dim.split()[1]) > 1 and similarity == embed.stdout


def test_ctypes_errors(tmp_path):
    example = REPO / "examples" / "ctypes_embed.py"
    assert "usage" in run(sys.executable, example).stderr
    process = run(sys.executable, example, LIBRARY, tmp_path / "missing")
    assert process.returncode == 1 and "missing" in process.stderr and "Traceback" not in process.stderr
