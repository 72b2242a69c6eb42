"""Which folder may include which, and that C++ stays in shim/.

usage: arrows.py           the tree as it is
       arrows.py --prove   one forbidden line at a time is planted in a copy of the tree, and must be found
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("include", "bench", "examples", "tools", "src", "lib", "shim")
MAY_INCLUDE = {
    "include": [],
    "bench": ["include", "src", "lib"],
    "examples": ["include"],
    "tools": ["include", "lib/json", "lib/base"],
    "src": ["include", "lib"],
    "shim": ["src/backend.h", "lib/kernels"],
}
CXX = {".cc", ".cpp", ".cxx", ".hpp", ".hh", ".cu"}
SOURCE = {".c", ".h", *CXX}


def library_of(path: Path) -> str:
    """lib/json/json.c belongs to lib/json; elsewhere the whole folder is one piece."""
    return "/".join(path.parts[:2]) if path.parts[0] == "lib" else path.parts[0]


def named_by_meson(root: Path, library: str) -> list[str]:
    """A leaf library may use lib/base and what its meson.build names in a line `# Uses json, unicode.`"""
    build = root / library / "meson.build"
    if not build.exists():
        build = root / "lib" / "meson.build"
    named = re.search(r"^# Uses ([\w, ]+)\.$", build.read_text(encoding="utf-8"), re.MULTILINE)
    return ["lib/base"] + [f"lib/{name}" for name in named[1].split(", ")] if named else ["lib/base"]


def resolve(root: Path, path: Path, name: str) -> Path | None:
    for folder in (path.parent, Path("lib"), Path("src"), Path("include")):
        if (root / folder / name).exists():
            return (root / folder / name).resolve().relative_to(root)
    return None


def allowed(root: Path, path: Path, target: Path) -> bool:
    piece = library_of(path)
    permitted = MAY_INCLUDE[piece] if piece in MAY_INCLUDE else named_by_meson(root, piece)
    return any(target == Path(p) or Path(p) in target.parents for p in (piece, *permitted))


def violations_in(root: Path, path: Path) -> Iterator[str]:
    text = (root / path).read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        include = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
        if not include:
            continue
        system, name = include[1] == "<", include[2]
        target = resolve(root, path, name)
        if target and not allowed(root, path, target):
            yield f"{path}:{number}: {library_of(path)} may not include {target}"
        elif not target and not system:
            yield f"{path}:{number}: {name} is nowhere"
        elif re.match(r"(torch|ATen|c10|caffe2)/", name) and path.parts[0] != "shim":
            yield f"{path}:{number}: libtorch outside shim/"


def violations(root: Path) -> list[str]:
    found = []
    for file in sorted(f for folder in FOLDERS for f in (root / folder).rglob("*") if f.suffix in SOURCE):
        path = file.relative_to(root)
        found += violations_in(root, path)
        if path.suffix in CXX and path.parts[0] != "shim":
            found.append(f"{path}: C++ outside shim/")
    return found


# A file, and the line that must not go unnoticed in it.
FORBIDDEN = [
    ("include/citadel_embed.h", '#include "base/error.h"'),
    ("examples/embed.c", '#include "engine.h"'),
    ("examples/embed.c", '#include "../lib/json/json.h"'),
    ("tools/main.c", '#include "tokenizer/tokenizer.h"'),
    ("tools/main.c", '#include "../src/engine.h"'),
    ("src/pack.c", '#include "../shim/pieces.h"'),
    ("src/pack.c", "#include <torch/script.h>"),
    ("src/pack.c", '#include "no_such_file.h"'),
    ("lib/json/json.c", '#include "../../src/pack.h"'),
    ("lib/json/json.c", "# include <citadel_embed.h>"),
    ("lib/json/json.c", '#include "digest/sha256.h"'),
    ("lib/base/error.c", '#include "json/json.h"'),
    ("shim/torch_backend.cc", '#include "../src/engine.h"'),
    ("shim/torch_backend.cc", '#include "json/json.h"'),
    ("src/late.cc", "int late;"),
    ("tools/gpu.cu", "int gpu;"),
]


def unnoticed(root: Path, path: str, line: str) -> bool:
    file = root / path
    before = file.read_text(encoding="utf-8") if file.exists() else None
    file.write_text(f"{line}\n{before or ''}", encoding="utf-8")
    found = violations(root)
    if before is None:
        file.unlink()
    else:
        file.write_text(before, encoding="utf-8")
    return not found


def prove() -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory).resolve()
        for folder in FOLDERS:
            shutil.copytree(ROOT / folder, root / folder)
        (root / "shim" / "pieces.h").touch()
        return violations(root) or [
            f"{path}: `{line}` went unnoticed" for path, line in FORBIDDEN if unnoticed(root, path, line)
        ]


def main(*arguments: str) -> int:
    problems = prove() if arguments == ("--prove",) else violations(ROOT)
    print("\n".join(problems) or "every include goes the right way")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
