"""Texts for the comparison at export, and the golden texts that a pack carries."""

from __future__ import annotations

SENTENCES = (
    "Hello",
    "a",
    "The quick brown fox jumps over the lazy dog.",
    "How do I reset my password?",
    "Grüße aus München, où l'été était déjà là.",
    "¿Cuánto cuesta un billete de ida y vuelta?",
    "Съешь же ещё этих мягких французских булок.",
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από το σκυλί.",
    "我们在上海的一家小餐馆里吃了晚饭。",
    "吾輩は猫である。名前はまだ無い。",
    "다람쥐 헌 쳇바퀴에 타고파.",
    "صِف خَلقَ خَودٍ كَمِثلِ الشَمسِ",
    "דג סקרן שט בים מאוכזב",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा",
    "Emoji 😀👩‍👩‍👧‍👦 and flags 🇩🇪🇯🇵, zero\u200bwidth, soft\u00adhyphen",
    "int main(void) { return x->y[0] != NULL ? 1 : -1; } /* $100 + 50% */",
    "line one\nline two\ttabbed\u00a0and\u2003spaced \x01\x7f control",
    "unbelievably antidisestablishmentarianism " + "x" * 120,
)


def varied() -> list[str]:
    """Texts of many lengths, from empty to beyond a limit of a few hundred tokens."""
    texts = ["", " ", *SENTENCES]
    for step in range(1, 29):
        start = step * 5 % len(SENTENCES)
        texts.append(" ".join((SENTENCES * 3)[start : start + 1 + step % 14]))
    return texts


def special(tokens: list[str]) -> list[str]:
    """Texts in which a tokenizer's special tokens are written out: padding in a text counts no position."""
    return [f"one {token} two{token}three" for token in tokens] + [" ".join(tokens)]


def long() -> str:
    """All sentences in one text, to be repeated until it is longer than a model's limit."""
    return " ".join(SENTENCES[2:])


def golden(too_long: str) -> list[str]:
    """What a pack carries: short texts in several scripts, longer ones, and one beyond the limit."""
    joined = [" ".join(SENTENCES[: count + 3]) for count in (4, 8, 14)]
    return [*SENTENCES, *joined, too_long]
