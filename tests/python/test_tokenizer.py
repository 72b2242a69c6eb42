"""The C tokenizer against Hugging Face tokenizers, id for id."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, normalizers, processors

from tokenizer_driver import ROOT, Ours, Refused, differences
from tokenizer_zoo import minilm_folder

SCALARS = [s for s in range(0x110000) if not 0xD800 <= s <= 0xDFFF]


def minilm() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.fixture(scope="session")
def pair():
    theirs = minilm()
    return theirs, Ours(theirs)


def bert_variant(**flags) -> Tokenizer:
    tokenizer = minilm()
    tokenizer.normalizer = normalizers.BertNormalizer(**flags)
    return tokenizer


def corpus() -> list[str]:
    """Text of the documentation that comes with Python, and of the test of Unicode itself."""
    texts = []
    for path in sorted(Path(os.__file__).parent.glob("*.py"))[:120]:
        text = path.read_text(encoding="utf-8", errors="ignore")
        texts.extend(text[i : i + 600] for i in range(0, len(text), 600))
    return texts


def test_every_scalar_alone_and_between_letters(pair):
    assert differences(*pair, [chr(s) for s in SCALARS]) == []
    assert differences(*pair, [f"a{chr(s)}b" for s in SCALARS]) == []


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("chinese", [True, False])
@pytest.mark.parametrize("strip", [True, False, None])
@pytest.mark.parametrize("lower", [True, False])
def test_normalizer_flags(clean, chinese, strip, lower):
    theirs = bert_variant(
        clean_text=clean, handle_chinese_chars=chinese, strip_accents=strip, lowercase=lower
    )
    step = [f"x{chr(s)}Y" for s in SCALARS if s < 0x3400 or s % 23 == 0 or 0xF900 <= s < 0x10000]
    assert differences(theirs, Ours(theirs), step) == []


def test_marks_are_reordered_as_canonical_ordering_says(pair):
    """Mc with a combining class stay when accents are stripped, and their order shows."""
    nfd = normalizers.NFD()
    marks = [
        chr(s)
        for s in SCALARS
        if nfd.normalize_str("a\u0345" + chr(s)) == "a" + chr(s) + "\u0345" or s == 0x345
    ]
    strip = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False
    )
    visible = [m for m in marks if strip.normalize_str(m) == m]
    assert len(marks) > 700 and visible
    texts = ["a" + x + y + "b" for x in visible for y in marks]
    texts += ["a" + y + x + "b" for x in visible for y in marks]
    rng = random.Random(3)
    zero = ["\u0941", "\u0301", "é", "각", "\u0f73", "한", "\u1d15e", "a", "中", "\x0b", " ", "\u200d"]
    for _ in range(20000):
        run = [rng.choice(rng.choice([visible, marks, zero])) for _ in range(rng.randint(2, 9))]
        texts.append("q" + "".join(run))
    assert differences(*pair, texts) == []


def test_long_run_of_marks_is_sorted(pair):
    rng = random.Random(5)
    run = "".join(rng.choice("\u302e\u302f\U0001d165\U0001d16d\u0301") for _ in range(5000))
    assert differences(*pair, ["a" + run + "b"]) == []


EDGES = [0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xF900, 0xFAFF, 0x20000, 0x2A6DF, 0x2A700, 0x2B73F]
EDGES += [0x2B740, 0x2B81F, 0x2B820, 0x2B920, 0x2CEAF, 0x2F800, 0x2FA1F, 0x3040, 0x30FF, 0xAC00]


def interesting() -> list[str]:
    edges = [chr(e + d) for e in EDGES for d in (-1, 0, 1)]
    return [
        *edges,
        *"\x00\x01\t\n\x0b\x0c\r\x1c\x1f\x7f\x85\xa0\xad\u180e\u2028\u2029\u200b\u200d\ufeff\ufffd",
        *"aZé1#_.-'[]中かİßΣςǅﬁ½\u0301\u20e3\u1160\u11a7각",
        "[SEP]",
        "[CLS]",
        "[sep]",
        "[MASK]",
        "[PAD",
        "[UNK]",
        "##ing",
        " ",
        "  ",
        "\u3000",
        "\U0010ffff",
        "\ue000",
    ]


def test_interesting_pairs_and_mixtures(pair):
    pieces = interesting()
    texts = [x + y for x, y in itertools.product(pieces, repeat=2)]
    texts += [f"a{x}{y}b" for x, y in itertools.product(pieces, repeat=2)]
    rng = random.Random(11)
    for _ in range(30000):
        texts.append("".join(rng.choice(pieces) for _ in range(rng.randint(1, 30))))
    assert differences(*pair, texts) == []


def test_chunks_do_not_show(pair):
    """The text is read in chunks of 512 bytes: everything must also work across their borders."""
    pieces = interesting()
    rng = random.Random(13)
    texts = []
    for shift in range(60):
        for piece in pieces:
            texts.append("w" * (500 + shift % 20) + piece + "tail " * 3)
    for _ in range(3000):
        words = [rng.choice(pieces) + rng.choice(["un", "believ", "able", " "]) for _ in range(300)]
        texts.append("".join(words))
    assert differences(*pair, texts) == []


def test_long_words(pair):
    texts = [
        c * n + s
        for c in ("a", "é", "中", "\U0001f600", "q", "ß")
        for n in range(95, 106)
        for s in ("", ".", " b")
    ]
    texts += ["a" * n for n in (511, 512, 513, 1000, 5000)] + ["x" * 20000 + " end"]
    assert differences(*pair, texts) == []


def test_corpus(pair):
    texts = corpus()
    assert sum(map(len, texts)) > 2_000_000
    assert differences(*pair, texts) == []


def test_truncation(pair):
    theirs, ours = minilm(), pair[1]
    texts = ["", "a", "unbelievable", "[SEP] a [MASK]", "word " * 400, "中文" * 300, "x" * 300 + " y"]
    texts += corpus()[:40]
    for limit in [*range(2, 40), 63, 64, 127, 128, 255, 256, 300, 511, 512]:
        theirs.enable_truncation(limit)
        for text in texts:
            ids, truncated = ours.encode(text, limit)
            assert ids == theirs.encode(text).ids
            assert truncated == (len(pair[0].encode(text).ids) > limit)


def test_limit_below_special_tokens(pair):
    with pytest.raises(Refused, match="10 max_tokens is 1, below the 2 special tokens"):
        pair[1].encode("text", 1)


def test_text_behind_the_limit_is_not_read(pair):
    ids, truncated = pair[1].encode(b"word " * 1000 + b"\xff", 16)
    assert truncated and len(ids) == 16


@pytest.mark.parametrize("prompt", ["query: ", "a", "un", "[SEP", "é", "中", " \n", "e\u0301"])
def test_prompt_is_as_if_written_in_front(pair, prompt):
    for text in ["", "believable", "]", "\u0301x", "text " * 300]:
        assert pair[1].encode(text, 64, prompt)[0] == pair[1].encode(prompt + text, 64)[0]


@pytest.mark.parametrize(
    "bad",
    b"80|c0 af|c1 bf|e0 80 80|ed a0 80|f0 8f bf bf|f4 90 80 80|f5 80 80 80|ff|e4 b8|f0 9f 98|c3".split(b"|"),
)
@pytest.mark.parametrize("before", [b"", b"abc ", "é中😀".encode(), b"w" * 511, b"w " * 1000])
def test_invalid_utf8_is_named_with_its_place(pair, bad, before):
    bad = bytes.fromhex(bad.decode())
    for after in (b"", b" more"):
        with pytest.raises(Refused, match=rf"^13 invalid UTF-8 at byte {len(before)}$"):
            pair[1].encode(before + bad + after)


def test_invalid_utf8_behind_a_prompt(pair):
    with pytest.raises(Refused, match=r"invalid UTF-8 at byte 2$"):
        pair[1].encode(b"ab\xff", 0, "query: ")


TOKENS = ["[NEW]", "new", "New York", "é", "[MASK]x", " lead", "trail ", "ﬁ", "中文", "x-y", "MiXed"]


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("single_word", [True, False])
@pytest.mark.parametrize("lstrip", [True, False])
@pytest.mark.parametrize("rstrip", [True, False])
def test_added_tokens(normalized, single_word, lstrip, rstrip):
    theirs = minilm()
    options = dict(normalized=normalized, single_word=single_word, lstrip=lstrip, rstrip=rstrip)
    theirs.add_tokens([AddedToken(token, **options) for token in TOKENS])
    theirs.add_tokens([AddedToken("plain", normalized=True), AddedToken("[RAW]", normalized=False)])
    ours = Ours(theirs)
    rng = random.Random(17)
    glue = ["", " ", "  ", "a", "_", ".", "é", "\u3000", "中", "\n", "\u200d", "E\u0301", "1", "-"]
    texts = []
    for _ in range(6000):
        words = rng.choices([*TOKENS, "plain", "[RAW]", "[SEP]", "NEW", "mixed", "word", "PLAIN"], k=4)
        texts.append("".join(word + rng.choice(glue) + rng.choice(glue) for word in words))
    assert differences(theirs, ours, texts) == []


@pytest.mark.parametrize(
    "post",
    [
        None,
        processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101)),
        processors.RobertaProcessing(("[SEP]", 102), ("[CLS]", 101)),
        processors.TemplateProcessing(single="$A", special_tokens=[]),
        processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 102)]),
        processors.TemplateProcessing(
            single="[CLS] [CLS] $A [SEP]", special_tokens=[("[CLS]", 101), ("[SEP]", 102)]
        ),
    ],
)
def test_post_processors(post):
    content = json.loads(minilm().to_str())
    if post is None:
        content["post_processor"] = None
        theirs = Tokenizer.from_str(json.dumps(content))
    else:
        theirs = minilm()
        theirs.post_processor = post
    ours = Ours(theirs)
    assert differences(theirs, ours, ["", "a", "a text", "word " * 50]) == []
    theirs.enable_truncation(12)
    for text in ["", "a", "word " * 50]:
        assert ours.encode(text, 12)[0] == theirs.encode(text).ids


def changed(**members) -> str:
    content = json.loads(minilm().to_str())
    for path, value in members.items():
        *parents, last = path.split("__")
        place = content
        for parent in parents:
            place = place[parent]
        if value is KeyError:
            del place[last]
        else:
            place[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"normalizer": {"type": "Nmt"}}, r'23 normalizer.type "Nmt" is not supported'),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Nmt"}]}}, r"normalizers\[0\].type"),
        ({"normalizer": {"type": "Replace", "content": ""}}, "22 .* normalizer.pattern is missing"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "22 .* pre_tokenizer.replacement is missing"),
        ({"pre_tokenizer": {"type": "UnicodeScripts"}}, '23 pre_tokenizer.type "UnicodeScripts"'),
        ({"model__type": "WordLevel"}, '23 model.type "WordLevel"'),
        ({"model__type": "BPE"}, "22 model.merges is missing"),
        ({"post_processor": {"type": "Unknown"}}, '23 post_processor.type "Unknown"'),
        ({"model__unk_token": "[NOPE]"}, r"22 model.unk_token '\[NOPE\]' is not in model.vocab"),
        ({"model__unk_token": KeyError}, "22 model.unk_token is missing"),
        ({"model": KeyError}, "22 model is missing"),
        ({"model__vocab": {"[UNK]": -1}}, "22 line 1, column .* -1 is not a whole number"),
        ({"model__vocab": {"[UNK]": 1.5}}, "22 line 1, column .* 1.5 is not a whole number"),
        ({"model__vocab": []}, "22 model.vocab is missing"),
        ({"model__vocab": [["a", 0]]}, "22 model.vocab is a list"),
        ({"added_tokens": [{"id": 7, "content": "[UNK]"}]}, "22 added token .* has id 7"),
        ({"added_tokens": [{"content": "x"}]}, "22 .* an added token needs an id"),
    ],
)
def test_files_that_are_refused(members, reason):
    with pytest.raises(Refused, match=reason):
        Ours(changed(**members))


def test_truncated_files():
    data = minilm().to_str()
    for cut in [0, 1, 2, 50, 500, 5000, len(data) // 2, len(data) - 1]:
        with pytest.raises(Refused, match=r"^22 line "):
            Ours(data[:cut])


def test_baked_in_limits_are_ignored(pair):
    theirs = minilm()
    theirs.enable_truncation(8)
    theirs.enable_padding(length=16)
    assert Ours(theirs).encode("word " * 100) == pair[1].encode("word " * 100)


def test_effective_tokenizer_of_transformers(pair):
    from transformers import AutoTokenizer

    backend = AutoTokenizer.from_pretrained(minilm_folder()).backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    assert differences(backend, Ours(backend), corpus()[:2000] + interesting()) == []


def test_unicode_tables_have_their_digest():
    head, _, body = (ROOT / "lib" / "unicode" / "tables.c").read_text(encoding="ascii").partition('.h"\n\n')
    assert hashlib.sha256(body.encode()).hexdigest() in head


@pytest.mark.slow
def test_unicode_tables_are_what_the_generator_makes():
    script = ROOT / "tools" / "gen_unicode.py"
    assert subprocess.run([sys.executable, script, "--check"]).returncode == 0
