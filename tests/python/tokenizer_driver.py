"""The C tokenizer from Python, beside Hugging Face's: what both say is compared text by text."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CITADEL_BUILD_DIR", ROOT / "build"))


class Refused(Exception):
    pass


class Batch(ctypes.Structure):
    """driver_batch of tokenizer_library.c."""

    _fields_ = [
        ("texts", ctypes.c_char_p),
        ("sizes", ctypes.c_void_p),
        ("pairs", ctypes.c_char_p),
        ("pair_sizes", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("prompt", ctypes.c_char_p),
        ("prompt_size", ctypes.c_size_t),
        ("max_tokens", ctypes.c_size_t),
        ("no_specials", ctypes.c_int),
        ("truncate_left", ctypes.c_int),
        ("ids", ctypes.c_void_p),
        ("spans", ctypes.c_void_p),
        ("type_ids", ctypes.c_void_p),
        ("capacity", ctypes.c_size_t),
        ("counts", ctypes.c_void_p),
        ("truncated", ctypes.c_void_p),
    ]


@dataclass(frozen=True)
class Result:
    ids: list[int]
    spans: list[tuple[int, int]] | None = None  # in bytes
    type_ids: list[int] | None = None
    truncated: bool = False


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


class Ours:
    """A tokenizer of the library."""

    library = ctypes.CDLL(str(BUILD / "tests" / "python" / "libtokenizer_library.so"))
    library.driver_create.restype = ctypes.c_void_p
    library.driver_create.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
    library.driver_destroy.argtypes = [ctypes.c_void_p]
    library.driver_encode.restype = ctypes.c_long
    library.driver_encode.argtypes = [ctypes.c_void_p, ctypes.POINTER(Batch), ctypes.c_char_p]
    library.driver_time.restype = ctypes.c_double
    library.driver_time.argtypes = [ctypes.c_void_p, ctypes.POINTER(Batch), ctypes.c_size_t]

    driver = None

    def __init__(self, tokenizer: Tokenizer | str | bytes) -> None:
        data = _bytes(tokenizer.to_str() if isinstance(tokenizer, Tokenizer) else tokenizer)
        message = ctypes.create_string_buffer(512)
        self.driver = self.library.driver_create(data, len(data), message)
        if not self.driver:
            raise Refused(message.value.decode())

    def __del__(self) -> None:
        if self.driver:
            self.library.driver_destroy(self.driver)

    def results(
        self,
        texts: Sequence[str | bytes],
        pairs: Sequence[str | bytes] | None = None,
        *,
        max_tokens: int = 0,
        prompt: str = "",
        specials: bool = True,
        truncate_left: bool = False,
        spans: bool = False,
        type_ids: bool = False,
    ) -> list[Result]:
        """All texts in one call."""
        data = [_bytes(text) for text in texts]
        second = [_bytes(pair) for pair in pairs] if pairs else []
        length = sum(map(len, data)) + sum(map(len, second)) + len(texts) * (len(prompt.encode()) + 64)
        # Unicode's longest normal form (U+FDFA) is six times as long as the text, byte by byte.
        capacity = 6 * length
        ids = np.empty(capacity, np.int32)
        types = np.empty(capacity if type_ids else 0, np.int32)
        places = np.empty((capacity if spans else 0, 2), np.uint64)
        counts, truncated = np.empty(len(data), np.int32), np.empty(len(data), np.int32)
        sizes = np.array([len(text) for text in data], np.uint64)
        pair_sizes = np.array([len(text) for text in second], np.uint64)
        batch = Batch(
            texts=b"".join(data),
            sizes=sizes.ctypes.data,
            pairs=b"".join(second) if pairs else None,
            pair_sizes=pair_sizes.ctypes.data,
            count=len(data),
            prompt=prompt.encode(),
            prompt_size=len(prompt.encode()),
            max_tokens=max_tokens,
            no_specials=not specials,
            truncate_left=truncate_left,
            ids=ids.ctypes.data,
            spans=places.ctypes.data if spans else None,
            type_ids=types.ctypes.data if type_ids else None,
            capacity=capacity,
            counts=counts.ctypes.data,
            truncated=truncated.ctypes.data,
        )
        message = ctypes.create_string_buffer(512)
        used = self.library.driver_encode(self.driver, ctypes.byref(batch), message)
        if used < 0:
            raise Refused(message.value.decode())
        all_ids, all_types = ids[:used].tolist(), types[:used].tolist()
        all_spans = list(map(tuple, places[:used].tolist()))
        found = []
        for i, end in enumerate(accumulate(counts.tolist())):
            part = slice(end - int(counts[i]), end)
            found.append(
                Result(
                    all_ids[part],
                    all_spans[part] if spans else None,
                    all_types[part] if type_ids else None,
                    bool(truncated[i]),
                )
            )
        return found

    def encode(self, text: str | bytes, max_tokens: int = 0, prompt: str = "") -> tuple[list[int], bool]:
        result = self.results([text], max_tokens=max_tokens, prompt=prompt)[0]
        return result.ids, result.truncated

    def ids(self, texts: Sequence[str], **options) -> list[list[int]]:
        return [result.ids for result in self.results(texts, **options)]

    def timer(self, texts: Sequence[str]):
        """A function of a number of threads that gives the seconds for all texts, measured in C."""
        data = [text.encode() for text in texts]
        sizes = np.array([len(text) for text in data], np.uint64)
        batch = Batch(texts=b"".join(data), sizes=sizes.ctypes.data, count=len(data))

        def seconds(threads: int = 1, keep=sizes) -> float:
            taken = self.library.driver_time(self.driver, ctypes.byref(batch), threads)
            if taken < 0:
                raise Refused("a text failed or a thread could not be started")
            return taken

        return seconds


# ---- Comparing -------------------------------------------------------------------------------


def byte_spans(encoding: Encoding, text: str, pair: str | None = None) -> list[tuple[int, int]]:
    """Offsets of Hugging Face's library, which counts characters, in bytes; of the text or of its pair."""
    sources = [text] if pair is None else [text, pair]
    if all(source.isascii() for source in sources):
        return encoding.offsets
    starts = [[0, *accumulate(len(char.encode()) for char in source)] for source in sources]
    sequences = encoding.sequence_ids
    return [
        (starts[which or 0][start], starts[which or 0][end])
        for (start, end), which in zip(encoding.offsets, sequences, strict=True)
    ]


def _parts(texts: Sequence[str], size: int = 20000) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def differences(theirs: Tokenizer, ours: Ours, texts: Sequence[str], spans: bool = False) -> list[str]:
    """Up to ten texts whose ids (and spans) differ, each with both."""
    found = []
    for part in _parts(texts):
        expected = theirs.encode_batch(part) if spans else theirs.encode_batch_fast(part)
        for text, encoding, result in zip(part, expected, ours.results(part, spans=spans), strict=True):
            if encoding.ids != result.ids:
                found.append(f"{text[:60]!r}: expected {encoding.ids[:12]}, found {result.ids[:12]}")
            elif spans and byte_spans(encoding, text) != result.spans:
                found.append(f"{text[:60]!r}: {_first_span(byte_spans(encoding, text), result.spans)}")
            if len(found) == 10:
                return found
    return found


def _first_span(expected: list, found: list) -> str:
    i = next(i for i, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b)
    return f"token {i} expected at {expected[i]}, found at {found[i]}"
