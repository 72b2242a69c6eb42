"""Writing a pack so that a reader sees it whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import crc32c
import numpy as np
import torch

from . import ExportError

FORMAT_VERSION = 1
ALIGNMENT = 64

DTYPES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def _bytes(tensor: torch.Tensor) -> memoryview:
    # Through uint8, because numpy has no bfloat16.
    flat = tensor.detach().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy()).toreadonly() if flat.numel() else memoryview(b"")


def _crc32c(data) -> str:
    return f"{crc32c.crc32c(data):08x}"


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor]) -> dict:
    """Write ``tensors`` and return the file's entry in the manifest.

    The largest elements come first and the data begins at a multiple of 64 bytes, so that every tensor of a mapped
    file is aligned.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise ExportError(f"tensor '{name}' is of type {tensor.dtype}, which is not supported")
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header, offset = {}, 0
    for name in names:
        size = tensors[name].numel() * tensors[name].element_size()
        header[name] = {
            "dtype": DTYPES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % ALIGNMENT)
    start = len(text).to_bytes(8, "little") + text

    digest, checksums = hashlib.sha256(start), {}
    with path.open("wb") as file:
        file.write(start)
        for name in names:
            data = _bytes(tensors[name])
            file.write(data)
            digest.update(data)
            checksums[name] = _crc32c(data)
    return {
        "bytes": len(start) + offset,
        "sha256": digest.hexdigest(),
        "header_crc32c": _crc32c(start),
        "tensors": checksums,
    }


def file_entry(path: Path) -> dict:
    """The manifest's entry of a file that is read as a whole."""
    data = path.read_bytes()
    return {
        "bytes": len(data),
        "crc32c": _crc32c(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def write_golden(folder: Path, texts: list[str], ids: list[list[int]], vectors: np.ndarray) -> dict:
    """Golden texts and vectors, the shortest first; returns the entries of both files."""
    order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
    content = {"texts": [{"text": texts[i], "ids": ids[i]} for i in order]}
    (folder / "golden.json").write_text(json.dumps(content), encoding="ascii")
    vectors_entry = write_safetensors(
        folder / "golden.safetensors", {"vectors": torch.from_numpy(vectors[order])}
    )
    # It is small and read whole.
    vectors_entry |= file_entry(folder / "golden.safetensors")
    return {"golden.json": file_entry(folder / "golden.json"), "golden.safetensors": vectors_entry}


def write_manifest(folder: Path, manifest: dict) -> None:
    """``citadel.json`` and, in ``citadel.sha256``, the identity of the whole pack."""
    data = (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()
    (folder / "citadel.json").write_bytes(data)
    line = f"{hashlib.sha256(data).hexdigest()}  citadel.json\n"
    (folder / "citadel.sha256").write_text(line, encoding="ascii")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Destination:
    """A directory that appears under its name only when it is complete.

    As a context manager it gives a temporary folder beside the destination. Without an exception ``publish`` has
    renamed it; otherwise it is removed. A killed export leaves a folder with a name that starts with a dot.
    """

    def __init__(self, path: Path, force: bool) -> None:
        self.path = path
        if path.exists() or path.is_symlink():
            if not force:
                raise ExportError(f"'{path}' exists; --force replaces a pack")
            if not (path / "citadel.json").is_file():
                raise ExportError(f"'{path}' exists and is not a pack: it is not replaced")

    def __enter__(self) -> Destination:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        except OSError as error:
            raise ExportError(f"cannot write beside '{self.path}': {error.strerror}") from error
        return self

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def publish(self) -> None:
        """Make everything durable, then give it its name."""
        os.chmod(self.folder, 0o755)
        for file in self.folder.iterdir():
            os.chmod(file, 0o644)
            _sync(file)
        _sync(self.folder)
        if self.path.exists():
            # A moment without either is the price of portability; the old pack is complete until then.
            old = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.old.", dir=self.path.parent))
            os.rename(self.path, old / "pack")
            os.rename(self.folder, self.path)
            shutil.rmtree(old)
        else:
            os.rename(self.folder, self.path)
        _sync(self.path.parent)
