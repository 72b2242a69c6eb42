"""The ctypes structures of the binding lie in memory as the table says that C programs were compiled with."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

import citadel_embed

TABLE = Path(__file__).resolve().parents[1] / "abi" / "layout.h"


def rows(pattern: str) -> list[tuple[str, ...]]:
    return re.findall(pattern, TABLE.read_text(encoding="utf-8"), re.MULTILINE)


SIZES = {name: int(size) for name, size in rows(r"^STRUCT\((\w+), (\d+)\)$")}


def fields(struct: str) -> list[tuple[str, int, int]]:
    found = rows(rf"^FIELD\({struct}, (\w+), (\d+), (\d+)\)$")
    return [(name, int(offset), int(size)) for name, offset, size in found]


def binding(struct: str) -> type[ctypes.Structure]:
    words = struct.removeprefix("citadel_").split("_")
    return getattr(citadel_embed, "_" + "".join(word.capitalize() for word in words))


def test_the_table_is_read():
    assert len(SIZES) >= 8
    assert all(fields(struct) for struct in SIZES)


@pytest.mark.parametrize("struct", SIZES)
def test_structures_of_the_binding_have_the_layout_of_the_header(struct):
    ours = binding(struct)
    names = [name for name, _ in ours._fields_]
    layout = [(name, getattr(ours, name).offset, getattr(ours, name).size) for name in names]
    assert layout == fields(struct)
    assert ctypes.sizeof(ours) == SIZES[struct]
