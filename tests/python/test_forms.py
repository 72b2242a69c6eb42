"""Forms that fail, in libtorch itself: the next one computes, says why, and its vectors are right."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import citadel_embed
import yardsticks
from citadel_embed.export import gate, torchscript
from citadel_embed.export import pack as packing
from conftest import PACK

COUNT = 12  # golden texts that are compared
ZEBRA = 29145  # the id of "zebra"
FP32, BF16 = "compiled fp32", "compiled bf16"


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "citadel.json").read_text())


def kinds(folder: Path) -> dict[str, dict]:
    """Forms of a pack by "form precision"."""
    return {f"{a['form']} {a['precision']}": a for a in manifest_of(folder)["artifacts"]}


pytestmark = pytest.mark.skipif(
    not (PACK / "citadel.json").exists() or len(kinds(PACK)) < 4,
    reason=f"no pack with all its forms in {PACK}: run scripts/test",
)


def _link(source: str, dest: str) -> None:
    try:
        os.link(source, dest)
    except OSError:  # another file system
        shutil.copy2(source, dest)


class Copy:
    """A copy of the pack to spoil. What is changed is a file of its own before."""

    def __init__(self, folder: Path, source: Path = PACK) -> None:
        self.folder = folder
        shutil.copytree(source, folder, copy_function=_link)
        self.forms = kinds(folder)

    def file(self, form: str, member: str = "graph") -> Path:
        return self.folder / self.forms[form][member]

    def put(self, path: Path, data: bytes) -> None:
        path.unlink()
        path.write_bytes(data)

    def edit(self, change) -> None:
        """Change the manifest."""
        manifest = manifest_of(self.folder)
        change(manifest, {f"{a['form']} {a['precision']}": a for a in manifest["artifacts"]})
        for name in ("citadel.json", "citadel.sha256"):
            (self.folder / name).unlink()
        packing.write_manifest(self.folder, manifest)

    def put_compiled(self, form: str, data: bytes) -> None:
        """With checksums that fit, and the digest in the name."""
        name = f"graph.{hashlib.sha256(data).hexdigest()[:16]}.so"
        entry = packing.write_file(self.folder / name, data)

        def change(manifest, forms):
            forms[form]["graph"] = name
            manifest["files"][name] = entry

        self.edit(change)

    def put_tensors(self, path: Path, tensors: dict[str, torch.Tensor]) -> None:
        path.unlink()
        entry = packing.write_safetensors(path, tensors)
        self.edit(lambda manifest, _: manifest["files"].update({path.name: entry}))


@pytest.fixture
def copy(tmp_path) -> Copy:
    return Copy(tmp_path / "pack")


@pytest.fixture(scope="module")
def golden() -> tuple[list[str], np.ndarray]:
    """What sentence-transformers gave at export."""
    texts = [text["text"] for text in json.loads((PACK / "golden.json").read_text())["texts"]]
    vectors = safetensors.numpy.load_file(PACK / "golden.safetensors")["vectors"]
    return texts[:COUNT], vectors[:COUNT]


def check(model: citadel_embed.Model, golden, precision: str = "fp32") -> None:
    texts, expected = golden
    found = model.embed(texts)
    if precision == "fp32":
        assert np.abs(found - expected).max() <= 1e-5
    assert gate._cosines(found, expected).min() >= 0.9999


def loaded(copy: Copy, golden, form: str, *, failed=(), skipped=(), **engine) -> str:
    """Load with ``engine``'s switches: ``form`` computes, and the explanation names the others. Gives it."""
    with citadel_embed.Engine(**engine) as made, made.load(copy.folder) as model:
        info = model.info()
        assert f"{info['form']} {info['precision']}" == form
        assert info["fallbacks"] == len(failed)
        lines = info["explain"].splitlines()
        for what, others in (("failed", failed), ("skipped", skipped)):
            for other in others:
                assert any(line.startswith(f"{what}: {other} (") for line in lines), lines
        check(model, golden, info["precision"])
        return info["explain"]


def refused(copy: Copy, **engine) -> citadel_embed.CitadelError:
    with citadel_embed.Engine(**engine) as made, pytest.raises(citadel_embed.CitadelError) as caught:
        made.load(copy.folder)
    return caught.value


# ---- As it should be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("switches", "form"),
    [
        ({}, "compiled fp32"),
        ({"compile": False}, "torchscript fp32"),
        ({"optimization": False}, "torchscript fp32"),
        ({"mixed_precision": True}, "compiled bf16"),
        ({"mixed_precision": True, "compile": False}, "torchscript bf16"),
    ],
)
def test_a_form_that_works_says_nothing(copy, golden, capfd, switches, form):
    if "bf16" in form and "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU has no avx512_bf16")
    loaded(copy, golden, form, **switches)
    assert capfd.readouterr() == ("", "")


# ---- The compiled file --------------------------------------------------------------------------


def flip_a_bit(copy: Copy) -> None:
    path = copy.file(FP32)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    copy.put(path, bytes(data))


def truncate(copy: Copy) -> None:
    copy.put(copy.file(FP32), copy.file(FP32).read_bytes()[:-1000])


def remove(copy: Copy) -> None:
    copy.file(FP32).unlink()


def remove_externs(copy: Copy) -> None:
    copy.file(FP32, "externs").unlink()


def garbage(copy: Copy) -> None:
    copy.put_compiled(FP32, np.random.default_rng(1).bytes(100_000))


def cut_object(copy: Copy) -> None:
    """With checksums that fit: the dynamic loader would touch what is not there."""
    copy.put_compiled(FP32, copy.file(FP32).read_bytes()[:300_000])


def foreign_object(copy: Copy) -> None:
    """A shared object, but none of AOTInductor's."""
    library = Path(os.environ["CITADEL_EMBED_LIBRARY"]).resolve()
    copy.put_compiled(FP32, library.read_bytes())


def another_precision(copy: Copy) -> None:
    """It computes, but not well enough for what it says that it is: only golden texts can tell."""

    def change(_, forms):
        for member in ("graph", "externs"):
            forms[FP32][member] = forms[BF16][member]

    copy.edit(change)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip_a_bit, "CRC-32C"),
        (truncate, "bytes"),
        (remove, "is missing"),
        (remove_externs, "is missing"),
        (garbage, "invalid ELF header"),
        (cut_object, "shorter than its header says"),
        (foreign_object, "AOTInductorModelContainerCreate"),
        (another_precision, "golden text 0: the vector differs"),
    ],
)
def test_a_compiled_file_that_fails_gives_way(copy, golden, capfd, damage, reason):
    damage(copy)
    explained = loaded(copy, golden, "torchscript fp32", failed=[FP32])
    (why,) = [line for line in explained.splitlines() if line.startswith("failed: ")]
    assert reason in why
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"citadel_embed: warning: model '{copy.folder}': {FP32} (")
    assert "failed, the next form is tried: " in line and reason in line
    # Who does not want it does not see it fail.
    loaded(copy, golden, "torchscript fp32", skipped=[FP32], compile=False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"isa": ["avx2", "avx10_9"]}, "this CPU has no avx10_9"),
        ({"isa": None}, "the pack does not say which CPU features it needs"),
        ({"torch": "2.10.0"}, "it was made with torch 2.10.0, the backend is libtorch 2."),
        ({"device": "cuda"}, "it is for the device 'cuda', this library computes on the cpu"),
        ({"form": "engraved"}, "this library does not know the form 'engraved'"),
    ],
)
def test_a_form_that_is_not_for_here_is_skipped(copy, golden, capfd, change, reason):
    def edit(_, forms):
        form = forms[FP32]
        form |= change
        for name in [name for name, value in change.items() if value is None]:
            del form[name]

    copy.edit(edit)
    copy.file(FP32).unlink()  # nobody looks at it
    explained = loaded(copy, golden, "torchscript fp32")
    (line,) = [line for line in explained.splitlines() if copy.forms[FP32]["graph"] in line]
    assert line.startswith("skipped: ") and reason in line
    assert capfd.readouterr().err == ""


# ---- Weights ------------------------------------------------------------------------------------


def other_weights(copy: Copy) -> None:
    path = copy.file("torchscript fp32", "weights")
    tensors = safetensors.torch.load(path.read_bytes())
    name = next(name for name in tensors if name.endswith("position_embeddings.weight"))
    tensors[name] = tensors[name].roll(1, 0)
    copy.put_tensors(path, tensors)


def test_a_form_with_its_tensors_inside_does_without_weights(copy, golden):
    other_weights(copy)
    loaded(copy, golden, FP32)
    error = refused(copy, compile=False)
    assert error.status == "CITADEL_E_BAD_MODEL"
    assert "golden text 0: the vector differs" in str(error)


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (lambda old: old.new_zeros((1,) * old.dim()), "bytes, but the graph reads some"),
        (lambda old: old.to(torch.float64), "is Double, but the graph needs"),
    ],
)
def test_compiled_code_is_given_no_weights_but_those_it_was_made_for(tmp_path, tensor, reason):
    """It would read beyond their end: in the graph of this model they lie outside."""
    copy = Copy(tmp_path / "pack", yardsticks.pack("phi-3-mini-2l"))
    tensors = safetensors.torch.load_file(copy.file(BF16, "weights"))
    copy.put_tensors(copy.file(BF16, "weights"), {name: tensor(old) for name, old in tensors.items()})

    def change(manifest, forms):
        manifest["artifacts"] = [forms[BF16] | {"recovery": None}]

    copy.edit(change)
    assert reason in str(refused(copy))


def test_all_forms_that_fail_are_an_error_of_the_load(copy, capfd):
    other_weights(copy)
    another_precision(copy)
    error = refused(copy)
    assert error.status == "CITADEL_E_BAD_MODEL"
    assert "all 2 forms failed, the last was torchscript fp32 (graph.fp32.pt): golden text 0" in str(error)
    assert len(capfd.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("damage", ["missing", "directory", "empty"])
def test_weights_that_cannot_be_read(copy, golden, damage):
    if "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU has no avx512_bf16")
    for form in ("torchscript bf16", "torchscript fp32"):
        path = copy.file(form, "weights")
        path.unlink()
        if damage == "directory":
            path.mkdir()
        elif damage == "empty":
            path.write_bytes(b"")
    # Both forms in bf16 need them, to recover; the compiled one in fp32 does not.
    loaded(copy, golden, FP32, failed=[BF16, "torchscript bf16"], mixed_precision=True)
    error = refused(copy, mixed_precision=True, compile=False)
    assert "all 2 forms failed, the last was torchscript fp32 (graph.fp32.pt): " in str(error)
    assert copy.forms["torchscript fp32"]["weights"] in str(error)


# ---- Numbers ------------------------------------------------------------------------------------


class NanAt(torch.nn.Module):
    """The graph within, but a text that has the token ``trigger`` gets NaN."""

    def __init__(self, inner: torch.jit.ScriptModule, trigger: int) -> None:
        super().__init__()
        self.inner, self.trigger = inner, trigger

    def forward(self, ids: torch.Tensor, positions: torch.Tensor, cu_seqlens: torch.Tensor) -> torch.Tensor:
        vectors = self.inner(ids, positions, cu_seqlens)
        before = torch.nn.functional.pad((ids == self.trigger).long().cumsum(0), [1, 0])
        hit = before[cu_seqlens[1:]] > before[cu_seqlens[:-1]]
        return torch.where(hit.unsqueeze(1), torch.full_like(vectors, float("nan")), vectors)


def put_graphs(copy: Copy, trigger: int, recovery_trigger: int) -> None:
    """Both graphs in bf16, wrapped."""
    weights = copy.file("torchscript bf16", "weights")
    for member, token in (("graph", trigger), ("recovery", recovery_trigger)):
        path = copy.file("torchscript bf16", member)
        wrapped = torch.jit.script(NanAt(torchscript.read(path, weights), token).eval())
        path.unlink()
        files = torchscript.write_graph(wrapped, path)
        copy.edit(lambda manifest, _, files=files: manifest["files"].update(files))
        tensors = torchscript.state(wrapped)
        tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    copy.put_tensors(weights, tensors)


def test_a_text_that_is_not_finite_is_recovered(copy, golden):
    put_graphs(copy, ZEBRA, -1)
    texts, expected = golden
    zebra = ["a zebra", *texts, "two zebra"]
    with citadel_embed.Engine(compile=False) as engine, engine.load(PACK) as model:
        right = model.embed(zebra)
    with (
        citadel_embed.Engine(compile=False) as engine,
        engine.load(copy.folder, precision="bf16") as model,
    ):
        assert gate._cosines(model.embed(zebra), right).min() >= 0.9999
        assert engine.metrics()["nan_recoveries"] == 2
        assert gate._cosines(model.embed(texts), expected).min() >= 0.9999
        assert engine.metrics()["nan_recoveries"] == 2


def test_a_text_that_cannot_be_recovered_fails_alone(copy, golden):
    put_graphs(copy, ZEBRA, ZEBRA)
    texts, expected = golden
    with (
        citadel_embed.Engine(compile=False) as engine,
        engine.load(copy.folder, precision="bf16") as model,
    ):
        vectors, results = model.embed_results(["a zebra", *texts])
        assert [result.status for result in results] == ["CITADEL_E_NOT_FINITE"] + ["CITADEL_OK"] * COUNT
        assert not vectors[0].any()
        assert gate._cosines(vectors[1:], expected).min() >= 0.9999


# ---- Memory -------------------------------------------------------------------------------------

# Loads once to have libtorch in the process, then within so many more megabytes than it has, then without a
# limit.
SHORT_OF_MEMORY = """
import json, resource, sys
import citadel_embed

def address_space():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

pack, *more = sys.argv[1:]
with citadel_embed.Engine(threads=1, compile=False) as engine, engine.load(pack) as model:
    model.embed(["a text"])
start = address_space()
said = []
for limit in [start + (int(megabytes) << 20) for megabytes in more] + [resource.RLIM_INFINITY]:
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    with citadel_embed.Engine(threads=1) as engine:
        try:
            with engine.load(pack) as model:
                info = model.info()
                said.append([info["form"], info["explain"], model.embed(["Hello"])[0].tolist()])
        except citadel_embed.CitadelError as error:
            said.append([error.status, str(error), None])
print(json.dumps(said))
"""


def test_a_load_without_memory_is_an_error_and_the_next_one_succeeds(golden):
    """From too little for anything to enough for all, with whatever fails in between."""
    limits = [str(megabytes) for megabytes in (10, 40, 80, 110, 140, 170, 200)]
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(PACK), *limits]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    texts, expected = golden
    status, message, _ = said[0]
    assert status == "CITADEL_E_NO_MEMORY"
    assert "all 2 forms failed, the last was torchscript fp32 (graph.fp32.pt): " in message
    for form, words, vector in said:
        if vector is None:
            assert form in ("CITADEL_E_NO_MEMORY", "CITADEL_E_BACKEND"), words
        else:
            assert np.abs(np.array(vector) - expected[texts.index("Hello")]).max() <= 1e-5
    assert said[-1][0] == "compiled"
