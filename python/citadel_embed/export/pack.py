"""Writing a pack so that a reader sees it whole or not at all."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
from pathlib import Path

import crc32c
import numpy as np
import torch

from . import ExportError
from .scratch import Scratch

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

    The largest elements come first and the data begins at a multiple of 64 bytes, so that every tensor of a
    mapped file is aligned.
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


def write_file(path: Path, data: bytes) -> dict:
    """Write a file that is read as a whole and return its entry in the manifest."""
    path.write_bytes(data)
    return {
        "bytes": len(data),
        "crc32c": _crc32c(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def write_golden(
    folder: Path, texts: list[str], ids: list[list[int]], vectors: np.ndarray, count: int
) -> dict:
    """The first ``count`` texts and their vectors, the shortest first; returns the entries of both files."""
    order = sorted(range(count), key=lambda i: len(ids[i]))
    content = json.dumps({"texts": [{"text": texts[i], "ids": ids[i]} for i in order]}).encode("ascii")
    path = folder / "golden.safetensors"
    write_safetensors(path, {"vectors": torch.from_numpy(vectors[order])})
    # It is small and read whole.
    return {
        "golden.json": write_file(folder / "golden.json", content),
        "golden.safetensors": write_file(path, path.read_bytes()),
    }


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


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories in one step; False where the file system or the C library cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    at_cwd, exchange = -100, 2
    if renameat2 is None:
        return False
    return not renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange)


class Destination:
    """A directory that appears under its name only when it is complete.

    As a context manager it gives a temporary folder beside the destination. Without an exception ``publish``
    has renamed it; otherwise it is removed. A killed export leaves a folder whose name starts with a dot,
    which the next one to the same destination removes.
    """

    def __init__(self, path: Path, force: bool) -> None:
        self.path, self.force = path, force
        if not path.name:
            raise ExportError(f"'{path}' is no name for a pack")
        self._check()

    def _check(self) -> None:
        """Nothing is replaced but a pack, and that only when asked to."""
        path = self.path
        if path.is_symlink():
            raise ExportError(f"'{path}' is a symbolic link: name the directory itself")
        if not path.exists():
            return
        if not self.force:
            raise ExportError(f"'{path}' exists; --force replaces a pack")
        if not (path / "citadel.json").is_file():
            raise ExportError(f"'{path}' exists and is not a pack: it is not replaced")

    def __enter__(self) -> Path:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.scratch = Scratch(self.path.parent, f".{self.path.name}.")
            self.folder = self.scratch.__enter__()
        except OSError as error:
            raise ExportError(f"cannot write beside '{self.path}': {error.strerror}") from error
        return self.folder

    def __exit__(self, _, error, __) -> None:
        self.scratch.__exit__()
        if isinstance(error, OSError):
            raise ExportError(f"cannot write '{self.path}': {error.strerror or error}") from error

    def publish(self) -> None:
        """Make everything durable, then give it its name."""
        os.chmod(self.folder, 0o755)
        for file in self.folder.iterdir():
            os.chmod(file, 0o644)
            _sync(file)
        _sync(self.folder)
        self._check()  # again: it may have appeared in the meantime
        if self.path.exists():
            self._replace()
        else:
            os.rename(self.folder, self.path)
        _sync(self.path.parent)

    def _replace(self) -> None:
        """The old pack takes the temporary folder's place, which is removed at the end."""
        if _exchange(self.folder, self.path):
            return
        # A moment without either is the price of a file system that cannot exchange.
        old = Path(f"{self.folder}.old")
        os.rename(self.path, old)
        os.rename(self.folder, self.path)
        os.rename(old, self.folder)
