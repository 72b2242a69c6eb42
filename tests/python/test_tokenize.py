"""Model.tokenize against Hugging Face tokenizers: offsets, pairs, both ends of a limit."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from tokenizers import Encoding, Tokenizer

import citadel_embed
from conftest import PACK

pytestmark = pytest.mark.skipif(
    not (PACK / "citadel.json").exists(), reason=f"no pack in {PACK}: run scripts/test"
)

TEXTS = [
    "", " ", "a", "How do I reset my password?", "  two  spaces ", "Größe naïve ÀÉ",
    "e\u0301 \u0301 x\u0323\u0307", "日本語 漢字 かな", "Привет, мир!", "نص عربي",
    "👩\u200d👩\u200d👧 🏳\ufe0f\u200d🌈 ok👍", "[CLS] [MASK] x", "a\tb\u00a0c\u200bd\0e", "한국어 각",
    "ﬁne ½", "x" * 150, "unbelievably unaffable " * 40,
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    with citadel_embed.Engine() as engine, engine.load(PACK) as model:
        yield model


@pytest.fixture(scope="module")
def theirs():
    tokenizer = Tokenizer.from_file(str(PACK / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer


def in_bytes(encoding: Encoding, *texts: str) -> list[tuple[int, int]]:
    """Offsets of an encoding, which count characters; each in its own text."""
    places = [[0, *accumulate(len(character.encode()) for character in text)] for text in texts]
    return [
        (0, 0) if text is None else (places[text][start], places[text][end])
        for (start, end), text in zip(encoding.offsets, encoding.sequence_ids, strict=True)
    ]


def check(model, theirs, text, pair=None, *, specials=True, left=False, limit=0):
    theirs.no_truncation()
    if limit:
        theirs.enable_truncation(limit, direction="left" if left else "right")
    encoding = theirs.encode(text, pair, add_special_tokens=specials)
    options = {"truncation": limit > 0, "truncate_left": left, "specials": specials, "pair": pair}
    tokens = model.tokenize(text, offsets=True, max_tokens=limit, **options)
    assert tokens == citadel_embed.Tokens(
        ids=encoding.ids,
        offsets=in_bytes(encoding, text, pair or ""),
        type_ids=encoding.type_ids,
        truncated=bool(encoding.overflowing),
    )
    assert model.tokenize(text, max_tokens=limit, **options) == encoding.ids


@pytest.mark.parametrize("specials", [True, False])
def test_offsets(model, theirs, specials):
    for text in TEXTS:
        check(model, theirs, text, specials=specials)


@pytest.mark.parametrize("limit", [3, 4, 5, 8, 13, 40])
@pytest.mark.parametrize("left", [True, False])
def test_truncation(model, theirs, left, limit):
    for text in TEXTS:
        check(model, theirs, text, left=left, limit=limit)


@pytest.mark.parametrize("limit", [0, 3, 4, 5, 8, 13, 40])
@pytest.mark.parametrize("left", [True, False])
def test_pairs(model, theirs, left, limit):
    if left and not limit:
        pytest.skip("nothing to cut")
    for text in TEXTS:
        for pair in TEXTS[::2]:
            check(model, theirs, text, pair, left=left, limit=limit)


def test_offsets_of_a_prompted_text_are_those_of_the_text(model):
    alone = model.tokenize("Größe 日本", offsets=True)
    prompted = model.tokenize("Größe 日本", offsets=True, prompt="query: ")
    assert prompted.offsets[:3] == [(0, 0)] * 3
    assert prompted.ids[3:] == alone.ids[1:] and prompted.offsets[3:] == alone.offsets[1:]


def test_pieces_of_the_text(model):
    data = "The Café, 日本 👍".encode()
    tokens = model.tokenize(data, offsets=True, specials=False)
    assert [data[start:end].decode() for start, end in tokens.offsets] == [
        "The",
        "Café",
        ",",
        "日",
        "本",
        "👍",
    ]


def test_chunks(model):
    """Cut as the header says: every chunk is within the limit, and together they are the text."""
    text = ("Unbelievably, 日本 naïve words 👩‍👩‍👧. " * 200).encode()
    spans = model.tokenize(text, offsets=True, specials=False, truncation=False).offsets
    cuts = [start for start, _ in spans[::200]] + [len(text)]
    chunks = [text[start:end] for start, end in pairwise(cuts)]
    assert len(chunks) > 5 and b"".join(chunks) == text[cuts[0] :]
    assert not any(model.tokenize(chunk, offsets=True).truncated for chunk in chunks)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"truncation": False, "truncate_left": True}, "TRUNCATE_LEFT together with NO_TRUNCATION"),
        ({"pair": "b", "max_tokens": 2}, "max_tokens is 2, expected 3"),
        ({"pair": b"b\xff"}, "invalid UTF-8 at byte 1 of the pair"),
    ],
)
def test_refusals(model, options, reason):
    with pytest.raises(citadel_embed.CitadelError, match=reason):
        model.tokenize("a", **options)


@pytest.mark.parametrize(
    ("call", "options", "reason"),
    [
        ("tokenize", {"max_tokens": 2**32}, "max_tokens is 4294967296, expected 0 to 4294967295"),
        ("tokenize", {"max_tokens": -1}, "max_tokens is -1, expected 0 to 4294967295"),
        ("embed", {"max_tokens": 2**32}, "max_tokens is 4294967296, expected"),
        ("embed", {"truncate_dim": -1}, "truncate_dim is -1, expected"),
        ("embed", {"normalize": "yes"}, "normalize is 'yes', expected one of model, always, never"),
    ],
)
def test_values_that_c_cannot_take(model, call, options, reason):
    with pytest.raises(ValueError, match=reason):
        getattr(model, call)(["a"] if call == "embed" else "a", **options)


def test_engine_options_that_c_cannot_take():
    for name in ("threads", "cache_models", "batch_tokens"):
        with pytest.raises(ValueError, match=f"{name} is -1, expected 0 to"):
            citadel_embed.Engine(**{name: -1})
