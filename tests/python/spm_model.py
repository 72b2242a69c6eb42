"""What a SentencePiece model file holds, and the merges that transformers makes of it."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4


@dataclass
class SpmModel:
    pieces: list[tuple[str, float, int]]  # text, score, type
    charsmap: str  # base64, as tokenizer.json has it


def _fields(data: bytes):
    """Number and value of each field of a protobuf message."""

    def number(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at

    at = 0
    while at < len(data):
        tag, at = number(at)
        if tag & 7 == 0:
            value, at = number(at)
        elif tag & 7 == 1:
            value, at = data[at : at + 8], at + 8
        elif tag & 7 == 2:
            size, at = number(at)
            value, at = data[at : at + size], at + size
        else:
            value, at = data[at : at + 4], at + 4
        yield tag >> 3, value


def read(data: bytes) -> SpmModel:
    pieces, charsmap = [], b""
    for field, value in _fields(data):
        if field == 1:
            piece = {1: b"", 2: bytes(4), 3: NORMAL, **dict(_fields(value))}
            pieces.append((piece[1].decode(), struct.unpack("<f", piece[2])[0], piece[3]))
        elif field == 3:
            charsmap = dict(_fields(value)).get(2, b"")
    return SpmModel(pieces, base64.b64encode(charsmap).decode())


def merges(model: SpmModel) -> list[list[str]]:
    """As generate_merges of transformers: every way to cut a piece in two pieces, better pieces first."""
    rank = {text: i for i, (text, _, _) in enumerate(model.pieces)}
    found = []
    for text, score, _ in model.pieces:
        cuts = [(text[:at], text[at:]) for at in range(1, len(text))]
        cuts = [
            (rank[left], rank[right], left, right) for left, right in cuts if left in rank and right in rank
        ]
        found += [(score, len(left), len(right), left, right) for _, _, left, right in sorted(cuts)]
    found.sort(key=lambda merge: merge[:3], reverse=True)
    return [[left, right] for *_, left, right in found]
