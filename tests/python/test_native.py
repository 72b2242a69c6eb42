"""The native backend on the real all-MiniLM-L6-v2, through the public API, beside sentence-transformers."""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import citadel_embed
from tokenizer_zoo import minilm_folder

PARAGRAPH = (
    "A library that is linked into other programs has to live with what it finds there: threads that it did "
    "not start, memory that is not its own, and a user who wants an answer now. It must neither print nor "
    "exit, it gives back what it took, and it says in one line what went wrong. Whoever keeps to this for 20 "
    "years has written something that others can build on, and that nobody has to think about."
)
# Words and characters of several scripts, from nothing to more than the limit.
TEXTS = [
    "",
    "a",
    "How do I reset my password?",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "色は匂へど散りぬるを 我が世誰ぞ常ならむ",
    "🙂🙃 1,234.56 € https://example.org/a?b=c#d",
    *(" ".join(PARAGRAPH.split()[i : i + n]) for i, n in enumerate((3, 8, 17, 20, 30, 47, 48, 49, 90, 130))),
    " ".join([PARAGRAPH] * 6),
]
# The smallest cosine with fp32 that may be, on texts that nothing was fitted to.
COSINES = {"fp32": 0.999999, "bf16": 0.9999, "int8": 0.997, "int8-accurate": 0.9985}
ISAS = ("generic", "avx2", "avx512", "avx512_vnni", "avx512_bf16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(shutil.copytree(minilm_folder(), tmp_path_factory.mktemp("native") / "all-MiniLM-L6-v2"))


@pytest.fixture(scope="module")
def expected(folder) -> np.ndarray:
    return SentenceTransformer(str(folder), device="cpu").encode(TEXTS, show_progress_bar=False)


def native_isas() -> list[str]:
    with citadel_embed.Engine() as engine:
        best = engine.diagnose()["native"]
    return list(ISAS[: ISAS.index(best) + 1])


@pytest.mark.parametrize("precision", COSINES)
def test_vectors_are_those_of_sentence_transformers(folder, expected, precision):
    with citadel_embed.Engine() as engine, engine.load(folder, precision=precision) as model:
        assert (model.info()["form"], model.info()["precision"]) == ("native", precision)
        found = model.embed(TEXTS)
    assert (found * expected).sum(1).min() >= COSINES[precision]
    if precision == "fp32":
        assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("precision", COSINES)
def test_the_same_bits_whatever_is_beside_a_text(folder, precision):
    found = []
    for threads in (1, 2, 4):
        for tokens in (16, 256, 4096):
            with (
                citadel_embed.Engine(threads=threads, batch_tokens=tokens) as engine,
                engine.load(folder, precision=precision) as model,
            ):
                found.append(model.embed(TEXTS))
                found.append(model.embed(TEXTS[::-1])[::-1])
                found.append(np.concatenate([model.embed([text]) for text in TEXTS]))
    for other in found[1:]:
        assert np.array_equal(found[0], other)


def test_instruction_sets_agree(folder):
    found = []
    for isa in native_isas():
        with citadel_embed.Engine(isa=isa) as engine, engine.load(folder) as model:
            found.append(model.embed(TEXTS[:12]))
    for other in found[1:]:
        assert np.abs(other - found[0]).max() <= 1e-5


def test_without_optimization_it_is_the_plain_kernels(folder):
    with citadel_embed.Engine(optimization=False) as engine, engine.load(folder) as model:
        found = model.embed(TEXTS[:6])
    with citadel_embed.Engine(isa="generic") as engine, engine.load(folder) as model:
        assert np.array_equal(found, model.embed(TEXTS[:6]))


def embed_prepared(folder: Path, kept: Path, **options) -> np.ndarray:
    with (
        citadel_embed.Engine(prepared_path=kept, **options) as engine,
        engine.load(folder, precision="int8") as model,
    ):
        return model.embed(TEXTS)


def test_prepared_weights_are_kept_and_made_anew(folder, tmp_path):
    kept = tmp_path / "deep" / "prepared"
    found = embed_prepared(folder, kept)
    (file,) = kept.iterdir()
    assert file.name.startswith("all-MiniLM-L6-v2-int8-")
    made = file.stat().st_mtime_ns
    assert np.array_equal(embed_prepared(folder, kept), found)
    assert file.stat().st_mtime_ns == made

    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    assert np.array_equal(embed_prepared(folder, kept), found)
    (again,) = kept.iterdir()
    assert again.read_bytes() != bytes(damaged)


def test_accuracy_is_measured_once_and_kept(folder, expected, tmp_path):
    found = {}
    for precision in [*COSINES, *COSINES]:
        with (
            citadel_embed.Engine(prepared_path=tmp_path) as engine,
            engine.load(folder, precision=precision) as model,
        ):
            info = model.info()
            figures = info["min_cosine"], info["mean_cosine"], info["neighbour_overlap"]
            assert found.setdefault(precision, figures) == figures
    assert found.pop("fp32") == (0, 0, 0)
    for least, mean, overlap in found.values():
        assert 0.99 < least < mean < 1 and 0.9 < overlap <= 1
    assert found["int8"][1] < found["int8-accurate"][1] < found["bf16"][1]


def test_prepared_weights_need_not_be_kept(folder, tmp_path):
    found = embed_prepared(folder, tmp_path / "off", prepared_weights=False)
    assert not (tmp_path / "off").exists()
    assert np.array_equal(embed_prepared(folder, Path("/proc/nowhere")), found)


def test_a_changed_checkpoint_is_prepared_anew(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / folder.name))
    found = embed_prepared(copy, tmp_path / "prepared")
    poison(copy, "encoder.layer.5.output.dense.bias", 1.0)
    assert not np.array_equal(embed_prepared(copy, tmp_path / "prepared"), found)
    assert len(list((tmp_path / "prepared").iterdir())) == 2


def poison(folder: Path, name: str, value: float) -> None:
    """Set the first element of a tensor."""
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    struct.pack_into("<f", data, 8 + size + header[name]["data_offsets"][0], value)
    file.write_bytes(data)


@pytest.mark.parametrize("precision", COSINES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["encoder.layer.2.intermediate.dense.weight", "encoder.layer.3.attention.self.value.bias"]
)
def test_what_is_not_finite_is_no_vector(folder, tmp_path, precision, value, name):
    copy = Path(shutil.copytree(folder, tmp_path / folder.name))
    poison(copy, name, value)
    with (
        citadel_embed.Engine(prepared_weights=False) as engine,
        engine.load(copy, precision=precision) as model,
        pytest.raises(citadel_embed.CitadelError) as error,
    ):
        model.embed(["a text"])
    assert error.value.status == "CITADEL_E_NOT_FINITE"


def test_the_torch_backend_computes_no_folders(folder):
    with citadel_embed.Engine(backend="torch") as engine, pytest.raises(citadel_embed.CitadelError) as error:
        engine.load(folder)
    assert error.value.status == "CITADEL_E_UNSUPPORTED"
    assert "CITADEL_BACKEND" in str(error.value)


def test_mixed_precision_is_bf16_where_the_processor_has_it(folder):
    with citadel_embed.Engine(mixed_precision=True) as engine, engine.load(folder) as model:
        assert model.info()["precision"] == ("bf16" if engine.diagnose()["mixed_precision"] else "fp32")
