"""layout.h names every field of every public struct, in order."""

from __future__ import annotations

import re
import sys

import header


def table() -> dict[str, list[str]]:
    text = (header.ROOT / "tests" / "abi" / "layout.h").read_text(encoding="utf-8")
    fields: dict[str, list[str]] = {}
    for struct, field in re.findall(r"^(?:STRUCT|FIELD)\((\w+), (?:(\w+), )?\d+(?:, \d+)?\)$", text, re.M):
        fields.setdefault(struct, [])
        if field:
            fields[struct].append(field)
    return fields


def main() -> int:
    listed, declared = table(), header.structs()
    problems = [
        f"{struct}: layout.h has {listed.get(struct)}, the header {declared.get(struct)}"
        for struct in sorted(listed.keys() | declared.keys())
        if listed.get(struct) != declared.get(struct)
    ]
    print("\n".join(problems) or f"{len(listed)} structs")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
