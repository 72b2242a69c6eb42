"""Make lib/unicode/tables.c: what every Unicode scalar means to the tokenizers.

usage: gen_unicode.py [--check]

The tables hold what Hugging Face `tokenizers` does, which mixes Unicode versions stage by stage. So the
library itself is asked, scalar by scalar; only the numbers of the canonical combining classes come from
Python's unicodedata, for the scalars that `tokenizers` reorders. Prints nothing when all is well; --check
writes nothing and exits 1 if the file on the disk differs.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import unicodedata
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

OUTPUT = Path(__file__).resolve().parent.parent / "lib" / "unicode" / "tables.c"
BLOCK = 128
SCALARS = [s for s in range(0x110000) if not 0xD800 <= s <= 0xDFFF]
HANGUL = range(0xAC00, 0xAC00 + 11172)

# As in lib/unicode/unicode.h.
CONTROL, WHITE, CJK, PUNCTUATION, MARK, BREAKS, WORD = (1 << i for i in range(7))


def bert(**on) -> normalizers.BertNormalizer:
    flags = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
    return normalizers.BertNormalizer(**(flags | on))


def word_scalars() -> set[int]:
    """The scalars that keep a single_word token from matching when they stand before it."""
    tokenizer = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    tokenizer.add_tokens([AddedToken("\u0001", single_word=True, normalized=False)])
    token = tokenizer.token_to_id("\u0001")
    encodings = tokenizer.encode_batch_fast([chr(s) + "\u0001" for s in SCALARS])
    return {s for s, e in zip(SCALARS, encodings, strict=True) if token not in e.ids}


def combining_classes(nfd) -> dict[int, int]:
    """Scalars that canonical ordering moves before U+0345, which has the highest class of all."""
    classes = {0x345: 240}
    for scalar in SCALARS:
        found = unicodedata.combining(chr(scalar))
        # A scalar that decomposes is never ordered itself.
        if not found or nfd.normalize_str(chr(scalar)) != chr(scalar):
            continue
        if nfd.normalize_str("a\u0345" + chr(scalar)) == "a" + chr(scalar) + "\u0345":
            classes[scalar] = found
    return classes


def records():
    """For each scalar: flags, combining class, and its lower-case, stripped, stripped lower-case forms."""
    clean, chinese = bert(clean_text=True), bert(handle_chinese_chars=True)
    strip, lower = bert(strip_accents=True), bert(lowercase=True)
    both = bert(strip_accents=True, lowercase=True)
    nfd, split = normalizers.NFD(), pre_tokenizers.BertPreTokenizer()
    classes, words = combining_classes(nfd), word_scalars()
    for scalar in SCALARS:
        c = chr(scalar)
        between = f"a{c}b"
        pieces = [piece for piece, _ in split.pre_tokenize_str(between)]
        stripped = strip.normalize_str(c)
        decomposed = nfd.normalize_str(c)
        flags = 0
        if clean.normalize_str(between) == "ab":
            flags |= CONTROL
        if pieces == ["a", "b"]:
            flags |= WHITE
        elif pieces == ["a", c, "b"]:
            flags |= PUNCTUATION
        elif pieces != [between]:
            raise AssertionError(f"U+{scalar:04X}: pieces {pieces}")
        if chinese.normalize_str(c) != c:
            flags |= CJK
        if stripped == "":
            flags |= MARK
        if any(ord(d) not in classes for d in decomposed):
            flags |= BREAKS
        if scalar in words:
            flags |= WORD
        hangul = scalar in HANGUL
        yield (
            flags,
            classes.get(scalar, 0),
            None if lower.normalize_str(c) == c else lower.normalize_str(c),
            None if stripped == c or hangul else stripped,
            None if both.normalize_str(c) == c or hangul else both.normalize_str(c),
        )


def number_rows(numbers, width=100):
    line = "   "
    for number in numbers:
        text = f" {number},"
        if len(line) + len(text) > width:
            yield line
            line = "   "
        line += text
    yield line


def generate() -> str:
    mappings: dict[str, int] = {}
    sequences: list[int] = [0]

    def mapping(text: str | None) -> int:
        """Where the scalars of a form begin, behind their number; 0: the scalar itself."""
        if text is None:
            return 0
        if text not in mappings:
            mappings[text] = len(sequences)
            sequences.extend([len(text), *map(ord, text)])
        return mappings[text]

    unique: dict[tuple, int] = {}
    of_scalar = [0] * 0x110000
    for scalar, (flags, ccc, *forms) in zip(SCALARS, records(), strict=True):
        record = (flags, ccc, *map(mapping, forms))
        of_scalar[scalar] = unique.setdefault(record, len(unique))
    blocks: dict[tuple, int] = {}
    index = [
        blocks.setdefault(tuple(of_scalar[start : start + BLOCK]), len(blocks))
        for start in range(0, 0x110000, BLOCK)
    ]
    flat = [number for block in blocks for number in block]
    body = "\n".join(
        [
            "const uint16_t ce_unicode_index[] = {",
            *number_rows(index),
            "};",
            "const uint16_t ce_unicode_blocks[] = {",
            *number_rows(flat),
            "};",
            "const ce_unicode_record ce_unicode_records[] = {",
            *number_rows("{" + ", ".join(map(str, record)) + "}" for record in unique),
            "};",
            "const uint32_t ce_unicode_sequences[] = {",
            *number_rows(sequences),
            "};",
            "",
        ]
    )
    digest = hashlib.sha256(body.encode()).hexdigest()
    head = f"""/* Made by tools/gen_unicode.py from tokenizers {tokenizers.__version__}.
 * SHA-256 of what follows the include: {digest} */
/* clang-format off */
#include "unicode/unicode.h"

"""
    return head + body


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    text = generate()
    if check:
        return int(OUTPUT.read_text(encoding="ascii") != text)
    OUTPUT.write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
