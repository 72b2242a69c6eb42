"""Classes of scalars, normal forms, grapheme clusters and the charsmap against Hugging Face tokenizers."""

from __future__ import annotations

import base64
import ctypes
import io
import itertools
import os
import random
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CITADEL_BUILD_DIR", ROOT / "build"))
SCALARS = [s for s in range(0x110000) if not 0xD800 <= s <= 0xDFFF]
FORMS = ["NFD", "NFC", "NFKD", "NFKC"]  # in the order of enum ce_normal_form

library = ctypes.CDLL(str(BUILD / "tests" / "python" / "libunicode_library.so"))
TEXT = [ctypes.c_char_p, ctypes.c_size_t]
ITEMS = [ctypes.c_void_p, ctypes.c_size_t]
library.unicode_flags.argtypes = [ctypes.c_void_p]
library.unicode_grapheme.argtypes = TEXT
library.unicode_grapheme.restype = ctypes.c_size_t
library.unicode_prefix.argtypes = [ctypes.c_int, *TEXT]
library.unicode_prefix.restype = ctypes.c_size_t
library.unicode_form.argtypes = [ctypes.c_int, *TEXT, *ITEMS]
library.unicode_form.restype = ctypes.c_long
library.charsmap_create.argtypes = [*TEXT, ctypes.c_char_p]
library.charsmap_create.restype = ctypes.c_void_p
library.charsmap_destroy.argtypes = [ctypes.c_void_p]
library.charsmap_apply.argtypes = [ctypes.c_void_p, *TEXT, *ITEMS]
library.charsmap_apply.restype = ctypes.c_long
library.charsmap_prefix.argtypes = [ctypes.c_void_p, *TEXT]
library.charsmap_prefix.restype = ctypes.c_size_t
library.base64_decode.argtypes = [*TEXT, ctypes.c_char_p]
library.base64_decode.restype = ctypes.c_long


def flag_names() -> dict[str, int]:
    """The flags as the header numbers them."""
    header = (ROOT / "lib" / "unicode" / "unicode.h").read_text(encoding="utf-8")
    return {name: 1 << int(bit) for name, bit in re.findall(r"CE_UNICODE_(\w+) = 1 << (\d+)", header)}


FLAG = flag_names()
FLAGS = np.zeros(0x110000, np.uint32)
library.unicode_flags(FLAGS.ctypes.data)


def having(*names: str) -> set[int]:
    mask = sum(FLAG[name] for name in names)
    return {s for s in SCALARS if FLAGS[s] & mask}


class Refused(Exception):
    pass


class Form:
    """A normal form of the library."""

    def __init__(self, name: str):
        self.form = FORMS.index(name)

    def call(self, data: bytes, items, capacity: int) -> int:
        return library.unicode_form(self.form, data, len(data), items, capacity)

    def prefix(self, data: bytes) -> int:
        return library.unicode_prefix(self.form, data, len(data))

    def changes(self, text: str | bytes) -> np.ndarray:
        """Rows of scalar and change."""
        data = text if isinstance(text, bytes) else text.encode()
        items = np.zeros((4 * len(data) + 64, 2), np.int32)
        count = self.call(data, items.ctypes.data, len(items))
        if count < 0:
            raise Refused(-count)
        if count > len(items):
            raise AssertionError(f"{count} items from {len(data)} bytes")
        return items[:count]

    def normalize_str(self, text: str) -> str:
        return self.changes(text)[:, 0].astype("<u4").tobytes().decode("utf-32-le")


class Charsmap(Form):
    """A charsmap of the library."""

    def __init__(self, blob: bytes):
        message = ctypes.create_string_buffer(512)
        self.charsmap = library.charsmap_create(blob, len(blob), message)
        if not self.charsmap:
            raise Refused(message.value.decode())

    def __del__(self, destroy=library.charsmap_destroy):
        if self.charsmap:
            destroy(self.charsmap)

    def call(self, data: bytes, items, capacity: int) -> int:
        return library.charsmap_apply(self.charsmap, data, len(data), items, capacity)

    def prefix(self, data: bytes) -> int:
        return library.charsmap_prefix(self.charsmap, data, len(data))


# ---- Charsmaps ----------------------------------------------------------------------------------


def protobuf_field(message: bytes, wanted: int) -> bytes:
    """The first field of that number, which holds bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        kind = tag & 7
        size = {0: 0, 1: 8, 5: 4}.get(kind)
        if size is None:
            size = varint()
        elif kind == 0:
            varint()
        if tag >> 3 == wanted:
            return message[at : at + size]
        at += size
    raise KeyError(wanted)


def sentencepiece_charsmap(rule: str) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d"] * 10),
        model_writer=model,
        vocab_size=8,
        hard_vocab_limit=False,
        normalization_rule_name=rule,
        minloglevel=2,
    )
    normalizer_spec = protobuf_field(model.getvalue(), 3)
    return protobuf_field(normalizer_spec, 2)


def small_charsmap(keys: dict[int, bytes]) -> bytes:
    """A blob whose keys are single bytes."""
    units, replacements = [0] * 1024, b""
    units[0] = 0x100 << 10
    for key, replacement in keys.items():
        units[0x100 | key] = 0x300 << 10 | 1 << 8 | key
        units[0x200 | key] = 1 << 31 | len(replacements)
        replacements += replacement + b"\0"
    return struct.pack("<I1024I", 4 * len(units), *units) + replacements


# Each cluster of less than 6 bytes leaves one character, each character of any other one another.
CLUSTERS = {b: b"1" for b in range(0x01, 0x80) if b != 0x0A} | {b: b"2" for b in range(0xC2, 0xF5)}
# Deletions, insertions, and characters of two bytes.
MIXTURE = {ord("x"): b"", ord("y"): b"abc", 0xC3: "éé".encode(), 0xCC: b"", 0xE0: b"", 0xF0: b"zz"}
BLOBS = {
    "nmt_nfkc": sentencepiece_charsmap("nmt_nfkc"),
    "nfkc_cf": sentencepiece_charsmap("nfkc_cf"),
    "clusters": small_charsmap(CLUSTERS),
    "mixture": small_charsmap(MIXTURE),
}
PAIRS = {name: (getattr(normalizers, name)(), Form(name)) for name in FORMS} | {
    name: (normalizers.Precompiled(blob), Charsmap(blob)) for name, blob in BLOBS.items()
}


@pytest.fixture(params=list(PAIRS))
def pair(request):
    """The reference's normalizer and ours."""
    return PAIRS[request.param]


# ---- Texts --------------------------------------------------------------------------------------


def sample(scalars: set[int], count: int, seed: int = 1) -> list[int]:
    return random.Random(seed).sample(sorted(scalars), min(count, len(scalars)))


def interesting() -> list[str]:
    """Scalars that normal forms or clusters treat in a way of their own."""
    marks = {s for s in having("COMBINING") if not FLAGS[s] & FLAG["BREAKS"]}
    scalars = [
        *range(0x300, 0x346),
        *having("SECOND"),
        *sample(marks, 120),
        *sample(having("COMBINING") - marks, 60),
        *sample(having("NOT_NFD") - set(range(0xAC00, 0xD7A4)), 150),
        *sample(having("NOT_NFC"), 60),
        *sample(having("NOT_NFKD"), 150),
        *[0xAC00, 0xAC01, 0xAC1C, 0xD7A3, 0x1100, 0x1112, 0x1113, 0x1175, 0x1176, 0x11A7, 0x11C2, 0x11C3],
        *[0x0D, 0x0A, 0x00, 0x1F, 0x7F, 0x80, 0xAD, 0x200B, 0x200C, 0x200D, 0x2028, 0xFEFF, 0xFFFD],
        *[0xA9, 0xAE, 0x2764, 0x1F468, 0x1F600, 0x1F3FB, 0xFE0F, 0x20E3, 0x1F1E6, 0x1F1FF],
        *[0x600, 0x6DD, 0x70F, 0x110BD, 0x915, 0x924, 0x937, 0x94D, 0x93C, 0x9CD, 0x995, 0x1039, 0x1000],
        *[0x344, 0x958, 0xFB1D, 0x1E9B, 0x1E69, 0x1D15E, 0x1D16D, 0x302E, 0xFDFA, 0x11938, 0x11935, 0x11930],
        *[0x16D63, 0x16D67, 0x16D68, 0x115B9, 0x11131, 0x11127, 0xE01EF, 0xE0001, 0x10FFFF, 0x4E00, 0x3042],
        *map(ord, "aesDIxy1 .,"),
    ]
    return [chr(s) for s in scalars]


INTERESTING = interesting()


def strings(count: int, longest: int, seed: int) -> list[str]:
    choose = random.Random(seed)
    return [
        "".join(choose.choices(INTERESTING, k=choose.randint(1, longest))).replace("\n", "")
        for _ in range(count)
    ]


def alone() -> list[str]:
    return [chr(s) for s in SCALARS if s != 0x0A]


def between_letters() -> list[str]:
    return [f"x{c}y" for c in alone()]


def squared() -> list[str]:
    choice = list(dict.fromkeys(INTERESTING))
    return [a + b for a in choice for b in choice if "\n" not in a + b]


TEXTS = {
    "alone": alone,
    "between letters": between_letters,
    "squared": squared,
    "random": lambda: strings(200_000, 8, seed=2),
}


def differences(theirs, ours, texts: list[str]) -> list[tuple]:
    """Texts that become something else. All are lines of one: its end keeps a line from the next."""
    whole = "\n".join(texts)
    if theirs.normalize_str(whole) == ours.normalize_str(whole):
        return []
    found = [
        (ascii(t), a, b) for t in texts if (a := theirs.normalize_str(t)) != (b := ours.normalize_str(t))
    ]
    return found[:10] or [("only as a whole",)]


# ---- Classes ------------------------------------------------------------------------------------


def matching(pattern: str) -> set[int]:
    """Scalars that match between letters."""
    text = "".join(f"x{chr(s)}y" for s in SCALARS)
    kept = bytearray(len(text))
    split = pre_tokenizers.Split(Regex(f"(?<=x){pattern}(?=y)"), "removed")
    for _, (start, end) in split.pre_tokenize_str(text):
        kept[start:end] = b"1" * (end - start)
    return {s for i, s in enumerate(SCALARS) if not kept[3 * i + 1]}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (r"\s", ["WHITE"]),
        (r"\p{L}", ["UPPERCASE", "LOWERCASE", "TITLECASE", "MODIFIER", "OTHER_LETTER"]),
        (r"\p{Lu}", ["UPPERCASE"]),
        (r"\p{Ll}", ["LOWERCASE"]),
        (r"\p{Lt}", ["TITLECASE"]),
        (r"\p{Lm}", ["MODIFIER"]),
        (r"\p{Lo}", ["OTHER_LETTER"]),
        (r"\p{M}", ["COMBINING"]),
        (r"\p{N}", ["NUMBER"]),
        (r"\p{P}", ["PUNCTUATION_CLASS"]),
        (r"\p{S}", ["SYMBOL"]),
        (
            r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
            ["UPPERCASE", "TITLECASE", "MODIFIER", "OTHER_LETTER", "COMBINING"],
        ),
        (r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", ["LOWERCASE", "MODIFIER", "OTHER_LETTER", "COMBINING"]),
    ],
)
def test_classes_of_patterns(pattern, names):
    assert matching(pattern) == having(*names)


def pieces_between_letters(pre_tokenizer) -> dict[int, tuple]:
    """For each scalar how x, itself and y are cut up."""
    text = "\n".join(f"x{chr(s)}y" for s in SCALARS)
    found: dict[int, list] = {s: [] for s in SCALARS}
    for _, (start, end) in pre_tokenizer.pre_tokenize_str(text):
        first, last = start // 4, (end - 1) // 4
        for line in range(first, last + 1):
            found[SCALARS[line]].append((max(start - 4 * line, 0), min(end - 4 * line, 3)))
    return {s: tuple(p for p in pieces if p[0] < p[1]) for s, pieces in found.items()}


WHOLE, APART, WITHOUT = ((0, 3),), ((0, 1), (1, 2), (2, 3)), ((0, 1), (2, 3))


@pytest.mark.parametrize(
    ("pre_tokenizer", "apart", "gone"),
    [
        (pre_tokenizers.WhitespaceSplit(), [], ["WHITE"]),
        (pre_tokenizers.BertPreTokenizer(), ["PUNCTUATION"], ["WHITE"]),
        (pre_tokenizers.Punctuation("isolated"), ["PUNCTUATION"], []),
        (pre_tokenizers.Digits(individual_digits=True), ["NUMERIC"], []),
    ],
)
def test_classes_of_pre_tokenizers(pre_tokenizer, apart, gone):
    pieces = pieces_between_letters(pre_tokenizer)
    assert {s for s, p in pieces.items() if p == APART} == having(*apart)
    assert {s for s, p in pieces.items() if p == WITHOUT} == having(*gone)
    assert {s for s, p in pieces.items() if p == WHOLE} == set(SCALARS) - having(*apart, *gone)


def test_words():
    pieces = pieces_between_letters(pre_tokenizers.Whitespace())
    assert {s for s, p in pieces.items() if p == WHOLE} == having("WORD")
    assert {s for s, p in pieces.items() if p == WITHOUT} == having("WHITE")


def test_accents_and_ends_that_are_stripped():
    kept = normalizers.StripAccents().normalize_str("x".join(map(chr, SCALARS)))
    assert set(map(chr, SCALARS)) - set(kept) == set(map(chr, having("ACCENT")))
    strip = normalizers.Strip()
    assert {s for s in SCALARS if strip.normalize_str(f"{chr(s)}x{chr(s)}") == "x"} == having("WHITE")


# ---- Normalized texts ---------------------------------------------------------------------------


@pytest.mark.parametrize("texts", list(TEXTS))
def test_normalized(pair, texts):
    assert differences(*pair, TEXTS[texts]()) == []


def places(changes: np.ndarray) -> list[tuple[int, int]]:
    """Where the reference puts each scalar in the text, in characters."""
    found, at = [], 0
    for change in changes[:, 1].tolist():
        if change > 0:
            found.append((at - 1, at) if at else (0, 0))
        else:
            found.append((at, at + 1))
            at += 1 - change
    return found


def check_places(theirs, ours, text: str):
    """One token a character tells where the reference puts it."""
    tokenizer = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    tokenizer.normalizer = theirs
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    found = tokenizer.encode(text).offsets
    expected = places(ours.changes(text))
    if found != expected:
        first = next(i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b)
        raise AssertionError(f"scalar {first}: {found[first:][:5]}, ours {expected[first:][:5]}")


def test_places(pair):
    check_places(*pair, "\n".join(strings(100_000, 8, seed=3)))
    check_places(
        *pair, "\n".join(chr(s) for s in SCALARS if FLAGS[s] & (FLAG["NOT_NFKC"] | FLAG["NOT_NFKD"]))
    )
    for text in strings(3000, 6, seed=4):
        check_places(*pair, text)


def test_long_runs_of_marks(pair):
    choose = random.Random(5)
    marks = [s for s in sorted(having("COMBINING")) if not FLAGS[s] & FLAG["BREAKS"]]
    for length in [15, 16, 17, 18, 200, 100_000]:
        text = "e" + "".join(chr(s) for s in choose.choices(marks, k=length)) + "e"
        assert pair[0].normalize_str(text) == pair[1].normalize_str(text)


def test_prefix_needs_no_work(pair):
    theirs, ours = pair
    for text in strings(20_000, 8, seed=6):
        data = ("word " + text + " word" + text[:2]).encode()
        cut = ours.prefix(data)
        head, tail = data[:cut].decode(), data[cut:].decode()
        assert theirs.normalize_str(head) == head
        assert head + theirs.normalize_str(tail) == theirs.normalize_str(head + tail)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NFC", "Ordinary text, größer, déjà vu, Привет, שָׁלוֹם, नमस्ते, 한국어, 日本語, ไม่ใช่ 👩‍👩‍👧!"[:24]),
        ("NFC", "한국어 日本語 ไม่ใช่ नमस्ते Привет"),
        ("NFKC", "Ordinary text, déjà vu, 한국어 日本語 नमस्ते"),
        ("NFD", "e\u0323\u0301 日本語"),
        ("NFKD", "e\u0323\u0301 日本語"),
        ("nmt_nfkc", "Ordinary text, déjà vu, 한국어 日本語"),
    ],
)
def test_prefix_is_all_of_ordinary_text(name, text):
    data = text.encode()
    assert PAIRS[name][1].prefix(data) == len(data)


def test_text_that_is_not_utf8(pair):
    for bad in [b"a\xff", b"e\xcc\x81\xcc", b"\xed\xa0\x80", b"a" * 100 + b"\xc0\x80"]:
        with pytest.raises(Refused, match="13"):
            pair[1].changes(bad)
        assert pair[1].prefix(bad) < len(bad)


# ---- Where a text can be cut --------------------------------------------------------------------

CHAINS = [
    *([getattr(normalizers, name)()] for name in FORMS),
    [normalizers.Lowercase()],
    *([PAIRS[name][0]] for name in BLOBS),
    [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()],
    [normalizers.NFKD(), normalizers.StripAccents(), normalizers.NFC()],
    [normalizers.Lowercase(), normalizers.NFKC(), PAIRS["clusters"][0]],
    [normalizers.NFKD(), PAIRS["nmt_nfkc"][0]],
    [normalizers.NFD(), PAIRS["clusters"][0]],
    [normalizers.NFKC(), normalizers.StripAccents(), normalizers.Lowercase(), PAIRS["clusters"][0]],
]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda c: "-".join(type(n).__name__ for n in c))
def test_cuts_between_safe_scalars(chain):
    """A text of lines, each cut once: its left halves and its right halves, normalized apart and joined."""
    normalizer = normalizers.Sequence(chain)
    choose = random.Random(7)
    safe = [chr(s) for s in sorted(having("SAFE"))]
    around = [c for c in INTERESTING if c != "\n"]
    for seconds in [safe, choose.sample(safe, len(safe))]:
        lefts = ["".join(choose.choices(around, k=3)) + c for c in choose.sample(safe, len(safe))]
        rights = [c + "".join(choose.choices(around, k=3)) for c in seconds]
        halves = "\n".join(left + "\n" + right for left, right in zip(lefts, rights, strict=True))
        wholes = "\n".join(left + right for left, right in zip(lefts, rights, strict=True))
        found = normalizer.normalize_str(halves).split(normalizer.normalize_str("\n"))
        assert normalizer.normalize_str(wholes).replace(normalizer.normalize_str("\n"), "") == "".join(found)


def test_safe_scalars_are_common():
    text = "Large texts are cut: Большие, 大きな文章は, 큰 글, ภาษาไทย, हिन्दी, 12345"
    for word in re.findall(r"\w{2,}", text):
        flags = [bool(FLAGS[ord(c)] & FLAG["SAFE"]) for c in word]
        assert any(a and b for a, b in itertools.pairwise(flags)), word


# ---- Charsmaps from elsewhere -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"", "22 precompiled_charsmap: shorter than 4 bytes"),
        (b"\x08\0\0\0\0\0\0\0", "22 .* shorter than its trie"),
        (b"\x03\0\0\0\0\0\0", "22 .* the trie is empty"),
        (b"\x04\0\0\0\0\0\0\0", "22 .* unit 0 has children at 0, beyond the last of 1"),
        (small_charsmap({}) + b"\xff", "22 .* not UTF-8"),
        (small_charsmap({1: b"a"})[:-2], None),
        (small_charsmap({1: b"a", 2: b"b"})[:-3], "22 .* no replacement begins at byte 2 of 1"),
        (small_charsmap({1: b"aa", 2: b"b"})[:-5] + b"\xc3\xa9\xc3\xa9", "22 .* begins at byte 3 of 4"),
        (small_charsmap({1: b"a" * 1023}), None),
        (small_charsmap({1: b"a" * 1024}), "23 .* at byte 0 has 1024 bytes or more"),
    ],
)
def test_blobs_that_are_refused(blob, reason):
    if reason is None:
        Charsmap(blob)
        return
    with pytest.raises(Refused, match=reason):
        Charsmap(blob)


def test_damaged_blobs_change_texts_alike_or_are_refused():
    choose = random.Random(8)
    blob, accepted = BLOBS["mixture"], 0
    texts = "\n".join(strings(200, 6, seed=9))
    for _ in range(300):
        damaged = bytearray(blob)
        for _ in range(choose.randint(1, 3)):
            damaged[choose.randrange(4, len(blob))] = choose.randrange(256)
        try:
            ours = Charsmap(bytes(damaged))
        except Refused:
            continue
        accepted += 1
        assert normalizers.Precompiled(bytes(damaged)).normalize_str(texts) == ours.normalize_str(texts)
    assert accepted > 50


def decoded(text: bytes) -> bytes | None:
    out = ctypes.create_string_buffer(len(text) + 1)
    size = library.base64_decode(text, len(text), out)
    return None if size < 0 else out.raw[:size]


def test_base64():
    choose = random.Random(10)
    for size in range(200):
        data = choose.randbytes(size)
        assert decoded(base64.b64encode(data)) == data
    for bad in [
        b"A",
        b"AA",
        b"AAA",
        b"A===",
        b"====",
        b"AB==",
        b"AAB=",
        b"AA=A",
        b"AA==AAAA",
        b"AA A",
        b"AA\n=",
        b"_-8=",
    ]:
        assert decoded(bad) is None, bad
