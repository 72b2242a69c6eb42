"""Folders for what is not finished. One that a killed process left is removed by the next of its kind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

# Only what ends so is ever removed, and only if nobody has it locked.
ENDING = ".unfinished"


def _lock(folder: Path) -> int | None:
    """A descriptor whose lock ends with this process, however it ends; None if another one has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(parent: Path, prefix: str) -> None:
    """What others are making is locked; what cannot be removed is left."""
    for name in os.listdir(parent):
        if not (name.startswith(prefix) and name.endswith(ENDING)):
            continue
        with contextlib.suppress(OSError):
            folder = parent / name
            descriptor = _lock(folder) if folder.lstat().st_uid == os.geteuid() else None
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


class Scratch:
    """As a context manager it gives an empty folder in ``parent``, and removes what is left of it."""

    def __init__(self, parent: Path, prefix: str) -> None:
        self.parent, self.prefix = parent, prefix

    def __enter__(self) -> Path:
        _sweep(self.parent, self.prefix)
        made = Path(tempfile.mkdtemp(prefix=self.prefix, dir=self.parent))
        self.descriptor = _lock(made)
        # Not before it is locked may anyone take it for abandoned.
        self.folder = made.replace(f"{made}{ENDING}")
        return self.folder

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.descriptor is not None:
            os.close(self.descriptor)
