"""The C tokenizer against Hugging Face tokenizers, for every file of the zoo: ids, offsets, limits, pairs."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import random
from collections.abc import Sequence

import pytest
from tokenizers import Tokenizer

import corpora
import differential
from tokenizer_driver import Ours, Refused, byte_spans, differences
from tokenizer_zoo import LLAMA3, ZOO, path, reference

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


@pytest.mark.parametrize("share", [pytest.param(len(ZOO)), pytest.param(1, marks=pytest.mark.slow)])
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


@pytest.mark.parametrize(
    "name",
    [
        *("bert-sequence", "phi3", "modernbert"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("mistral", "roberta", "xlmr")),
    ],
)
@pytest.mark.parametrize("flags", list(itertools.product([True, False], repeat=4)), ids=str)
def test_flags_of_added_tokens(name, flags):
    content = json.loads(path(name).read_text(encoding="utf-8"))
    options = dict(zip(("normalized", "single_word", "lstrip", "rstrip"), flags, strict=True))
    vocab = content["model"]["vocab"]
    if isinstance(vocab, list):
        vocab = {piece: i for i, (piece, _) in enumerate(vocab)}
    tokens = {token["content"]: token for token in content["added_tokens"]}
    for token in [*NEW_TOKENS, "plain"]:
        free = max(len(vocab), *(added["id"] + 1 for added in tokens.values()))
        tokens[token] = {"id": vocab.get(token, free), "content": token, "special": False, **options}
    tokens["plain"]["normalized"] = True
    content["added_tokens"] = list(tokens.values())
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
        "word " * 30,
        "中文" * 20,
        "x" * 60 + " y",
    ]
    texts += [
        "<s>" * 12,
        "a\u0301" * 20,
        "👩\u200d👩\u200d👧 " * 4,
        "1234567890" * 3,
        " " * 12 + "a" + "\n" * 12,
    ]
    return texts + [text[:90] for text in corpora.sample(3000)]


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
        "word " * 9,
        "中文" * 4,
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
    for limit in (*range(max(zoo.specials(pair=True), 1), 14), 19, 20):
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
    ("e5", "normalizer.precompiled_charsmap", "AAAA", r"22 .*precompiled_charsmap"),
    ("e5", "normalizer.precompiled_charsmap", "?", r"22 .*precompiled_charsmap"),
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


@pytest.mark.parametrize("name", ["bert-splits", "phrases", "gpt2", "albert"])
def test_files_that_are_cut_off(name):
    data = path(name).read_text(encoding="utf-8")
    for cut in [len(data) // 3, len(data) // 2, len(data) - 2]:
        with pytest.raises(Refused, match=r"^22 line "):
            Ours(data[:cut])


def test_merges_as_strings_are_the_same():
    content = json.loads(path("gpt2").read_text(encoding="utf-8"))
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    assert differences(reference("gpt2"), Ours(json.dumps(content)), corpora.sample(200)) == []


# ---- Components by themselves ----------------------------------------------------------------

BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")


def replaced(pattern: dict, content: str) -> dict:
    return {"type": "Replace", "pattern": pattern, "content": content}


def splits(pattern: dict, behaviors: Sequence[str] = BEHAVIORS) -> list[dict]:
    return [
        {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
        for behavior in behaviors
        for invert in (False, True)
    ]


def normalizers() -> list[dict | None]:
    simple = ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"]
    found = [None, *({"type": name} for name in simple)]
    for left, right in itertools.product([True, False], repeat=2):
        found.append({"type": "Strip", "strip_left": left, "strip_right": right})
    found += [
        replaced({"String": old}, new) for old, new in [("a", ""), ("aa", "a"), (" ", "▁▁"), ("é", "e")]
    ]
    found += [
        replaced({"Regex": old}, new)
        for old, new in [(" {2,}", " "), (r"\s+", " "), ("[0-9]", "0"), ("a+", "")]
    ]
    found += [{"type": "Prepend", "prepend": text} for text in ("▁", "ab", " ")]
    found += [{"type": "Sequence", "normalizers": parts} for parts in ([], [{"type": "NFC"}])]
    pairs = itertools.permutations(("NFD", "NFKC", "Lowercase", "StripAccents"), 2)
    found += [{"type": "Sequence", "normalizers": [{"type": x}, {"type": y}]} for x, y in pairs]
    inner = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, {"type": "Prepend", "prepend": "x"}]}
    found.append(
        {"type": "Sequence", "normalizers": [{"type": "NFKD"}, inner, replaced({"String": "x"}, "")]}
    )
    return found


def pre_tokenizers() -> list[dict | None]:
    simple = ["BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts"]
    found = [None, *({"type": name} for name in simple)]
    found += [{"type": "Punctuation", "behavior": behavior} for behavior in BEHAVIORS]
    found += [{"type": "Digits", "individual_digits": each} for each in (True, False)]
    found += [{"type": "CharDelimiterSplit", "delimiter": "a"}, {"type": "FixedLength", "length": 3}]
    for scheme, cut in itertools.product(("always", "first", "never"), (True, False)):
        for char in "▁_":
            found.append({"type": "Metaspace", "replacement": char, "prepend_scheme": scheme, "split": cut})
    for prefix, regex in itertools.product([True, False], repeat=2):
        options = {"add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}
        found.append({"type": "ByteLevel", **options})
    found += [*splits({"String": " "}), *splits({"String": "aa"}), *splits({"Regex": LLAMA3})]
    found += [*splits({"Regex": r"\s+"}, ["Removed"]), *splits({"Regex": r"\d"}, ["Isolated"])]
    parts = [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Contiguous"}]
    parts += [{"type": "Digits", "individual_digits": True}, {"type": "BertPreTokenizer"}]
    parts += splits({"Regex": LLAMA3}, ["Isolated"])[:1]
    parts += [{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]
    found.append({"type": "Sequence", "pretokenizers": []})
    found += [{"type": "Sequence", "pretokenizers": [x, y]} for x, y in itertools.permutations(parts, 2)]
    return found


def models() -> list[dict]:
    """Changes to the model that the file has."""
    found = [{"fuse_unk": fuse, "byte_fallback": fall} for fuse in (True, False) for fall in (True, False)]
    found += [{"ignore_merges": True}, {"dropout": 0.0}, {"unk_token": None}, {"unk_id": None}]
    found += [{"continuing_subword_prefix": ""}, {"max_input_chars_per_word": 3}]
    return [*found, {"max_input_chars_per_word": 0}]


@functools.cache
def component_texts() -> tuple[str, ...]:
    number = random.Random(23)
    pieces = [*interesting(), "aa", "aaa", "word", "  a", "a ", "_", "a_b"]
    texts = ["", " ", "  ", "a", "aa", " a  b ", *pieces]
    texts += ["".join(number.choices(pieces, k=number.randint(2, 12))) for _ in range(100)]
    return (*texts, *(text[:200] for text in corpora.sample(1000)))


def changes() -> list:
    every = [("normalizer", each) for each in normalizers()]
    every += [("pre_tokenizer", each) for each in pre_tokenizers()]
    every += [("model", each) for each in models()]
    return [pytest.param(place, each, id=f"{place}-{json.dumps(each)[:60]}") for place, each in every]


@pytest.mark.parametrize(("place", "change"), changes())
@pytest.mark.parametrize(
    "name",
    ["bert-splits", "gpt2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("phrases", "albert"))],
)
def test_components_are_right_or_refused(name, place, change):
    """Also where no published model has them: whatever a file may say."""
    content = json.loads(path(name).read_text(encoding="utf-8"))
    content[place] = {**content["model"], **change} if place == "model" else change
    data = json.dumps(content)
    try:
        theirs = Tokenizer.from_str(data)
        expected = theirs.encode_batch(component_texts())
    except Exception:  # theirs has no type of its own
        pytest.skip("Hugging Face's library has no answer")
    try:
        ours = Ours(data)
    except Refused as reason:
        assert str(reason).startswith("23 ") and place in str(reason)
        return
    results = ours.results(component_texts(), spans=True)
    for text, theirs_, result in zip(component_texts(), expected, results, strict=True):
        assert (result.ids, result.spans) == (theirs_.ids, byte_spans(theirs_, text)), text


# ---- Fuzzing ---------------------------------------------------------------------------------


def test_random_texts(zoo):
    """A second or so for each file; tests/fuzz/differential.py goes on as long as it is told to."""
    target = differential.Target(zoo.name, zoo.theirs, zoo.ours)
    assert sum(differential.round_of(target, seed=1, index=index) for index in range(8)) == 0
