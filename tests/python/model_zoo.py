"""Tiny models with random weights, as genuine sentence-transformers or transformers folders.

The classic layout of published models: ``config.json``, ``model.safetensors`` and the tokenizer at the top,
``modules.json``, ``sentence_bert_config.json`` and one folder for each further module.
"""

from __future__ import annotations

import base64
import io
import json
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import sentencepiece
import tokenizers
import torch
import transformers
from sentence_transformers.models import Dense, LayerNorm, Normalize, Pooling
from tokenizers import models, normalizers, pre_tokenizers, processors

import spm_model
from citadel_embed.export.texts import SENTENCES

HIDDEN = 32
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MAX_TOKENS = 64


def _vocabulary() -> list[str]:
    """Characters and common words of several scripts, so that texts have different ids."""
    folded = unicodedata.normalize("NFD", " ".join(SENTENCES).lower())
    words = sorted({word for word in folded.split() if word.isascii() and word.isalpha() and len(word) < 12})
    characters = sorted({c for c in folded if not c.isspace()} | set(map(chr, range(33, 127))))
    return SPECIALS + characters + [f"##{c}" for c in characters] + [w for w in words if len(w) > 1]


VOCABULARY = _vocabulary()


def wordpiece(*, specials: bool = True, lowercase: bool = True) -> tokenizers.Tokenizer:
    """A WordPiece tokenizer as BERT has it; without ``specials`` nothing surrounds a text."""
    vocabulary = {token: i for i, token in enumerate(VOCABULARY)}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(SPECIALS)
    if specials:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return tokenizer


def byte_level() -> tokenizers.Tokenizer:
    """Byte-level BPE, as RoBERTa and most decoders have it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet]
    tokenizer = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(tokens[:5])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def sentencepiece_model(**options) -> spm_model.SpmModel:
    """Trained on the few sentences that the exporter compares."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=model,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return spm_model.read(model.getvalue())


def unigram() -> tokenizers.Tokenizer:
    """Unigram, as XLM-R has it."""
    trained = sentencepiece_model(model_type="unigram", vocab_size=400, character_coverage=0.98)
    pieces = [(text, score) for text, score, kind in trained.pieces if kind == spm_model.NORMAL]
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = [(token, 0.0) for token in specials] + pieces
    tokenizer = tokenizers.Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    charsmap = normalizers.Precompiled(base64.b64decode(trained.charsmap))
    spaces = normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([charsmap, spaces])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(specials)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def llama_bpe() -> tokenizers.Tokenizer:
    """BPE that falls back to bytes, as Llama 2 has it."""
    trained = sentencepiece_model(
        model_type="bpe",
        vocab_size=520,
        character_coverage=0.98,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        control_symbols=["<pad>", "<mask>"],
    )
    vocabulary = {text: i for i, (text, _, _) in enumerate(trained.pieces)}
    merges = [tuple(merge) for merge in spm_model.merges(trained)]
    model = models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", "<pad>", "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


# ---- Transformers ----------------------------------------------------------------------------

_SHAPE = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 2 * MAX_TOKENS,
    "pad_token_id": 0,
}
_DECODER = {**_SHAPE, "num_key_value_heads": 2, "bos_token_id": 2, "eos_token_id": 3}


def bert(**changes) -> transformers.PretrainedConfig:
    return transformers.BertConfig(**{**_SHAPE, **changes})


def distilbert() -> transformers.PretrainedConfig:
    return transformers.DistilBertConfig(
        vocab_size=len(VOCABULARY),
        dim=HIDDEN,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
        max_position_embeddings=2 * MAX_TOKENS,
    )


def roberta(**changes) -> transformers.PretrainedConfig:
    return transformers.RobertaConfig(**{**_SHAPE, "type_vocab_size": 1, **changes})


def xlm_roberta() -> transformers.PretrainedConfig:
    return transformers.XLMRobertaConfig(**{**_SHAPE, "type_vocab_size": 1, "pad_token_id": 1})


def t5() -> transformers.PretrainedConfig:
    """Position is a bias of the attention."""
    return transformers.T5Config(
        vocab_size=len(VOCABULARY), d_model=HIDDEN, d_kv=8, d_ff=48, num_layers=2, num_heads=4, pad_token_id=0
    )


def deberta() -> transformers.PretrainedConfig:
    """Attention to relative positions, in buckets beyond the eighth token."""
    relative = {"relative_attention": True, "position_buckets": 16, "pos_att_type": ["p2c", "c2p"]}
    return transformers.DebertaV2Config(
        **{**_SHAPE, **relative}, norm_rel_ebd="layer_norm", share_att_key=True, type_vocab_size=0
    )


def mpnet() -> transformers.PretrainedConfig:
    return transformers.MPNetConfig(**_SHAPE)


def llama(**changes) -> transformers.PretrainedConfig:
    return transformers.LlamaConfig(**{**_DECODER, **changes})


def qwen3(**changes) -> transformers.PretrainedConfig:
    """Every second layer sees ten tokens back."""
    window = {"use_sliding_window": True, "sliding_window": 10, "max_window_layers": 1}
    return transformers.Qwen3Config(**{**_DECODER, "head_dim": 8, **window, **changes})


def mistral(**changes) -> transformers.PretrainedConfig:
    return transformers.MistralConfig(**{**_DECODER, "sliding_window": 6, "head_dim": 8, **changes})


def gemma2() -> transformers.PretrainedConfig:
    """Scores of attention go through a tanh, which the operator lacks."""
    return transformers.Gemma2Config(**{**_DECODER, "head_dim": 8, "sliding_window": 6})


def lfm2() -> transformers.PretrainedConfig:
    """Convolutions between tokens beside attention."""
    return transformers.Lfm2Config(**_DECODER, layer_types=["conv", "full_attention"])


def gemma3(both_directions: bool) -> transformers.PretrainedConfig:
    return transformers.Gemma3TextConfig(
        **{**_DECODER, "head_dim": 8, "num_hidden_layers": 3, "sliding_window": 6},
        use_bidirectional_attention=both_directions,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    )


def modernbert() -> transformers.PretrainedConfig:
    """Layers with a window of eight tokens to both sides, every third without."""
    return transformers.ModernBertConfig(
        **{**_SHAPE, "num_hidden_layers": 3},
        local_attention=16,
        global_attn_every_n_layers=2,
        cls_token_id=2,
        sep_token_id=3,
        bos_token_id=2,
        eos_token_id=3,
    )


def model(config: transformers.PretrainedConfig, seed: int = 1) -> transformers.PreTrainedModel:
    """Weights so large that different texts get different vectors."""
    torch.manual_seed(seed)
    made = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=1.0 if "embed" in name else 1.5 / parameter.shape[1] ** 0.5)
            elif "bias" in name:
                parameter.normal_(std=0.1)
            else:
                parameter.uniform_(0.5, 1.5)
    return made.eval()


# ---- Folders ---------------------------------------------------------------------------------


def write_json(path: Path, content) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def change_json(path: Path, **changes) -> None:
    """Change members of a file; None removes one."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    content |= changes
    write_json(path, {name: value for name, value in content.items() if value is not None})


def write_transformers(folder: Path, config, tokenizer=None, *, max_length=None, dtype=torch.float32) -> Path:
    """A plain transformers folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model(config).to(dtype).save_pretrained(folder)
    tokenizer = tokenizer or wordpiece()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    roles = ("pad", "unk", "cls", "sep", "mask")
    names = (
        SPECIALS
        if tokenizer.token_to_id("[PAD]") is not None
        else ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    )
    settings |= {f"{role}_token": name for role, name in zip(roles, names, strict=True)}
    if max_length:
        settings["model_max_length"] = max_length
    write_json(folder / "tokenizer_config.json", settings)
    return folder


def write(folder: Path, config, *modules, tokenizer=None, max_seq_length=MAX_TOKENS, **more) -> Path:
    """A sentence-transformers folder: the Transformer, then ``modules``."""
    write_transformers(folder, config, tokenizer, **more)
    write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False}
    )
    entries = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for number, module in enumerate(modules, start=1):
        kind = type(module).__name__
        path = f"{number}_{kind}"
        (folder / path).mkdir(exist_ok=True)
        module.save(str(folder / path))
        entries.append(
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        )
    write_json(folder / "modules.json", entries)
    return folder


def pooling(mode="mean", hidden: int = HIDDEN, **more) -> Pooling:
    return Pooling(hidden, mode, **more)


def dense(inputs: int, outputs: int, activation=None, **more) -> Dense:
    """Weights so large that different vectors stay different behind a function."""
    torch.manual_seed(inputs * outputs)
    made = Dense(inputs, outputs, activation_function=activation or torch.nn.Identity(), **more)
    torch.nn.init.normal_(made.linear.weight, std=3 / inputs**0.5)
    return made


def layer_norm(dimension: int) -> LayerNorm:
    torch.manual_seed(dimension)
    made = LayerNorm(dimension)
    torch.nn.init.normal_(made.norm.weight)
    torch.nn.init.normal_(made.norm.bias)
    return made


def prompts(folder: Path, texts: dict, default: str | None = None) -> Path:
    write_json(
        folder / "config_sentence_transformers.json", {"prompts": texts, "default_prompt_name": default}
    )
    return folder


# ---- The zoo ---------------------------------------------------------------------------------


@dataclass
class Animal:
    """How to write one model, and what its pack must say."""

    write: callable
    info: dict = field(default_factory=dict)


def _plain(**expected):
    return {"layout": "packed", "normalize": False, "dim": HIDDEN, "max_tokens": MAX_TOKENS, **expected}


def _pooled(mode, **expected) -> Animal:
    name = mode if isinstance(mode, str) else "+".join(mode)
    return Animal(
        lambda folder: write(folder, bert(), pooling(mode), Normalize()),
        _plain(pooling=name, normalize=True, **expected),
    )


def _activation(function: torch.nn.Module, **more) -> Animal:
    return Animal(
        lambda folder: write(folder, bert(), pooling(), dense(HIDDEN, 20, function, **more)), _plain(dim=20)
    )


def _architecture(config) -> str:
    return transformers.MODEL_MAPPING[type(config)].__name__


def _decoder(config, mode="lasttoken", layout="packed") -> Animal:
    return Animal(
        lambda folder: write(folder, config, pooling(mode), Normalize(), tokenizer=wordpiece(specials=False)),
        _plain(pooling=mode, normalize=True, layout=layout, architecture=_architecture(config)),
    )


def _encoder(config, layout="packed", **expected) -> Animal:
    expected = {"architecture": _architecture(config), **expected}
    return Animal(
        lambda folder: write(folder, config, pooling(), Normalize()),
        _plain(normalize=True, layout=layout, **expected),
    )


PROMPTS = {"query": "query: ", "document": "", "question": "Question, in two words? "}


def _cased_tokenizer(folder: Path) -> Path:
    """That sentence-transformers is to put everything into lower case is said beside the tokenizer."""
    write(folder, bert(), pooling(), tokenizer=wordpiece(lowercase=False))
    change_json(folder / "sentence_bert_config.json", do_lower_case=True)
    return folder


ZOO: dict[str, Animal] = {
    "cls": _pooled("cls"),
    "mean": _pooled("mean"),
    "max": _pooled("max"),
    "lasttoken": _pooled("lasttoken"),
    "mean_sqrt_len_tokens": _pooled("mean_sqrt_len_tokens"),
    "weightedmean": _pooled("weightedmean"),
    "cls+max+mean": _pooled(("cls", "max", "mean"), dim=3 * HIDDEN),
    "six modes": _pooled(Pooling.POOLING_MODES, dim=6 * HIDDEN),
    "no Normalize": Animal(lambda folder: write(folder, bert(), pooling()), _plain()),
    "Dense Tanh, no bias": _activation(torch.nn.Tanh(), bias=False),
    "Dense ReLU": _activation(torch.nn.ReLU()),
    "Dense GELU": _activation(torch.nn.GELU()),
    "Dense SiLU": _activation(torch.nn.SiLU()),
    "Dense Sigmoid": _activation(torch.nn.Sigmoid()),
    "Dense residual": Animal(
        lambda folder: write(
            folder,
            bert(),
            pooling(),
            dense(HIDDEN, 48, use_residual=True),
            dense(48, 48, torch.nn.Tanh(), use_residual=True),
            Normalize(),
        ),
        _plain(dim=48, normalize=True),
    ),
    "LayerNorm": Animal(
        lambda folder: write(folder, bert(), pooling(), layer_norm(HIDDEN)), _plain(pooling="mean")
    ),
    "Normalize in the middle": Animal(
        lambda folder: write(folder, bert(), pooling(), Normalize(), dense(HIDDEN, 24)), _plain(dim=24)
    ),
    "plain transformers folder": Animal(
        lambda folder: write_transformers(folder, bert(), max_length=MAX_TOKENS), _plain(pooling="mean")
    ),
    "no limit but the positions": Animal(
        lambda folder: write(folder, bert(), pooling(), max_seq_length=None),
        _plain(max_tokens=2 * MAX_TOKENS),
    ),
    "bf16 checkpoint": Animal(
        lambda folder: write(folder, bert(), pooling(), dense(HIDDEN, 16), Normalize(), dtype=torch.bfloat16),
        _plain(dim=16, normalize=True),
    ),
    "causal BERT": Animal(
        lambda folder: write(folder, bert(is_decoder=True), pooling("lasttoken"), Normalize()),
        _plain(pooling="lasttoken", normalize=True),
    ),
    "prompts": Animal(
        lambda folder: prompts(write(folder, bert(), pooling(), Normalize()), PROMPTS, "question"),
        _plain(normalize=True, prompts=PROMPTS, default_prompt="question"),
    ),
    "do_lower_case": Animal(_cased_tokenizer, _plain()),
    "DistilBERT": _encoder(distilbert()),
    "ALBERT": _encoder(transformers.AlbertConfig(**_SHAPE, embedding_size=16)),
    "RoBERTa": _encoder(roberta()),
    "RoBERTa, byte-level BPE": Animal(
        lambda folder: write(folder, roberta(pad_token_id=1), pooling("cls"), tokenizer=byte_level()),
        _plain(pooling="cls", architecture="RobertaModel"),
    ),
    "XLM-R, Unigram": Animal(
        lambda folder: write(folder, xlm_roberta(), pooling(), Normalize(), tokenizer=unigram()),
        _plain(normalize=True, architecture="XLMRobertaModel"),
    ),
    "MPNet": _encoder(mpnet(), layout="padded"),
    "T5": _encoder(t5(), layout="padded", architecture="T5EncoderModel"),
    "DeBERTa": _encoder(deberta(), layout="padded"),
    "ModernBERT": _encoder(modernbert()),
    "Llama": _decoder(llama()),
    "Llama, its own BPE": Animal(
        lambda folder: write(folder, llama(), pooling("lasttoken"), Normalize(), tokenizer=llama_bpe()),
        _plain(pooling="lasttoken", normalize=True, architecture="LlamaModel"),
    ),
    "Llama, one head of keys": _decoder(llama(num_key_value_heads=1), "mean"),
    "Qwen3": _decoder(qwen3()),
    "Mistral": _decoder(mistral(), "weightedmean"),
    "Phi-3": _decoder(transformers.Phi3Config(**_DECODER)),
    "Gemma 2": _decoder(gemma2(), layout="padded"),
    "Gemma 3": _decoder(gemma3(both_directions=False)),
    "Gemma 3, both directions": _encoder(gemma3(both_directions=True)),
    "LFM2": _decoder(lfm2(), layout="padded"),
}
