"""Make lib/unicode/tables.c: what every Unicode scalar means to the tokenizers.

usage: gen_unicode.py [--check]

The tables hold what Hugging Face `tokenizers` does, which mixes Unicode versions stage by stage. So the
library itself is asked, about all scalars in one text; only the numbers of the canonical combining classes
come from Python's unicodedata, for the scalars that `tokenizers` reorders. Prints nothing when all is well;
--check writes nothing and exits 1 if the file on the disk differs.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import sys
import unicodedata
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

OUTPUT = Path(__file__).resolve().parent.parent / "lib" / "unicode" / "tables.c"
BLOCK = 128
SCALARS = [s for s in range(0x110000) if not 0xD800 <= s <= 0xDFFF]
HANGUL = range(0xAC00, 0xAC00 + 11172)

# The flags of lib/unicode/unicode.h, in order of their bits.
FLAGS = [
    "CONTROL",
    "WHITE",
    "CJK",
    "PUNCTUATION",
    "MARK",
    "BREAKS",
    "WORD",
    "UPPERCASE",
    "LOWERCASE",
    "TITLECASE",
    "MODIFIER",
    "OTHER_LETTER",
    "COMBINING",
    "NUMBER",
    "PUNCTUATION_CLASS",
    "SYMBOL",
    "NUMERIC",
    "ACCENT",
    "SECOND",
    "NOT_NFD",
    "NOT_NFC",
    "NOT_NFKD",
    "NOT_NFKC",
    "SAFE",
]

# The classes of lib/unicode/grapheme.h, in order of their numbers.
GRAPHEMES = [
    "OTHER",
    "CONTROL",
    "CR",
    "LF",
    "EXTEND",
    "NON_JOINER",
    "LINKER",
    "JOINER",
    "SPACING",
    "PREPEND",
    "REGIONAL",
    "L",
    "V",
    "T",
    "LV",
    "LVT",
    "PICTOGRAPHIC",
    "CONSONANT",
]


# ---- Questions about all scalars at once --------------------------------------------------------


def images(normalizer, before: str = "") -> list[str]:
    """What a normalizer makes of each scalar, behind `before`."""
    end = chr(SCALARS[-1])  # means nothing to any normalizer
    text = normalizer.normalize_str(end.join(before + chr(s) for s in SCALARS[:-1]) + end + before)
    return [*text.split(end)[:-1], before + end]


def isolated(pre_tokenizer) -> set[int]:
    """The scalars that a pre-tokenizer makes pieces of their own, among others that belong to no class."""
    text = "".join("\u0001" + chr(s) for s in SCALARS) + "\u0001"
    pieces = pre_tokenizer.pre_tokenize_str(text)
    return {SCALARS[start // 2] for _, (start, end) in pieces if start % 2 and end == start + 1}


def removed(pre_tokenizer) -> set[int]:
    """The scalars that are in no piece."""
    kept = bytearray(len(SCALARS))
    for _, (start, end) in pre_tokenizer.pre_tokenize_str("".join(map(chr, SCALARS))):
        kept[start:end] = b"1" * (end - start)
    return {s for s, k in zip(SCALARS, kept, strict=True) if not k}


def matches(pattern: str) -> set[int]:
    return removed(pre_tokenizers.Split(Regex(pattern), "removed"))


def same(*sets: set[int]) -> set[int]:
    """Classes of different parts of the library that share a flag because they are one class."""
    for other in sets[1:]:
        if other != sets[0]:
            raise AssertionError(f"classes differ at {[f'U+{s:04X}' for s in sorted(sets[0] ^ other)]}")
    return sets[0]


# ---- Classes ------------------------------------------------------------------------------------


def bert(**on) -> normalizers.BertNormalizer:
    flags = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
    return normalizers.BertNormalizer(**(flags | on))


def beside_single_words() -> set[int]:
    """The scalars that keep a single_word token from matching when they stand before it."""
    tokenizer = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    tokenizer.add_tokens([AddedToken("\u0001", single_word=True, normalized=False)])
    token = tokenizer.token_to_id("\u0001")
    encodings = tokenizer.encode_batch_fast([chr(s) + "\u0001" for s in SCALARS])
    return {s for s, e in zip(SCALARS, encodings, strict=True) if token not in e.ids}


def words() -> set[int]:
    """Those that are one piece with a word's character."""
    text = "".join("\n_" + chr(s) for s in SCALARS)
    pieces = pre_tokenizers.Whitespace().pre_tokenize_str(text)
    return {SCALARS[start // 3] for _, (start, end) in pieces if end == start + 2}


def classes() -> dict[str, set[int]]:
    strip = normalizers.Strip()
    letters = {
        "UPPERCASE": matches(r"\p{Lu}"),
        "LOWERCASE": matches(r"\p{Ll}"),
        "TITLECASE": matches(r"\p{Lt}"),
        "MODIFIER": matches(r"\p{Lm}"),
        "OTHER_LETTER": matches(r"\p{Lo}"),
    }
    same(set().union(*letters.values()), matches(r"\p{L}"))
    chinese = images(bert(handle_chinese_chars=True))
    return letters | {
        "CONTROL": {s for s, c in zip(SCALARS, images(bert(clean_text=True)), strict=True) if not c},
        "WHITE": same(
            matches(r"\s"),
            removed(pre_tokenizers.Whitespace()),
            removed(pre_tokenizers.WhitespaceSplit()),
            removed(pre_tokenizers.BertPreTokenizer()),
            {s for s in SCALARS if strip.normalize_str(chr(s)) == ""},
        ),
        "CJK": {s for s, c in zip(SCALARS, chinese, strict=True) if c != chr(s)},
        "PUNCTUATION": same(
            isolated(pre_tokenizers.BertPreTokenizer()), isolated(pre_tokenizers.Punctuation("isolated"))
        ),
        "WORD": same(words(), beside_single_words()),
        "COMBINING": matches(r"\p{M}"),
        "NUMBER": matches(r"\p{N}"),
        "PUNCTUATION_CLASS": matches(r"\p{P}"),
        "SYMBOL": matches(r"\p{S}"),
        "NUMERIC": isolated(pre_tokenizers.Digits(individual_digits=True)),
        "ACCENT": {s for s, c in zip(SCALARS, images(normalizers.StripAccents()), strict=True) if not c},
    }


# ---- Normal forms -------------------------------------------------------------------------------


def combining_classes(nfd: list[str]) -> dict[int, int]:
    """Scalars that canonical ordering moves before U+0345, which has the highest class of all."""
    found = {0x345: 240}
    for scalar, decomposed, ordered in zip(SCALARS, nfd, images(normalizers.NFD(), "a\u0345"), strict=True):
        # A scalar that decomposes is never ordered itself.
        if decomposed == chr(scalar) and scalar not in found and ordered == "a" + chr(scalar) + "\u0345":
            found[scalar] = unicodedata.combining(chr(scalar))
            if not 0 < found[scalar] < 240:
                raise AssertionError(f"U+{scalar:04X}: reordered, of class {found[scalar]}")
    return found


def compositions(nfd: list[str], nfc: list[str]) -> list[tuple[int, int, int]]:
    """The pairs that compose, other than Hangul: a decomposition's last scalar, and the others composed."""
    compose = normalizers.NFC().normalize_str
    found = []
    for scalar, decomposed, composed in zip(SCALARS, nfd, nfc, strict=True):
        if composed == chr(scalar) and decomposed != composed and scalar not in HANGUL:
            first = compose(decomposed[:-1])
            if len(first) != 1 or compose(first + decomposed[-1]) != composed:
                raise AssertionError(f"U+{scalar:04X} is not composed of two")
            found.append((ord(first), ord(decomposed[-1]), scalar))
    return sorted(found)


# ---- Grapheme clusters --------------------------------------------------------------------------


def counting_charsmap() -> bytes:
    """Every character but the line feed begins with a key of one byte, and becomes "1". So a cluster of less
    than 6 bytes leaves one "1", and any other one for each character."""
    leads = [b for b in [*range(1, 0x80), *range(0xC2, 0xF5)] if b != ord("\n")]
    units = [0] * 1024
    units[0] = 0x100 << 10
    for lead in leads:
        units[0x100 | lead] = 0x300 << 10 | 1 << 8 | lead
        units[0x200 | lead] = 1 << 31
    return struct.pack("<I1024I", 4 * len(units), *units) + b"1\0"


# Examples of the classes that are needed to find out others: one byte (a), two (E, P, C) or three of UTF-8.
EXAMPLES = {
    "E": ("\u0301", "EXTEND"),
    "P": ("\u0600", "PREPEND"),
    "J": ("\u200d", "JOINER"),
    "C": ("\u00a9", "PICTOGRAPHIC"),
    "K": ("\u0915", "CONSONANT"),
    "H": ("\u094d", "LINKER"),
    "L": ("\u1100", "L"),
    "V": ("\u1161", "V"),
    "T": ("\u11a8", "T"),
    "a": ("a", "OTHER"),
}
# "?" is the scalar in question; each tells some classes apart by the number of what is left.
PROBES = [
    *["?EE", "a?", "P?", "?a", "CJ?E", "?JCE", "C?JCE", "C?CE", "K?HKE", "K?KE", "KH?E", "?HKE"],
    *["L?E", "V?E", "T?E", "?VE", "?TE", "L?VE", "L?TE"],
]


def clusters(text: list[str]) -> list[int]:
    """Sizes of the extended grapheme clusters (UAX #29) of scalars of these classes."""
    sizes: list[int] = []
    for i, after in enumerate(text):
        before = text[i - 1] if i else "CONTROL"
        left = text[:i]
        while left and left[-1] in ("EXTEND", "LINKER", "JOINER"):
            left = left[:-1]
        attached = text[len(left) : i]
        emoji = text[: i - 1]
        while emoji and emoji[-1] in ("EXTEND", "NON_JOINER", "LINKER"):
            emoji = emoji[:-1]
        controls = ("CONTROL", "CR", "LF")
        joins = (before, after) == ("CR", "LF") or (
            before not in controls
            and after not in controls
            and (
                after in ("EXTEND", "NON_JOINER", "LINKER", "JOINER", "SPACING")
                or before == "PREPEND"
                or (before == "L" and after in ("L", "V", "LV", "LVT"))
                or (before in ("LV", "V") and after in ("V", "T"))
                or (before in ("LVT", "T") and after == "T")
                or (after == "CONSONANT" and left[-1:] == ["CONSONANT"] and "LINKER" in attached)
                or (after == "PICTOGRAPHIC" and before == "JOINER" and emoji[-1:] == ["PICTOGRAPHIC"])
            )
        )
        if joins:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sizes


def expected_counts(name: str, size: int) -> str:
    """What the charsmap leaves of all probes for a scalar of this class and of `size` bytes."""
    lines = []
    for probe in PROBES:
        known = [(name, size) if p == "?" else (EXAMPLES[p][1], len(EXAMPLES[p][0].encode())) for p in probe]
        count = at = 0
        for cluster in clusters([c for c, _ in known]):
            large = sum(n for _, n in known[at : at + cluster]) >= 6
            count += cluster if large else 1
            at += cluster
        lines.append("1" * count)
    return "\n".join(lines)


def grapheme_classes() -> list[str]:
    # Clusters of regional indicators have 8 bytes, and leave no trace; so the standard is taken at its word.
    regional = range(0x1F1E6, 0x1F200)
    ascii_classes = {0x0D: "CR", 0x0A: "LF"} | dict.fromkeys(range(0x20, 0x7F), "OTHER")
    names = [n for n in GRAPHEMES if n not in ("CR", "LF", "REGIONAL")]
    examples = {ord(name): example for name, (example, _) in EXAMPLES.items()}
    by_counts: dict[tuple[int, str], str] = {}
    for size in (2, 3, 4):
        for name in names:
            by_counts.setdefault((size, expected_counts(name, size)), name)
    normalizer = normalizers.Precompiled(counting_charsmap())

    def class_of(scalar: int) -> str:
        if scalar < 0x80:
            return ascii_classes.get(scalar, "CONTROL")
        if scalar in regional:
            return "REGIONAL"
        text = "\n".join(PROBES).translate(examples | {ord("?"): scalar})
        return by_counts[len(chr(scalar).encode()), normalizer.normalize_str(text)]

    return [class_of(s) for s in SCALARS]


# ---- Records ------------------------------------------------------------------------------------


def safe_scalars(sets, forms, ccc, graphemes) -> set[int]:
    """Letters and numbers between two of which a text can be cut: whatever normal forms and lower case make
    of them, canonical ordering, composition and grapheme clusters all end there."""
    class_of = dict(zip(SCALARS, graphemes, strict=True))
    alone = {"OTHER", "CONSONANT", "LV", "LVT"}

    def first_ok(s: int) -> bool:
        joins = s in ccc or s in sets["SECOND"] or s in sets["ACCENT"] or s in sets["MARK"]
        return class_of[s] in alone | {"L"} and not joins

    def last_ok(s: int) -> bool:
        return class_of[s] in alone | {"V", "T"} and s not in ccc

    letters = set().union(
        *(sets[n] for n in ("UPPERCASE", "LOWERCASE", "TITLECASE", "MODIFIER", "OTHER_LETTER", "NUMBER"))
    )
    return {
        s
        for s, *made in zip(SCALARS, *forms, strict=True)
        if s in letters
        and class_of[s] in alone
        and all(form and first_ok(ord(form[0])) and last_ok(ord(form[-1])) for form in made)
    }


def records():
    """For each scalar: flags, combining class, grapheme class, and its forms: lower case, stripped, stripped
    lower case, canonical and compatibility decomposition."""
    nfd, nfc, nfkd, nfkc = (images(getattr(normalizers, f)()) for f in ("NFD", "NFC", "NFKD", "NFKC"))
    lower = images(normalizers.Lowercase())
    if images(bert(lowercase=True)) != lower:
        raise AssertionError("two lower cases")
    stripped, both = images(bert(strip_accents=True)), images(bert(strip_accents=True, lowercase=True))
    ccc, graphemes, sets = combining_classes(nfd), grapheme_classes(), classes()
    pairs = compositions(nfd, nfc)
    jamo = [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]
    changed = {"NOT_NFD": nfd, "NOT_NFC": nfc, "NOT_NFKD": nfkd, "NOT_NFKC": nfkc}
    sets |= {n: {s for s, c in zip(SCALARS, form, strict=True) if c != chr(s)} for n, form in changed.items()}
    sets["SECOND"] = {second for _, second, _ in pairs} | set(jamo)
    sets["MARK"] = {s for s, c in zip(SCALARS, stripped, strict=True) if not c}
    sets["BREAKS"] = {s for s, c in zip(SCALARS, nfd, strict=True) if any(ord(d) not in ccc for d in c)}
    lower_kd = [
        normalizers.NFKD().normalize_str(c) if c != chr(s) else c for s, c in zip(SCALARS, lower, strict=True)
    ]
    sets["SAFE"] = safe_scalars(sets, (lower, nfd, nfc, nfkd, nfkc, lower_kd), ccc, graphemes)
    rows = []
    for i, scalar in enumerate(SCALARS):
        hangul = scalar in HANGUL
        rows.append(
            (
                sum(1 << bit for bit, name in enumerate(FLAGS) if scalar in sets[name]),
                ccc.get(scalar, 0),
                GRAPHEMES.index(graphemes[i]),
                *(
                    None if form[i] == chr(scalar) or (hangul and form is not lower) else form[i]
                    for form in (lower, stripped, both, nfd, nfkd)
                ),
            )
        )
    return rows, pairs


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
    rows, pairs = records()
    for scalar, (flags, ccc, grapheme, *forms) in zip(SCALARS, rows, strict=True):
        record = (flags, ccc, grapheme, *map(mapping, forms))
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
            "const ce_unicode_composition ce_unicode_compositions[] = {",
            *number_rows("{" + ", ".join(map(str, pair)) + "}" for pair in pairs),
            "};",
            f"const size_t ce_unicode_composition_count = {len(pairs)};",
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
