"""Small random models, as no trainer makes them, against Hugging Face tokenizers: id for id, cut at either
end, with offsets, and on words so long that they are cut before their end is known."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable

import pytest
from tokenizers import Tokenizer

from tokenizer_driver import Ours, byte_spans
from tokenizer_zoo import byte_characters

BYTES = byte_characters()
LETTERS = ["a", "b", "c", "é", "▁", "漢", "🙂"]
UNKNOWN = ["x", "ß", "語", "🙃"]


def tokenizer_json(model: dict, pre_tokenizer: dict | None = None) -> str:
    return json.dumps({"version": "1.0", "added_tokens": [], "pre_tokenizer": pre_tokenizer, "model": model})


def random_merges(rng: random.Random, alphabet: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Merges of whatever is there already, sometimes one twice, now and then in an order of no trainer."""
    texts, merges = list(alphabet), []
    for _ in range(rng.randrange(24)):
        left, right = rng.choice(texts), rng.choice(texts)
        if len(left + right) <= 8:
            merges.append((left, right))
            texts.append(left + right)
    if rng.random() < 0.4:
        rng.shuffle(merges)
    return texts, merges


def numbered(rng: random.Random, texts: list[str]) -> dict[str, int]:
    texts = list(dict.fromkeys(texts))
    rng.shuffle(texts)
    return {text: number for number, text in enumerate(texts)}


def random_bpe(rng: random.Random) -> str:
    alphabet = rng.sample(LETTERS, rng.randrange(1, len(LETTERS)))
    texts, merges = random_merges(rng, alphabet)
    if rng.random() < 0.3:  # entries that no merge makes
        texts += ["".join(rng.choices(alphabet, k=rng.randrange(2, 5))) for _ in range(3)]
    unk = rng.choice([None, "[UNK]", "[UNK]", "[UNK]", alphabet[0]])
    fallback = rng.random() < 0.3
    if fallback:
        share = rng.choice([1, 1, 0.9])
        texts += [f"<0x{byte:02X}>" for byte in range(256) if rng.random() < share]
    model = {
        "type": "BPE",
        "unk_token": unk,
        "fuse_unk": rng.random() < 0.5,
        "byte_fallback": fallback,
        "ignore_merges": rng.random() < 0.3,
        "vocab": numbered(rng, texts + ([unk] if unk else [])),
        "merges": merges,
    }
    return tokenizer_json(model)


def random_byte_bpe(rng: random.Random) -> str:
    texts = ["".join(BYTES[byte] for byte in char.encode()) for char in rng.sample(LETTERS, 4)]
    alphabet = sorted(set("".join(texts)))
    texts, merges = random_merges(rng, alphabet)
    unk = rng.choice([None, "[UNK]"])
    if unk is None or rng.random() < 0.5:  # offsets behind a byte that is left out mean nothing
        texts += BYTES
    model = {
        "type": "BPE",
        "unk_token": unk,
        "fuse_unk": rng.random() < 0.5,
        "byte_fallback": False,
        "ignore_merges": rng.random() < 0.3,
        "vocab": numbered(rng, texts + ([unk] if unk else [])),
        "merges": merges,
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return tokenizer_json(model, byte_level)


def random_unigram(rng: random.Random) -> str:
    """Scores that are sums of halves tie all the time."""
    alphabet = rng.sample(LETTERS, rng.randrange(1, len(LETTERS)))
    texts = alphabet + [
        "".join(rng.choices(alphabet, k=rng.randrange(2, 6))) for _ in range(rng.randrange(16))
    ]
    fallback = rng.random() < 0.3
    if fallback:
        texts += [f"<0x{byte:02X}>" for byte in range(256)]
    if rng.random() < 0.3:  # unknown characters side by side that are an entry together
        texts.append(rng.choice(UNKNOWN) + rng.choice(UNKNOWN))
    texts = ["<unk>", *dict.fromkeys(texts)]
    vocab = [[text, -rng.randrange(1, 8) / 2] for text in texts]
    rng.shuffle(vocab)
    unk = next(number for number, (text, _) in enumerate(vocab) if text == "<unk>")
    return tokenizer_json({"type": "Unigram", "unk_id": unk, "byte_fallback": fallback, "vocab": vocab})


def random_wordpiece(rng: random.Random) -> str:
    alphabet = rng.sample(LETTERS, rng.randrange(1, len(LETTERS)))
    pieces = alphabet + [
        "".join(rng.choices(alphabet, k=rng.randrange(2, 6))) for _ in range(rng.randrange(16))
    ]
    texts = [text if rng.random() < 0.5 else "##" + text for text in pieces + alphabet]
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": rng.choice([3, 100, 10000]),
        "vocab": numbered(rng, [*texts, "[UNK]"]),
    }
    return tokenizer_json(model)


MODELS = [random_bpe, random_byte_bpe, random_unigram, random_wordpiece]


def random_text(rng: random.Random, size: int) -> str:
    chars = LETTERS[: rng.randrange(1, len(LETTERS) + 1)]
    if rng.random() < 0.4:
        chars = chars + rng.sample(UNKNOWN, rng.randrange(1, 3))
    return "".join(rng.choices(chars, k=size))


def models_of(make: Callable[[random.Random], str], count: int):
    """The random numbers of each model, its file, and both tokenizers."""
    for seed in range(count):
        rng = random.Random(f"{make.__name__} {seed}")
        file = make(rng)
        yield rng, file, Tokenizer.from_str(file), Ours(file)


@pytest.mark.parametrize("make", MODELS)
def test_short_texts(make):
    for rng, file, theirs, ours in models_of(make, 150):
        texts = [random_text(rng, rng.randrange(1, 40)) for _ in range(20)] + [random_text(rng, 200)]
        expected = theirs.encode_batch(texts)
        plain, tracked = ours.ids(texts), ours.results(texts, spans=True)
        for text, encoding, ids, result in zip(texts, expected, plain, tracked, strict=True):
            assert encoding.ids == ids == result.ids, (file, text)
            assert byte_spans(encoding, text) == result.spans, (file, text)


def cut(ids: list[int], limit: int, left: bool) -> list[int]:
    return ids[max(len(ids) - limit, 0) :] if left else ids[:limit]


@pytest.mark.parametrize("make", MODELS)
def test_long_words_cut_at_either_end(make):
    for rng, file, theirs, ours in models_of(make, 15):
        size = rng.randrange(4000, 12000)
        texts = [random_text(rng, size), random_text(rng, rng.randrange(1, 5)) * (size // 2)]
        texts.append(random_text(rng, size) + rng.choice(UNKNOWN) * size)
        texts = [text[:size] for text in texts]
        expected = [encoding.ids for encoding in theirs.encode_batch(texts)]
        assert ours.ids(texts) == expected, file
        for limit, left in itertools.product([1, 2, 3, 7, 64], [False, True]):
            for spans in (False, True):
                results = ours.results(texts, max_tokens=limit, truncate_left=left, spans=spans)
                for text, ids, result in zip(texts, expected, results, strict=True):
                    assert result.ids == cut(ids, limit, left), (file, text, limit, left)
                    assert result.truncated == (len(ids) > limit), (file, text, limit, left)
