"""The C tokenizer against Hugging Face tokenizers, for every file of the zoo: ids, offsets, limits, pairs."""

from __future__ import annotations

import copy
import itertools
import json
import random
import subprocess
import sys
from collections.abc import Sequence

import pytest
from tokenizers import Tokenizer

import corpora
from tokenizer_driver import ROOT, Ours, Refused, byte_spans, differences
from tokenizer_zoo import ZOO, path, reference

SCALARS = [s for s in range(0x110000) if not 0xD800 <= s <= 0xDFFF]
# Most scripts in use, one in 97 elsewhere, and the edges of what normalizers and patterns tell apart.
SOME_SCALARS = [
    s
    for s in SCALARS
    if s < 0x3400 or s % 97 == 0 or 0xF900 <= s < 0x10000 or 0x1F1E0 <= s < 0x1F680 or 0x2B81C <= s < 0x2B924
]
FILES_WITH_SPANS = ("minilm", "bert-sequence", "phi3", "roberta-prefix", "qwen2", "e5", "xlmr", "albert")


class Pair:
    """One file as both libraries read it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.content = path(name).read_text(encoding="utf-8")
        self.theirs = reference(name)
        self.ours = Ours(self.content)

    def differences(self, texts: Sequence[str], spans: bool = False) -> list[str]:
        return differences(self.theirs, self.ours, texts, spans)

    def limited(self, limit: int, left: bool) -> Tokenizer:
        self.theirs.enable_truncation(limit, direction="left" if left else "right")
        return self.theirs

    def specials(self, pair: bool = False) -> int:
        return self.theirs.num_special_tokens_to_add(pair)


@pytest.fixture(scope="module", params=ZOO)
def zoo(request) -> Pair:
    return Pair(request.param)


@pytest.fixture(autouse=True)
def without_limit(request):
    yield
    if "zoo" in request.fixturenames:
        request.getfixturevalue("zoo").theirs.no_truncation()


def same(zoo: Pair, theirs, ours, text: str, pair: str | None = None) -> None:
    """All of a result at once, so that a failure shows all of it."""
    expected = (theirs.ids, byte_spans(theirs, text, pair), theirs.type_ids)
    assert (ours.ids, ours.spans, ours.type_ids) == expected, (zoo.name, text, pair)


# ---- Texts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scalars",
    [pytest.param(SOME_SCALARS, id="some"), pytest.param(SCALARS, id="all", marks=pytest.mark.slow)],
)
def test_scalars_alone_and_between_letters(zoo, scalars):
    spans = zoo.name in FILES_WITH_SPANS and scalars is SOME_SCALARS
    assert zoo.differences([chr(s) for s in scalars], spans) == []
    assert zoo.differences([f"a{chr(s)}b" for s in scalars], spans) == []


@pytest.mark.parametrize("share", [pytest.param(26), pytest.param(1, marks=pytest.mark.slow)])
def test_corpora(zoo, share):
    """By default every file gets other documents, all files together all of them."""
    texts = corpora.sample(share, list(ZOO).index(zoo.name) % share)
    assert zoo.differences(texts) == []


@pytest.mark.parametrize("share", [pytest.param(80), pytest.param(5, marks=pytest.mark.slow)])
def test_offsets_of_corpora(zoo, share):
    assert zoo.differences(corpora.sample(share, list(ZOO).index(zoo.name)), spans=True) == []


def test_corpora_are_large_and_diverse():
    texts = corpora.files().values()
    assert sum(len(text.encode()) for text in texts) > 20_000_000
    firsts = {ord(char) >> 7 for text in texts for char in set(text)}
    assert len(firsts) > 100


@pytest.mark.slow
def test_whole_files(zoo):
    for name, text in corpora.files().items():
        if name.startswith("manual-"):
            assert zoo.differences([text]) == [], name


WHITE_SPACE = [
    *" \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2000\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
    *("\u180e", "\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "▁", "Ġ", "\r\n", "  ", "    "),
]


def test_white_space(zoo):
    texts = [*WHITE_SPACE, ""]
    for x, y in itertools.product(WHITE_SPACE, repeat=2):
        texts += [x + y, f"a{x}{y}b", f"{x}a{y}", f"{x}{y}'s {x}1{y}.{x}", f"A{x}{y}{x}中{y}"]
    assert zoo.differences(texts, spans=True) == []


def test_runs_and_long_words(zoo):
    chars = ["a", "A", "é", "中", "\U0001f600", "q", "ß", "1", ".", " ", "\n", "\u0301", "각", "▁", "\u0e33"]
    texts = [c * n + s for c in chars for n in (*range(1, 20), *range(98, 103)) for s in ("", ".", " b")]
    texts += [c * n for c in chars for n in (255, 256, 511, 512, 513, 3000)]
    texts += [f"{'ab' * 50}{c}{'ba' * 400}" for c in chars]
    assert zoo.differences(texts, spans=True) == []


def interesting() -> list[str]:
    """Pieces that something in some file tells apart."""
    return [
        *("'s", "'S", "'ll", "’s", "'", "don't", "``", "''", "1", "12", "1234", "²", "½", "٣", "Ⅷ"),
        *("a", "Z", "é", "E\u0301", "ǅ", "ß", "İ", "Σ", "ﬁ", "①", "ﷺ", "ｶﾞ", "中", "日本", "か\u3099", "각"),
        *("\u1112\u1161\u11ab", "क्षि", "\u0e01\u0e33", "العربية", "שלום", "\u05d1\u05bc", "\u0344", "\u0958"),
        *(
            "🇩🇪",
            "👩\u200d👩\u200d👧",
            "👍🏽",
            "☺\ufe0f",
            "1\ufe0f\u20e3",
            "\U000e0067",
            "\U00012345",
            "\ue000",
        ),
        *(
            " ",
            "  ",
            "\n",
            "\r\n",
            "\n\n ",
            "\t",
            "\x00",
            "\x0b",
            "\x85",
            "\xa0",
            "\u200b",
            "\u3000",
            "\ufffd",
        ),
        *(
            "▁",
            "Ġ",
            "##a",
            "<0x0A>",
            "<s>",
            "</s>",
            "[SEP]",
            "<unk>",
            "<mask>",
            "-",
            "_",
            "...",
            "http://a.b/c",
        ),
    ]


def test_interesting_pairs_and_mixtures(zoo):
    pieces = interesting()
    texts = [x + y for x, y in itertools.product(pieces, repeat=2)]
    number = random.Random(11)
    texts += ["".join(number.choices(pieces, k=number.randint(3, 25))) for _ in range(1000)]
    assert zoo.differences(texts, spans=True) == []


# ---- Added tokens ----------------------------------------------------------------------------


def contents(zoo: Pair) -> list[str]:
    tokens = [token["content"] for token in json.loads(zoo.content)["added_tokens"]]
    return tokens if len(tokens) < 14 else tokens[:8] + tokens[-6:]


def round_token(token: str) -> list[str]:
    texts = [
        token,
        f"a{token}",
        f"{token}b",
        f"a{token}b",
        token * 2,
        f"{token}{token}x{token}",
        f"  {token}  ",
    ]
    texts += [token.lower(), token.upper(), token.title(), token[1:], token[:-1], f"a {token[:-1]} b"]
    texts += [
        f"{token}s",
        f"{token[:-1]}\u0301{token[-1:]}",
        f"▁{token}",
        f"{token}▁",
        f"x\u0301{token}\u0301",
    ]
    for white in WHITE_SPACE:
        texts += [white + token, token + white, f"a{white}{token}{white}b", f"{token}{white}{token}"]
        texts.append(f"{white}{white}{token}{white}{white}{token}x")
    return texts


def test_added_tokens_where_they_may_stand(zoo):
    tokens = contents(zoo)
    texts = [text for token in tokens for text in round_token(token)]
    texts += [x + glue + y for x, y in itertools.product(tokens, repeat=2) for glue in ("", " ", " a ")]
    assert zoo.differences(texts, spans=True) == []


NEW_TOKENS = ["[NEW]", "new", "New York", "é", "<s>x", " lead", "trail ", "ﬁ", "中文", "x-y", "MiXed", "1"]


@pytest.mark.parametrize("name", ["bert-sequence", "phi3", "mistral", "roberta", "modernbert", "xlmr"])
@pytest.mark.parametrize("flags", list(itertools.product([True, False], repeat=4)), ids=str)
def test_flags_of_added_tokens(name, flags):
    content = json.loads(path(name).read_text(encoding="utf-8"))
    options = dict(zip(("normalized", "single_word", "lstrip", "rstrip"), flags, strict=True))
    tokenizer = Tokenizer.from_str(json.dumps(content))
    options["special"] = False
    for token in [*NEW_TOKENS, "plain"]:
        id_ = tokenizer.token_to_id(token)
        taken = {added["id"] for added in content["added_tokens"]}
        if id_ not in taken:
            flags_here = {**options, "normalized": True} if token == "plain" else options
            next_id = max([*taken, tokenizer.get_vocab_size(with_added_tokens=False) - 1]) + 1
            number = next_id if id_ is None else id_
            content["added_tokens"].append({"id": number, "content": token, **flags_here})
    theirs = Tokenizer.from_str(json.dumps(content))
    theirs.no_truncation()
    theirs.no_padding()
    ours = Ours(json.dumps(content))
    number = random.Random(17)
    glue = ["", " ", "  ", "a", "_", ".", "é", "\u3000", "中", "\n", "\u200d", "E\u0301", "1", "-", "▁"]
    words = [*NEW_TOKENS, "plain", "[SEP]", "</s>", "NEW", "mixed", "word", "PLAIN", "newer"]
    texts = []
    for _ in range(400):
        chosen = number.choices(words, k=4)
        texts.append("".join(word + number.choice(glue) + number.choice(glue) for word in chosen))
    assert differences(theirs, ours, texts, spans=True) == []


# ---- Limits, pairs, prompts ------------------------------------------------------------------


def limit_texts() -> list[str]:
    texts = [
        "",
        "a",
        "  a ",
        "unbelievable",
        "[SEP] a <mask> </s>",
        "word " * 60,
        "中文" * 40,
        "x" * 90 + " y",
    ]
    texts += [
        "<s>" * 20,
        "a\u0301" * 30,
        "👩\u200d👩\u200d👧 " * 9,
        "1234567890" * 5,
        " " * 30 + "a" + "\n" * 30,
    ]
    return texts + [text[:250] for text in corpora.sample(3000)]


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_limits(zoo, left):
    texts = limit_texts()
    full = [len(encoding.ids) for encoding in zoo.theirs.encode_batch(texts)]
    for limit in range(max(zoo.specials(), 1), 41):
        theirs = zoo.limited(limit, left).encode_batch(texts)
        ours = zoo.ours.results(texts, max_tokens=limit, truncate_left=left, spans=True, type_ids=True)
        for text, expected, result, length in zip(texts, theirs, ours, full, strict=True):
            same(zoo, expected, result, text)
            assert result.truncated == (length > limit)


def test_limit_below_special_tokens(zoo):
    for pair in (False, True):
        for limit in range(1, zoo.specials(pair)):
            with pytest.raises(
                Refused, match=f"10 max_tokens is {limit}, below the {zoo.specials(pair)} special"
            ):
                zoo.ours.results(["a"], ["b"] if pair else None, max_tokens=limit)


def test_limits_without_special_tokens(zoo):
    texts = limit_texts()
    for limit, left in itertools.product((1, 2, 3, 7, 20), (False, True)):
        theirs = zoo.limited(limit, left).encode_batch(texts, add_special_tokens=False)
        ours = zoo.ours.results(
            texts, max_tokens=limit, truncate_left=left, specials=False, spans=True, type_ids=True
        )
        for text, expected, result in zip(texts, theirs, ours, strict=True):
            same(zoo, expected, result, text)


def pair_texts() -> list[tuple[str, str]]:
    texts = [
        "",
        "a",
        " b",
        "un believable",
        "word " * 20,
        "中文" * 12,
        "a\u0301 <mask> </s>",
        "日本語 text 12",
    ]
    return list(itertools.product(texts, repeat=2))


@pytest.mark.parametrize("specials", [True, False], ids=["specials", "plain"])
def test_pairs(zoo, specials):
    both = pair_texts()
    texts, pairs = zip(*both, strict=True)
    theirs = zoo.theirs.encode_batch(both, add_special_tokens=specials)
    ours = zoo.ours.results(texts, pairs, specials=specials, spans=True, type_ids=True)
    for (text, pair), expected, result in zip(both, theirs, ours, strict=True):
        same(zoo, expected, result, text, pair)


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_limits_of_pairs(zoo, left):
    both = pair_texts()
    texts, pairs = zip(*both, strict=True)
    for limit in (*range(max(zoo.specials(pair=True), 1), 20), 30, 31):
        theirs = zoo.limited(limit, left).encode_batch(both)
        ours = zoo.ours.results(texts, pairs, max_tokens=limit, truncate_left=left, spans=True, type_ids=True)
        for (text, pair), expected, result in zip(both, theirs, ours, strict=True):
            same(zoo, expected, result, text, pair)


@pytest.mark.parametrize(
    "prompt", ["query: ", "a", "un", "[SEP", "<", "é", "中", " \n", "e\u0301", "<s>", "▁"]
)
def test_prompt_is_as_if_written_in_front(zoo, prompt):
    texts = ["", "believable", "]", "s>", "\u0301x", " text", "\n text", "'s", "本", *corpora.sample(6000)]
    size = len(prompt.encode())
    results = zoo.ours.results(texts, prompt=prompt, spans=True)
    for text, result in zip(texts, results, strict=True):
        expected = zoo.theirs.encode(prompt + text)
        spans = byte_spans(expected, prompt + text)
        behind = [(max(start - size, 0), end - size) if end > size else (0, 0) for start, end in spans]
        assert (result.ids, result.spans) == (expected.ids, behind), (text, expected.tokens)


def test_no_special_tokens(zoo):
    texts = [*limit_texts(), *corpora.sample(2000)]
    theirs = zoo.theirs.encode_batch(texts, add_special_tokens=False)
    ours = zoo.ours.results(texts, specials=False, spans=True, type_ids=True)
    for text, expected, result in zip(texts, theirs, ours, strict=True):
        same(zoo, expected, result, text)


# ---- Files that are refused ------------------------------------------------------------------

PATTERN = {"type": "Split", "pattern": {"Regex": r"\d+x"}, "behavior": "Isolated", "invert": False}
# File, place of the change, new value, status and start of the reason.
REFUSED = [
    ("minilm", "normalizer", {"type": "Nmt"}, r'23 normalizer\.type "Nmt"'),
    ("minilm", "normalizer", {"type": "Made-up"}, r'23 normalizer\.type "Made-up"'),
    ("albert", "normalizer.normalizers.2.type", "Nmt", r'23 normalizer\.normalizers\[2\]\.type "Nmt"'),
    ("albert", "normalizer.normalizers.0.pattern", {"Regex": "a+?"}, r"23 .*normalizers\[0\]\.pattern"),
    ("minilm", "pre_tokenizer", {"type": "UnicodeScripts"}, r'23 pre_tokenizer\.type "UnicodeScripts"'),
    ("minilm", "pre_tokenizer", {"type": "Made-up"}, r'23 pre_tokenizer\.type "Made-up"'),
    ("e5", "pre_tokenizer.pretokenizers.0.type", "FixedLength", r"23 pre_tokenizer\.pretokenizers\[0\]"),
    ("qwen2", "pre_tokenizer.pretokenizers.0", PATTERN, r"23 pre_tokenizer\.pretokenizers\[0\]\.pattern"),
    ("qwen2", "pre_tokenizer.pretokenizers.0.behavior", "Removed", r"23 .*pretokenizers\[0\]\.behavior"),
    ("qwen2", "pre_tokenizer.pretokenizers.0.invert", True, r"23 .*pretokenizers\[0\]\.invert"),
    ("minilm", "post_processor", {"type": "Made-up"}, r'23 post_processor\.type "Made-up"'),
    ("llama3", "post_processor.processors.1.type", "Made-up", r"23 post_processor\.processors\[1\]\.type"),
    ("minilm", "model.type", "WordLevel", r'23 model\.type "WordLevel"'),
    ("gpt2", "model.dropout", 0.1, r"23 model\.dropout"),
    ("gpt2", "model.type", "Made-up", r'23 model\.type "Made-up"'),
    ("llama2", "model.end_of_word_suffix", "</w>", r"23 model\.end_of_word_suffix"),
    ("llama2", "model.continuing_subword_prefix", "##", r"23 model\.continuing_subword_prefix"),
    ("phi3", "model.merges.0", ["nowhere", "to be found"], r"22 .*merges"),
    ("phi3", "model.merges.0", "three words here", r"22 .*merges"),
    ("phi3", "model.unk_token", "<nowhere>", r"22 model\.unk_token"),
    ("t5", "model.unk_id", 999999, r"22 model\.unk_id"),
    ("t5", "model.vocab.5", ["text"], r"22 .*vocab"),
    ("e5", "normalizer.precompiled_charsmap", "AAAA", r"22 normalizer\.precompiled_charsmap"),
    ("e5", "normalizer.precompiled_charsmap", "?", r"22 normalizer\.precompiled_charsmap"),
]


@pytest.mark.parametrize(("name", "place", "value", "reason"), REFUSED)
def test_files_that_are_refused(name, place, value, reason):
    content = json.loads(path(name).read_text(encoding="utf-8"))
    part = content
    *parents, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    for key in parents:
        part = part[key]
    part[last] = copy.deepcopy(value)
    with pytest.raises(Refused, match=reason):
        Ours(json.dumps(content))


def test_a_token_of_a_merge_that_is_missing():
    content = json.loads(path("gpt2").read_text(encoding="utf-8"))
    content["model"]["vocab"].pop("Ġthe")
    with pytest.raises(Refused, match=r"22 .*merges.*Ġthe"):
        Ours(json.dumps(content))


def test_files_that_are_cut_off(zoo):
    data = zoo.content
    for cut in [len(data) // 3, len(data) // 2, len(data) - 2]:
        with pytest.raises(Refused, match=r"^22 line "):
            Ours(data[:cut])


def test_merges_as_strings_are_the_same():
    content = json.loads(path("gpt2").read_text(encoding="utf-8"))
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    assert differences(reference("gpt2"), Ours(json.dumps(content)), corpora.sample(200)) == []


# ---- Fuzzing ---------------------------------------------------------------------------------


def test_ten_seconds_of_differential_fuzzing():
    script = ROOT / "tests" / "fuzz" / "differential.py"
    run = subprocess.run([sys.executable, script, "--seconds", "10"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
