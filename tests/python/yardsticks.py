"""The models of scripts/make_models.py and their packs, made when they are first asked for.

They lie in ``$CITADEL_YARDSTICKS`` (by default ``build/yardsticks``), each beside a digest of the code that
made it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import citadel_embed.export

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("CITADEL_YARDSTICKS", ROOT / "build" / "yardsticks"))
SCRIPT = ROOT / "scripts" / "make_models.py"
EXPORTER = Path(citadel_embed.export.__file__).parent

# Of each pack: which forms it has.
OPTIONS = {
    "e5-small-v2": ["--precision", "bf16", "--compile"],
    "bge-base-en-v1.5": ["--compile"],
    "phi-3-mini-2l": ["--dtype", "bf16", "--compile"],
    "phi-3-mini-4k-instruct": ["--compile"],
}


def _digest(paths: Iterable[Path], *more: str) -> str:
    parts = [path.read_bytes() for path in paths] + [text.encode() for text in more]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _made(place: Path, digest: str, command: list[str | Path]) -> Path:
    """``place`` as ``command`` makes it, which runs in a process of its own for the sake of memory."""
    stamp = place.with_name(f"{place.name}.made")
    place.parent.mkdir(parents=True, exist_ok=True)
    # Tests that run at once wait for each other's.
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place.exists() and stamp.exists() and stamp.read_text() == digest):
            subprocess.run([sys.executable, *command], check=True)
            stamp.write_text(digest)
    return place


def folder(name: str) -> Path:
    return _made(CACHE / name, _digest([SCRIPT]), [SCRIPT, CACHE, name])


def pack(name: str) -> Path:
    versions = map(importlib.metadata.version, ("torch", "transformers", "sentence_transformers"))
    options = OPTIONS[name]
    digest = _digest([SCRIPT, *sorted(EXPORTER.glob("*.py"))], *versions, *options)
    place = CACHE / "packs" / name
    export = ["-m", "citadel_embed.export", folder(name), place, "--force", "--quiet", *options]
    return _made(place, digest, export)
