"""The complete program in the header's overview is examples/embed.c, letter for letter: what is printed
there is compiled with the library and run with its tests."""

from __future__ import annotations

import difflib
import sys

import header


def main() -> int:
    example = (header.ROOT / "examples" / "embed.c").read_text(encoding="utf-8")
    lines = difflib.unified_diff(
        example.splitlines(), header.program().splitlines(), "examples/embed.c", "the header", lineterm=""
    )
    difference = "\n".join(lines)
    print(difference or "the same program")
    return bool(difference)


if __name__ == "__main__":
    sys.exit(main())
