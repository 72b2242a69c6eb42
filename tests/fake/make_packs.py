"""Tiny model packs for the fake backend: good ones, and one for each way to be bad.

usage: make_packs.py DEST STAMP
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import struct
import sys
from pathlib import Path

DIM = 8
MAX_TOKENS = 16
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CLS, SEP = 2, 3
# tests/api/harness.h has the ids of those that make the fake misbehave.
WORDS = ["nan", "inf", "fail", "oom", "wait", "query", ":", "the", "quick", "brown", "fox", "jumps", "over"]
WORDS += ["lazy", "dog", "##s", "a", "b", "c", "d", "e", "f", "привет", "東", "京", "passage", ".", ","]
VOCAB = {word: i for i, word in enumerate(SPECIALS + WORDS)}
THE = VOCAB["the"]
MOODS = "fake nan-id 5 inf-id 6 fail-id 7 oom-id 8 wait-id 9"
GOLDEN = ["", "fox", "привет 東 京", "the quick brown fox jumps over the lazy dog .", "a b c d e f " * 4]
PROMPTS = {"query": "query: ", "passage": "passage ", "nothing": ""}


# ---- Numbers ---------------------------------------------------------------------------------


def crc32c(data: bytes) -> str:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return f"{crc ^ 0xFFFFFFFF:08x}"


def weight(token: int, d: int) -> float:
    """Also in tests/api/harness.c."""
    return ((token * 7 + d * 13) % 23 - 11) / 8


def token_ids(text: str) -> list[int]:
    """Of golden texts, which are words of the vocabulary."""
    words = [VOCAB[word] for word in text.split()]
    return [CLS, *words[: MAX_TOKENS - 2], SEP]


def vector(text: str, bias: float, normalize: bool) -> list[float]:
    ids = token_ids(text)
    rows = [[weight(token, d) * (1 + i % 7) for d in range(DIM)] for i, token in enumerate(ids)]
    sums = [bias + sum(column) / len(ids) for column in zip(*rows, strict=True)]
    length = math.sqrt(sum(x * x for x in sums)) if normalize else 1
    return [x / length for x in sums]


def tilted_cosine(thousandths: int) -> float:
    """The smallest cosine of the golden texts that a load checks, where the fake's vectors are tilted."""
    cosines = []
    for text in GOLDEN[:3]:
        right = vector(text, 0, True)
        wrong = [right[0] + thousandths / 1000, *right[1:]]
        length = math.sqrt(sum(x * x for x in wrong))
        cosines.append(sum(a * b for a, b in zip(right, wrong, strict=True)) / length)
    return min(cosines)


# ---- Files -----------------------------------------------------------------------------------


def floats(numbers) -> bytes:
    return b"".join(struct.pack("<f", x) for x in numbers)


def safetensors(tensors: dict[str, tuple[list[int], bytes]]) -> tuple[bytes, dict]:
    """The file, and its checksums for the manifest."""
    header, offset = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    start = struct.pack("<Q", len(text)) + text
    sums = {name: crc32c(data) for name, (_, data) in tensors.items()}
    whole = start + b"".join(data for _, data in tensors.values())
    return whole, {"header_crc32c": crc32c(start), "tensors": sums}


def tokenizer() -> bytes:
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    piece = {"type_id": 0}
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "[CLS]", **piece}},
            {"Sequence": {"id": "A", **piece}},
            {"SpecialToken": {"id": "[SEP]", **piece}},
        ],
        "pair": [
            {"SpecialToken": {"id": "[CLS]", **piece}},
            {"Sequence": {"id": "A", **piece}},
            {"SpecialToken": {"id": "[SEP]", **piece}},
            {"Sequence": {"id": "B", "type_id": 1}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
        ],
        "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [CLS], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [SEP], "tokens": ["[SEP]"]},
        },
    }
    content = {
        "added_tokens": [{"id": i, "content": token, **special} for i, token in enumerate(SPECIALS)],
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 20,
            "vocab": VOCAB,
        },
    }
    return json.dumps(content).encode()


def artifact(precision: str) -> dict:
    return {
        "form": "torchscript",
        "precision": precision,
        "device": "cpu",
        "graph": f"graph.{precision}.pt",
        "weights": f"weights.{precision}.safetensors",
    }


class Pack:
    """What is to be written: change `manifest` or `files`, then `write`."""

    def __init__(self, name, bias=0.0, normalize=True, precisions=("fp32",), graph="fake", **members) -> None:
        table = floats(weight(i, d) for i in range(len(VOCAB)) for d in range(DIM))
        weights, sums = safetensors(
            {"table": ([len(VOCAB), DIM], table), "bias": ([DIM], floats([bias] * DIM))}
        )
        vectors = [x for text in GOLDEN for x in vector(text, bias, normalize)]
        golden, golden_sums = safetensors({"vectors": ([len(GOLDEN), DIM], floats(vectors))})
        texts = {"texts": [{"text": text, "ids": token_ids(text)} for text in GOLDEN]}
        self.files = {"tokenizer.json": tokenizer(), "golden.json": json.dumps(texts).encode()}
        self.files["golden.safetensors"] = golden
        self.sums = {"golden.safetensors": golden_sums}
        for precision in precisions:
            self.files[f"graph.{precision}.pt"] = graph.encode()
            self.files[f"weights.{precision}.safetensors"] = weights
            self.sums[f"weights.{precision}.safetensors"] = sums
        self.manifest = {
            "format": "citadel-pack",
            "format_version": 1,
            "name": name,
            "architecture": "FakeModel",
            "dim": DIM,
            "max_tokens": MAX_TOKENS,
            "vocab_size": len(VOCAB),
            "layout": "packed",
            "modules": ["Fake"],
            "pooling": "mean",
            "normalize": normalize,
            "prompts": PROMPTS,
            "default_prompt": None,
            "tokenizer": "tokenizer.json",
            "golden": {"texts": "golden.json", "vectors": "golden.safetensors"},
            "artifacts": [artifact(precision) for precision in precisions],
            **members,
        }

    def add(self, form: str, precision: str, graph: str, **members) -> dict:
        """One more artifact; a compiled one is named after its content, as it must be."""
        digest = hashlib.sha256(graph.encode()).hexdigest()[:16]
        suffix = f"{digest}.so" if form == "compiled" else "pt"
        name = f"{precision}.{len(self.manifest['artifacts'])}.{suffix}"
        self.files[name] = graph.encode()
        added = artifact("fp32") | {"form": form, "precision": precision, "graph": name}
        if form == "compiled":
            added["isa"] = ["fpu", "sse2"]
        self.manifest["artifacts"].append(added | members)
        return self.manifest["artifacts"][-1]

    def entries(self) -> dict:
        return {
            name: {
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                **({} if name.startswith("weights") else {"crc32c": crc32c(data)}),
                **self.sums.get(name, {}),
            }
            for name, data in self.files.items()
        }

    def write(self, folder: Path) -> None:
        self.manifest.setdefault("files", self.entries())
        folder.mkdir(parents=True)
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        manifest = json.dumps(self.manifest).encode()
        (folder / "citadel.json").write_bytes(manifest)
        line = f"{hashlib.sha256(manifest).hexdigest()}  citadel.json\n"
        (folder / "citadel.sha256").write_bytes(line.encode())


# ---- Packs -----------------------------------------------------------------------------------


def good_packs() -> dict[str, Pack]:
    no_prompts = Pack("no prompts")
    del no_prompts.manifest["prompts"], no_prompts.manifest["default_prompt"]
    no_pairs = Pack("no pairs")
    content = json.loads(no_pairs.files["tokenizer.json"])
    content["post_processor"]["pair"] = []
    no_pairs.files["tokenizer.json"] = json.dumps(content).encode()
    return {
        "no-prompts": no_prompts,
        "no-pairs": no_pairs,
        "tiny": Pack("tiny"),
        "raw": Pack("raw", normalize=False),
        "padded": Pack("padded", layout="padded"),
        "prompted": Pack("prompted", default_prompt="query"),
        "moody": Pack("moody", graph=MOODS),
        "moody-padded": Pack("moody-padded", layout="padded", graph=MOODS),
        # Every text waits at the gate, the golden ones of a load too.
        "slow": Pack("slow", graph=f"fake wait-id {CLS}"),
        "slow-failing": Pack("slow-failing", graph=f"fake wait-id {CLS} fail-id {CLS}"),
        "two-lines": Pack("two\nlines"),
        "two-forms": Pack("two-forms", precisions=("bf16", "fp32")),
        "bf16-only": Pack("bf16-only", precisions=("bf16",), precision="bf16"),
        # Version 1 readers ignore members they do not know.
        "future": Pack("future", **{"colour": {"of": ["the", 1, None]}, "": ""}),
        # "the" is in no golden text that a load checks, but in those of a warm-up.
        **{
            f"{word}-later": Pack(f"{word}-later", graph=f"fake {word}-id {THE}")
            for word in ("nan", "fail", "oom")
        },
        # What a label of Prometheus must not have in it.
        "quoted": Pack('a "quoted" \\ name\nof two lines'),
        # Takes more memory than its files tell.
        "heavy": Pack("heavy", graph="fake bytes 1000000"),
        **{f"number-{i}": Pack(f"number {i}", bias=float(i)) for i in range(1, 7)},
    }


def many_forms() -> Pack:
    """As an exporter would write it for a processor with bf16, and with what is not for this library."""
    pack = Pack("many forms")
    pack.add("compiled", "bf16", "fake bf16", min_cosine=0.99995, max_abs_error=0.001)
    pack.add("compiled", "fp32", "fake", torch="1", min_cosine=0.9999999, max_abs_error=1e-7)
    pack.add("torchscript", "bf16", "fake bf16", min_cosine=0.99995)
    pack.add("torchscript", "int8", "fake", min_cosine=0.99)
    pack.add("steam", "fp32", "fake")
    pack.add("torchscript", "fp32", "fake", device="cuda")
    pack.add("torchscript", "fp4", "fake")
    return pack


def compiled_first(graph: str = "fake", **members) -> Pack:
    """A compiled form with something wrong about it, before a good TorchScript one."""
    pack = Pack("falls back")
    pack.add("compiled", "fp32", graph, **members)
    return pack


def own_weights(name: str, graph: str = "fake") -> Pack:
    """The compiled form has its weights in a file of its own."""
    pack = compiled_first(graph, weights=name)
    pack.files[name] = pack.files["weights.fp32.safetensors"]
    pack.sums[name] = pack.sums["weights.fp32.safetensors"]
    return pack


def with_externs() -> Pack:
    pack = compiled_first(externs="externs.json")
    pack.files["externs.json"] = b"{}"
    return pack


def needs_recovery() -> Pack:
    """Of bf16: golden texts come out right only through the recovery graph, before a form that needs none."""
    pack = Pack("falls back", precisions=(), precision="bf16")
    pack.files |= {"weights.fp32.safetensors": Pack("").files["weights.fp32.safetensors"]}
    pack.sums |= {"weights.fp32.safetensors": Pack("").sums["weights.fp32.safetensors"]}
    pack.files["recovery.pt"] = b"fake"
    pack.add("compiled", "bf16", f"fake bf16 nan-id {CLS}", recovery="recovery.pt")
    pack.add("torchscript", "bf16", "fake bf16")
    return pack


def mixed_fails() -> Pack:
    pack = Pack("mixed fails")
    pack.add("torchscript", "bf16", "fake fail-load", min_cosine=0.99995)
    return pack


def several_fail() -> Pack:
    pack = compiled_first(f"fake fail-id {CLS}")
    pack.add("compiled", "fp32", "fake tilt 1")
    return pack


def all_fail() -> Pack:
    pack = Pack("all fail", graph="fake oom-load")
    pack.add("compiled", "fp32", "fake fail-load")
    return pack


def recovering(**members) -> Pack:
    """Two words overflow in bf16, one of them in fp32 too."""
    pack = needs_recovery()
    pack.manifest |= {"name": "recovering", "artifacts": [], **members}
    pack.files["recovery.pt"] = b"fake inf-id 6 fail-id 7"
    pack.add("compiled", "bf16", "fake bf16 nan-id 5 inf-id 6", recovery="recovery.pt")
    return pack


def recovering_in_vain() -> Pack:
    """Of fp32, where there is nothing more exact: the recovery graph is not for use."""
    pack = Pack("not recovering", graph="fake nan-id 5")
    pack.files["recovery.pt"] = b"fake"
    pack.manifest["artifacts"][0]["recovery"] = "recovery.pt"
    return pack


def inside() -> Pack:
    """The compiled graph has its own tensors: there is no other file."""
    pack = Pack("inside")
    pack.manifest["artifacts"] = []
    pack.add("compiled", "fp32", "fake", tensors_inside=True, weights=None)
    return pack


def slow_then_fp32() -> Pack:
    """Of bf16, which waits at the gate and then fails, so that it becomes one of fp32 where that may be."""
    pack = Pack("slow, then fp32")
    pack.add("torchscript", "bf16", f"fake wait-id {CLS} nan-id {CLS}", min_cosine=0.9999)
    return pack


def tilted(precision: str, thousandths: int, recorded: float | None) -> Pack:
    pack = Pack("tilted", precision=precision)
    pack.manifest["artifacts"] = []
    members = {} if recorded is None else {"min_cosine": tilted_cosine(thousandths) + recorded}
    pack.add("torchscript", precision, f"fake tilt {thousandths}", **members)
    return pack


def packs_of_forms() -> dict[str, Pack]:
    return {
        "many-forms": many_forms(),
        "recovering": recovering(),
        "recovering-padded": recovering(layout="padded"),
        "not-recovering": recovering_in_vain(),
        "inside": inside(),
        "slow-then-fp32": slow_then_fp32(),
        "tilt-bf16": tilted("bf16", 60, 0.0004),
        "tilt-bf16-too-far": tilted("bf16", 60, 0.0006),
        "tilt-bf16-unrecorded": tilted("bf16", 60, None),
        "tilt-bf16-within": tilted("bf16", 10, None),
        "tilt-int8": tilted("int8", 200, 0.0009),
        "tilt-int8-too-far": tilted("int8", 200, 0.0011),
        "tilt-int8-unrecorded": tilted("int8", 200, None),
    }


def packs_that_fall_back() -> dict[str, Pack]:
    """The compiled form fails, or is skipped, for the reason in the pack's name."""
    no_isa = compiled_first()
    del no_isa.manifest["artifacts"][-1]["isa"]
    no_digest = compiled_first()
    no_digest.files["fp32.0123456789abcdef.so"] = b"fake"
    no_digest.manifest["artifacts"][-1]["graph"] = "fp32.0123456789abcdef.so"
    unlisted = compiled_first()
    unlisted.manifest["artifacts"][-1]["graph"] = "unlisted.so"
    return {
        "isa": compiled_first(isa=["sse2", "no_such_feature"]),
        "no-isa": no_isa,
        "torch": compiled_first(torch="2.11.0"),
        "no-digest": no_digest,
        "unlisted": unlisted,
        "damaged": compiled_first(),
        "missing": compiled_first(),
        "directory": compiled_first(),
        "externs-missing": with_externs(),
        "weights-missing": own_weights("weights.other.safetensors"),
        "weights-damaged": own_weights("weights.other.safetensors"),
        "weights-other": own_weights("weights.other.safetensors", "fake fail-load"),
        "fail-load": compiled_first("fake fail-load"),
        "oom-load": compiled_first("fake oom-load"),
        "fail-run": compiled_first(f"fake fail-id {CLS}"),
        "nan": compiled_first(f"fake nan-id {CLS}"),
        "nan-later": compiled_first(f"fake nan-id {THE}"),
        "golden": compiled_first("fake tilt 1"),
        "recovery": needs_recovery(),
        "several": several_fail(),
        "mixed": mixed_fails(),
        "all": all_fail(),
    }


def damage_forms(packs: Path) -> None:
    for name in ("damaged", "missing", "directory"):
        (graph,) = (packs / name).glob("fp32.1.*.so")
        graph.unlink()
        if name == "damaged":
            graph.write_bytes(b"fakE")
        if name == "directory":
            graph.mkdir()
    (packs / "externs-missing" / "externs.json").unlink()
    (packs / "weights-missing" / "weights.other.safetensors").unlink()
    weights = packs / "weights-damaged" / "weights.other.safetensors"
    weights.write_bytes(flip(weights.read_bytes()))


def with_manifest(**members) -> Pack:
    pack = Pack("bad")
    pack.manifest |= members
    return pack


def without(member: str) -> Pack:
    pack = Pack("bad")
    del pack.manifest[member]
    return pack


def with_file(name: str, change) -> Pack:
    """A file that is not what the manifest says."""
    pack = Pack("bad")
    pack.manifest["files"] = pack.entries()
    pack.files[name] = change(pack.files[name])
    return pack


def with_true_file(name: str, change) -> Pack:
    """A file that is wrong, and the manifest knows it so."""
    pack = Pack("bad")
    pack.files[name] = change(pack.files[name])
    return pack


def with_entry(name: str, **members) -> Pack:
    pack = Pack("bad")
    pack.manifest["files"] = pack.entries()
    pack.manifest["files"][name] |= members
    return pack


def with_artifact(**members) -> Pack:
    return with_manifest(artifacts=[artifact("fp32") | members])


def other_vectors(data: bytes) -> bytes:
    """The first number of the golden vectors is wrong by 2e-5, twice what is allowed."""
    at = len(data) - 4 * DIM * len(GOLDEN)
    (number,) = struct.unpack_from("<f", data, at)
    return data[:at] + struct.pack("<f", number + 2e-5) + data[at + 4 :]


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def flip_header(data: bytes) -> bytes:
    """Of safetensors: a space of the padding becomes another kind of white space."""
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return data[: end - 1] + b"\t" + data[end:]


def bad_packs() -> dict[str, Pack]:
    weights = "weights.fp32.safetensors"
    no_weights_entry = with_manifest()
    no_weights_entry.manifest["files"] = no_weights_entry.entries()
    del no_weights_entry.manifest["files"][weights]
    no_tensor_sum = with_entry(weights, tensors={"table": "00000000"})
    return {
        "format": with_manifest(format="other-pack"),
        "version": with_manifest(format_version=2),
        "version-text": with_manifest(format_version="1"),
        "dim-zero": with_manifest(dim=0),
        "dim-huge": with_manifest(dim=2**62),
        "dim-beyond": with_manifest(dim=10**40),
        "dim-negative": with_manifest(dim=-8),
        "dim-fraction": with_manifest(dim=8.5),
        "dim-other": with_manifest(dim=4),
        "max-tokens-one": with_manifest(max_tokens=1),
        "vocab-small": with_manifest(vocab_size=10),
        "layout": with_manifest(layout="round"),
        "normalize": with_manifest(normalize="yes"),
        "no-dim": without("dim"),
        "no-artifacts": without("artifacts"),
        "no-golden": without("golden"),
        "empty-artifacts": with_manifest(artifacts=[]),
        "no-default-prompt": with_manifest(default_prompt="absent"),
        "name-with-nul": with_manifest(name="a\0b"),
        "outside": with_manifest(tokenizer="../tiny/tokenizer.json"),
        "hidden": with_manifest(tokenizer=".tokenizer.json"),
        "form": with_artifact(form="steam"),
        "device": with_artifact(device="cuda"),
        "precision": with_artifact(precision="fp4"),
        "graph-unlisted": with_artifact(graph="nothing.pt"),
        "files-unlisted": no_weights_entry,
        "no-tensor-sum": no_tensor_sum,
        "bytes-huge": with_entry("golden.json", bytes=2**60),
        "bytes-other": with_entry("golden.json", bytes=3),
        # Loads, unless its identity is asked for.
        "sha-other": with_entry("golden.json", sha256="0" * 64),
        "crc-text": with_entry("golden.json", crc32c="0xabcdef"),
        "tokenizer-cut": with_file("tokenizer.json", lambda data: data[:-40]),
        "tokenizer-flip": with_file("tokenizer.json", flip),
        "tokenizer-half": with_true_file("tokenizer.json", lambda data: data[: len(data) // 2]),
        "tokenizer-other": with_true_file("tokenizer.json", lambda data: data.replace(b"Piece", b"Heap")),
        "weights-flip": with_file(weights, flip),
        "weights-header": with_file(weights, flip_header),
        "weights-cut": with_file(weights, lambda data: data[:-1]),
        "weights-empty": with_true_file(weights, lambda data: b""),
        "golden-flip": with_file("golden.safetensors", flip),
        "golden-wrong": with_true_file("golden.safetensors", other_vectors),
        "golden-header": with_true_file("golden.safetensors", lambda data: b"\xff" * 8 + data[8:]),
        "golden-none": with_true_file("golden.json", lambda data: b'{"texts": []}'),
        "golden-few": with_true_file("golden.json", lambda data: b'{"texts": [{"text": "fox"}]}'),
        "graph-other": Pack("bad", graph="real"),
        "fail-load": Pack("bad", graph="fake fail-load"),
        "oom-load": Pack("bad", graph="fake oom-load"),
        "fail-run": Pack("bad", graph=f"fake fail-id {CLS}"),
        "nan": Pack("bad", graph=f"fake nan-id {CLS}"),
    }


def damage(bad: Path) -> None:
    """What no writer of packs would do."""
    for name in ("no-tokenizer", "manifest-flip", "manifest-cut", "no-digest", "directory-file", "pipe-file"):
        shutil.copytree(bad / "fail-load", bad / name)
    (bad / "no-tokenizer" / "tokenizer.json").unlink()
    manifest = bad / "manifest-flip" / "citadel.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"FakeModel", b"FakeModem"))
    manifest = bad / "manifest-cut" / "citadel.json"
    manifest.write_bytes(manifest.read_bytes()[:100])
    (bad / "no-digest" / "citadel.sha256").unlink()
    (bad / "directory-file" / "tokenizer.json").unlink()
    (bad / "directory-file" / "tokenizer.json").mkdir()
    (bad / "pipe-file" / "tokenizer.json").unlink()
    os.mkfifo(bad / "pipe-file" / "tokenizer.json")
    (bad / "empty").mkdir()


def main(dest: Path, stamp: Path) -> None:
    shutil.rmtree(dest, ignore_errors=True)
    for name, pack in good_packs().items():
        pack.write(dest / name)
    for name, pack in bad_packs().items():
        pack.write(dest / "bad" / name)
    damage(dest / "bad")
    for name, pack in packs_of_forms().items():
        pack.write(dest / name)
    for name, pack in packs_that_fall_back().items():
        pack.write(dest / "falls-back" / name)
    damage_forms(dest / "falls-back")
    stamp.write_text("", encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
