"""Random texts through the C tokenizer and through Hugging Face's: ids, offsets and limits must be the same.

    tests/fuzz/differential.py [TARGET...] [--seconds N] [--seed S]

A TARGET is a file of the zoo (all, by default) or the path of a tokenizer.json. Texts are made of what makes
trouble: marks, jamo, emoji, white space of every kind, pieces of the file's own vocabulary, long runs. A text
that fails is cut down as far as it still fails and printed; the exit status is 1. The same seed gives the
same texts, of which as many as the time allows.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from tokenizers import Tokenizer

import tokenizer_zoo
from tokenizer_driver import Ours, Refused, Result, byte_spans

BATCH = 200


def of(*ranges: tuple[int, int]) -> list[str]:
    return [chr(s) for first, last in ranges for s in range(first, last + 1)]


MARKS = of((0x300, 0x36F), (0x483, 0x489), (0x591, 0x5C7), (0x64B, 0x65F), (0x1AB0, 0x1ACE), (0x20D0, 0x20F0))
ORDERED_MC = of((0x302E, 0x302F), (0x1D165, 0x1D166), (0x1D16D, 0x1D172), (0x9BE, 0x9BE), (0x116B6, 0x116B6))
ALPHABET: list[tuple[float, list[str]]] = [
    (9, list("abcdefghijklmnopqrstuvwxyzABCDEIKLMNORST")),
    (5, [" "]),
    (2, ["  ", "   ", "\n", "\r\n", "\n\n", "\t", " \n", "\n "]),
    (1, list("\x0b\x0c\r\x1c\x1f\x85\xa0\u1680\u2002\u200a\u2028\u2029\u202f\u205f\u3000")),
    (1, list("\x00\x01\x7f\xad\u180e\u200b\u200c\u200d\u200e\u2060\ufeff\ufffd\ue000\U0010ffff\u0378")),
    (2, ["²", *"0123456789", "½", "٣", "५", "Ⅷ", "①", "１"]),
    (2, [*"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "…", "—", "、", "。", "¿", "«", "“", "€"]),
    (1, ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "’s", "’", "''", "``"]),
    (2, list("éÉñüßİıſKΣσςǅǆﬁﬃẞÅÅΩẛ̣")),
    (2, MARKS),
    (0.5, ORDERED_MC),
    (1, of((0x1100, 0x1112), (0x1160, 0x1175), (0x11A8, 0x11C2), (0xA960, 0xA962), (0xD7B0, 0xD7B2))),
    (1, list("각힣한국어") + of((0x4E00, 0x4E20), (0x3041, 0x3060), (0x30A1, 0x30C0), (0xFF66, 0xFF9F))),
    (1, of((0x33FF, 0x3401), (0x4DBE, 0x4E00), (0x9FFE, 0xA000), (0xF8FF, 0xF901), (0xFAFE, 0xFB01))),
    (1, of((0x2B81E, 0x2B821), (0x2B91E, 0x2B921), (0x2CEAE, 0x2CEB1), (0x2FA1E, 0x2FA20))),
    (1, of((0x915, 0x94D), (0x995, 0x9CD), (0xE01, 0xE4E), (0xD15, 0xD4D), (0x1000, 0x103A))),
    (1, of((0x5D0, 0x5EA), (0x621, 0x64A), (0x410, 0x44F), (0x391, 0x3C9), (0x10D0, 0x10E0))),
    (1, ["👩\u200d👩\u200d👧", "👍🏽", "🇩🇪🇫", "☺\ufe0f", "1\ufe0f\u20e3", "🏴\U000e0067\U000e007f"]),
    (1, ["▁", "▁▁", "Ġ", "Ċ", "##", "##ing", "<0x0A>", "</w>", "|||", "\ufdfa", "\u0344", "\u0958"]),
    (0.2, of((0x80, 0x17F), (0x2100, 0x214F), (0x2460, 0x24FF), (0xFB00, 0xFB4F), (0x1F100, 0x1F1FF))),
    (0.2, of((0x1D400, 0x1D4FF), (0x10400, 0x1044F), (0x1E900, 0x1E943), (0x12000, 0x12020))),
]  # fmt: skip


class Target:
    """One file as both libraries read it."""

    def __init__(self, name: str, theirs: Tokenizer, ours: Ours) -> None:
        self.name, self.theirs, self.ours = name, theirs, ours
        tokens = theirs.get_added_tokens_decoder()
        self.added = [tokens[id_].content for id_ in sorted(tokens)][:40] or ["<s>"]
        self.vocab = sorted(theirs.get_vocab(with_added_tokens=False))

    def text(self, number: random.Random) -> str:
        """One of several shapes, so that each shape's trouble is not drowned by the others'."""
        kinds = [kind for _, kind in ALPHABET]
        weights = [weight for weight, _ in ALPHABET]
        shape = number.random()
        if shape < 0.1:
            char = number.choice(number.choice(kinds))
            tail = number.choice(number.choice(kinds))
            return char * number.choice([2, 3, 7, 31, 98, 99, 100, 101, 102, 300]) + tail
        if shape < 0.25:
            kinds = number.sample(kinds, k=3)
            weights = [1] * 3
        pieces = []
        for _ in range(number.choice([1, 2, 3, 5, 8, 20, 60])):
            piece = number.choice(number.choices(kinds, weights)[0])
            chance = number.random()
            if chance < 0.06:
                piece = number.choice(self.added)
            elif chance < 0.12:
                piece = number.choice(self.vocab).replace("▁", " ").replace("Ġ", " ")
            elif chance < 0.14:
                token = number.choice(self.added)
                piece = token[: number.randrange(len(token) + 1)]
            elif chance < 0.16:
                piece *= number.randint(2, 5)
            pieces.append(piece)
        return "".join(pieces)


class Setting:
    """How a batch is encoded."""

    def __init__(self, number: random.Random, target: Target) -> None:
        least = target.theirs.num_special_tokens_to_add(False)
        self.limit = number.choice([0, 0, max(least, 1) + number.randrange(20)])
        self.left = number.random() < 0.5
        self.specials = number.random() < 0.8

    def __str__(self) -> str:
        side = "left" if self.left else "right"
        cut = f"max_tokens {self.limit} from the {side}" if self.limit else "no limit"
        return cut + ("" if self.specials else ", no special tokens")

    def theirs(self, target: Target, texts: list[str]) -> list[Result]:
        if self.limit:
            target.theirs.enable_truncation(self.limit, direction="left" if self.left else "right")
        else:
            target.theirs.no_truncation()
        encodings = target.theirs.encode_batch(texts, add_special_tokens=self.specials)
        return [
            Result(encoding.ids, byte_spans(encoding, text))
            for encoding, text in zip(encodings, texts, strict=True)
        ]

    def ours(self, target: Target, texts: list[str]) -> list[Result]:
        options = dict(max_tokens=self.limit, truncate_left=self.left, specials=self.specials)
        return target.ours.results(texts, **options, spans=True)

    def failing(self, target: Target, texts: list[str]) -> list[str]:
        try:
            ours = self.ours(target, texts)
        except Refused:
            return texts if len(texts) == 1 else [t for text in texts for t in self.failing(target, [text])]
        both = zip(texts, self.theirs(target, texts), ours, strict=True)
        return [text for text, a, b in both if (a.ids, a.spans) != (b.ids, b.spans)]


def minimised(text: str, fails: Callable[[str], bool]) -> str:
    """The text without every part that the failure can do without."""
    size = max(len(text) // 2, 1)
    while size:
        start = 0
        while start < len(text):
            shorter = text[:start] + text[start + size :]
            if fails(shorter):
                text = shorter
            else:
                start += size
        size //= 2
    return text


def report(target: Target, setting: Setting, text: str) -> None:
    text = minimised(text, lambda shorter: bool(setting.failing(target, [shorter])))
    print(f"{target.name}, {setting}: {text!a}  ({text!r})")
    expected = setting.theirs(target, [text])[0]
    print(f"  expected {expected.ids}\n           {expected.spans}")
    try:
        found = setting.ours(target, [text])[0]
        print(f"  found    {found.ids}\n           {found.spans}")
    except Refused as reason:
        print(f"  refused: {reason}")


def round_of(target: Target, seed: int, index: int) -> int:
    """One batch; the number of texts that failed, of which the first is reported."""
    number = random.Random(f"{seed} {target.name} {index}")
    setting = Setting(number, target)
    failing = setting.failing(target, [target.text(number) for _ in range(BATCH)])
    for text in failing[:1]:
        report(target, setting, text)
    return len(failing)


def load(name: str) -> Target:
    file = tokenizer_zoo.path(name) if name in tokenizer_zoo.ZOO else Path(name)
    content = file.read_text(encoding="utf-8")
    theirs = Tokenizer.from_str(content)
    theirs.no_padding()
    return Target(name, theirs, Ours(content))


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which texts (%(default)s)")
    arguments = parser.parse_args()

    names = arguments.targets or list(tokenizer_zoo.ZOO)
    count = failures = 0
    for name in names:
        target = load(name)  # one at a time: all of them would take gigabytes
        end = time.monotonic() + arguments.seconds / len(names)
        for index in itertools.count():
            failures += round_of(target, arguments.seed, index)
            count += BATCH
            if time.monotonic() >= end:
                break
    print(f"{count} texts, seed {arguments.seed}: {failures or 'no'} differences")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
