"""Compare the library's vectors with sentence-transformers on texts of many kinds.

usage: agreement.py PACK SOURCE [--limit D] [--json]

PACK is a model pack or a folder, SOURCE the folder it was exported from, or the same one.
Exit code 1 when a vector differs by more than the limit. The same texts are embedded one by one, all at
once and in batches of seven.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

import citadel_embed

SENTENCES = [
    "How do I reset my password?",
    "The quick brown fox jumps over the lazy dog.",
    "Vektoren sind Zahlen, die man vergleichen kann: ähnliche Texte, ähnliche Vektoren.",
    "Où est la bibliothèque la plus proche, s'il vous plaît ?",
    "¿Cuánto cuesta un billete de ida y vuelta a Sevilla?",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.",
    "我们在上海的一家小餐馆里吃了晚饭。",
    "吾輩は猫である。名前はまだ無い。",
    "다람쥐 헌 쳇바퀴에 타고파.",
    "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ إِذ بَزَغَت",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश।",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "Emoji: 😀👩‍👩‍👧‍👦🏳️‍🌈 and flags 🇩🇪🇯🇵",
    "line one\nline two\r\n\ttabbed\u00a0and\u2003spaced",
    "control \x01\x02\x7f\x9f characters \x0b\x0c and \x00 a NUL",
    "zero\u200bwidth\u200djoiner soft\u00adhyphen \ufeffmark \ufffd",
    "[CLS] special [SEP] tokens [MASK] written [PAD] out [UNK]",
    "cafe\u0301 Ångström İstanbul ﬁne Ⅷ ½ straße ΣΑΣ",
    "https://example.org/a/b?c=d&e=%20#f user@example.org",
    "int main(void) { return x->y[0] != NULL ? 1 : -1; }",
    "$100 + 50% = <b>£80</b>; ~^`|\\/ (see §4.2)…",
    "x" * 101,
    "a" * 5000,
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "",
    " ",
    "\n",
    ".",
    "1234567890 3.14159 1e-9 0xFF",
]


def texts() -> list[str]:
    """Sentences alone, and joined to every length from a few tokens to several times the limit."""
    made = list(SENTENCES)
    for step in range(1, 480):
        size = 1 + step % 37 if step % 5 else 40 + step // 2
        made.append(" ".join(SENTENCES[(step * 7 + i * step) % 31] for i in range(1 + size // 8)))
    return made


def in_batches(model, items, size):
    return np.concatenate([model.embed(items[i : i + size]) for i in range(0, len(items), size)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack")
    parser.add_argument("source")
    parser.add_argument("--limit", type=float, default=1e-5, help="largest difference allowed (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()

    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    items = texts()
    reference = SentenceTransformer(arguments.source, device="cpu").encode(
        items, batch_size=16, convert_to_numpy=True, show_progress_bar=False
    )
    with citadel_embed.Engine() as engine, engine.load(arguments.pack) as model:
        together = model.embed(items)
        batches = in_batches(model, items, 7)
        alone = in_batches(model, items, 1)

    ours, theirs = together.astype(np.float64), reference.astype(np.float64)
    length = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = (ours * theirs).sum(axis=1) / length
    figures = {
        "texts": len(items),
        "min_cosine": float(cosine.min()),
        "max_abs_difference": float(np.abs(together - reference).max()),
        "max_abs_batch_difference": float(
            max(np.abs(together - batches).max(), np.abs(together - alone).max())
        ),
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(f"texts compared          {figures['texts']}")
        print(f"minimum cosine          {figures['min_cosine']:.9f}")
        print(f"max |difference|        {figures['max_abs_difference']:.2e}")
        print(f"alone or in any batch   {figures['max_abs_batch_difference']:.2e}")
    return int(not figures["max_abs_difference"] <= arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
