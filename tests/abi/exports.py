"""A shared object exports what its interface names, and nothing else.

usage: exports.py NM LIBRARY      the library: the header's functions, which are also those of its symbol map
       exports.py NM MODULE NAME  a backend: NAME alone
"""

from __future__ import annotations

import re
import subprocess
import sys

import header


def exported(nm: str, path: str) -> set[str]:
    lines = subprocess.run([nm, "-D", "--defined-only", path], check=True, capture_output=True, text=True)
    symbols = (line.split()[-2:] for line in lines.stdout.splitlines())
    # A name of kind A is that of a version, not of a function.
    return {name.split("@")[0] for kind, name in symbols if kind != "A"}


def mapped() -> set[str]:
    text = (header.ROOT / "src" / "citadel_embed.map").read_text(encoding="utf-8")
    return set(re.findall(r"\w+", text[text.index("global:") + len("global:") : text.index("local:")]))


def difference(what: str, found: set[str], expected: set[str]) -> list[str]:
    return [f"{what} lacks {name}" for name in sorted(expected - found)] + [
        f"{what} has {name}, which the interface does not name" for name in sorted(found - expected)
    ]


def main(nm: str, path: str, *only: str) -> int:
    expected = set(only) or header.functions()
    problems = difference(path, exported(nm, path), expected)
    if not only:
        problems += difference("src/citadel_embed.map", mapped(), expected)
    print("\n".join(problems) or f"{path} exports {len(expected)} functions")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
