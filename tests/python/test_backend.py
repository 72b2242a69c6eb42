"""The torch backend: whatever it throws arrives as a status, and the process goes on."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

import citadel_embed
from citadel_embed.export import pack as packing
from citadel_embed.export import torchscript
from conftest import PACK

BUILD = Path(os.environ["CITADEL_EMBED_LIBRARY"]).parent
DIM = 384
ZEBRA = 29145  # the id of "zebra"

torch.ops.load_library(str(BUILD / "libthrowing.so"))


class Graph(torch.nn.Module):
    """Vectors of zeros; a batch with `trigger` among its ids throws what `kind` says. -1: every batch."""

    def __init__(self, kind: int, trigger: int) -> None:
        super().__init__()
        self.kind, self.trigger = kind, trigger
        self.row = torch.nn.Parameter(torch.zeros(1, DIM))

    def forward(self, ids: torch.Tensor, positions: torch.Tensor, cu_seqlens: torch.Tensor) -> torch.Tensor:
        if self.trigger == -1 or bool((ids == self.trigger).any()):
            return torch.ops.citadel_test.throws(self.row, self.kind)
        return self.row.expand(cu_seqlens.shape[0] - 1, -1)


class Wrong(Graph):
    """An output that is not a vector for each text."""

    def forward(self, ids: torch.Tensor, positions: torch.Tensor, cu_seqlens: torch.Tensor) -> torch.Tensor:
        return self.row.expand(cu_seqlens.shape[0], -1)


def pack_of(graph: torch.nn.Module, folder: Path) -> Path:
    """The real pack, with another graph as its only form. Its golden vectors are zeros."""
    shutil.copytree(PACK, folder, ignore=shutil.ignore_patterns("graph.*", "weights.*"))
    manifest = json.loads((folder / "citadel.json").read_text())
    files, artifact = manifest["files"], manifest["artifacts"][0]
    manifest["artifacts"] = [artifact]
    for name in [name for name in files if not (folder / name).exists()]:
        del files[name]
    scripted = torch.jit.script(graph)
    files |= torchscript.write_weights(scripted, folder / artifact["weights"])
    files |= torchscript.write_graph(scripted, folder / artifact["graph"])
    vectors = folder / "golden.safetensors"
    count = len(json.loads((folder / "golden.json").read_text())["texts"])
    packing.write_safetensors(vectors, {"vectors": torch.zeros(count, DIM)})
    files[vectors.name] = packing.write_file(vectors, vectors.read_bytes())
    manifest["normalize"] = False
    packing.write_manifest(folder, manifest)
    return folder


# What is thrown, and what has to come out.
THROWN = [
    (1, "CITADEL_E_BACKEND", "a c10::Error of the test"),
    (2, "CITADEL_E_BACKEND", "a std::runtime_error of the test"),
    (3, "CITADEL_E_NO_MEMORY", "std::bad_alloc"),
    (4, "CITADEL_E_BACKEND", "an exception of unknown type"),
]


@pytest.fixture(scope="module")
def engine():
    with citadel_embed.Engine(threads=2) as engine:
        yield engine


@pytest.mark.parametrize(("kind", "status", "message"), THROWN)
def test_exception_in_the_first_run_is_a_status_of_the_load(engine, tmp_path, kind, status, message):
    folder = pack_of(Graph(kind, -1), tmp_path / "pack")
    for _ in range(2):
        with pytest.raises(citadel_embed.CitadelError, match=message) as error:
            engine.load(folder)
        assert error.value.status == status
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("kind", "status", "message"), THROWN)
def test_exception_in_a_run_is_a_status_and_the_model_goes_on(engine, tmp_path, kind, status, message):
    folder = pack_of(Graph(kind, ZEBRA), tmp_path / "pack")
    with engine.load(folder) as model:
        for _ in range(3):
            with pytest.raises(citadel_embed.CitadelError, match=message) as error:
                model.embed(["a zebra"])
            assert error.value.status == status
            assert not model.embed(["a horse"]).any()


def test_output_of_wrong_shape_is_refused(engine, tmp_path):
    with pytest.raises(citadel_embed.CitadelError, match=r"the graph gave Float\[\d, 384\] for \d texts"):
        engine.load(pack_of(Wrong(0, -1), tmp_path / "pack"))


@pytest.mark.parametrize("size", [0, 1, 100, 20000])
def test_graph_that_is_no_archive_is_a_bad_model(engine, tmp_path, size):
    folder = pack_of(Graph(0, -1), tmp_path / "pack")
    manifest = json.loads((folder / "citadel.json").read_text())
    graph = folder / manifest["artifacts"][0]["graph"]
    manifest["files"][graph.name] = packing.write_file(graph, graph.read_bytes()[:size].ljust(size, b"x"))
    packing.write_manifest(folder, manifest)
    with pytest.raises(citadel_embed.CitadelError) as error:
        engine.load(folder)
    assert error.value.status == "CITADEL_E_BAD_MODEL"


def test_host_keeps_its_torch_settings(engine):
    """Threads, gradient and inference mode of the caller's thread are not the library's to change."""

    def settings():
        return (
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_default_dtype(),
        )

    torch.set_num_threads(1)
    before = settings()
    with engine.load(PACK) as model:
        model.embed(["one text", "another one"] * 40)
    assert settings() == before
    x = torch.ones(3, requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
