"""The public header, read as text: what it declares, what it includes, and the program in its overview."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "include" / "citadel_embed.h"
TEXT = PATH.read_text(encoding="utf-8")
CODE = re.sub(r"/\*.*?\*/", "", TEXT, flags=re.DOTALL)


def functions() -> set[str]:
    """Names declared CITADEL_API."""
    declarations = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", "", CODE, flags=re.MULTILINE)
    return set(re.findall(r"CITADEL_API\b[^;(]*?(\w+)\s*\(", declarations))


def structs() -> dict[str, list[str]]:
    """Fields of every struct that the header defines, in order."""
    found = re.findall(r"typedef struct (\w+)\s*\{(.*?)\}\s*\1\s*;", CODE, flags=re.DOTALL)
    return {
        name: [re.sub(r".*?(\w+)(\[\d+\])?$", r"\1", f.strip()) for f in body.split(";") if f.strip()]
        for name, body in found
    }


def initialisers() -> dict[str, str]:
    """From each _INIT macro to the type that it initialises."""
    macros = re.findall(r"#define (CITADEL_\w+)_INIT\b", CODE)
    return {f"{macro}_INIT": macro.lower() for macro in macros}


def includes() -> list[str]:
    return re.findall(r"^\s*#\s*include\s*(\S+)", CODE, flags=re.MULTILINE)


def program() -> str:
    """The complete program of the overview, as it would stand in a file of its own."""
    comment = TEXT[: TEXT.index("*/")]
    overview = comment[comment.index("A COMPLETE PROGRAM") : comment.index("RULES")]
    lines = [line[len(" *     ") :] for line in overview.splitlines()[1:]]
    code = "\n".join(lines)
    return code[code.index("#include") : code.rindex("\n}\n") + len("\n}\n")]
