"""The texts that bench/peers/run embeds, and those it tunes batch sizes on."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import of_tokens, prose

# Texts of each; "one" is embedded text by text, the rest as a whole. "128" and "256" have so many tokens.
COUNTS = {"one": 200, "short": 192, "mixed": 32, "128": 24, "256": 12}
BATCHES = (1, 4, 8, 16, 32, 64, 128)
TUNING_SEED, MEASURED_SEED, FIRST_SEED = 1, 2, 4


def different(make, count: int) -> list[str]:
    found = {}
    while len(found) < count:
        found[make()] = None
    return list(found)


def workloads(seed: int, count_tokens, share: float = 1) -> dict[str, list[str]]:
    number = random.Random(seed)
    makers = {
        "one": lambda: prose(18, number),
        "short": lambda: prose(number.randint(5, 33), number),
        "mixed": lambda: prose(number.randint(5, 380), number),
        "128": lambda: of_tokens(128, count_tokens, number),
        "256": lambda: of_tokens(256, count_tokens, number),
    }
    return {name: different(make, max(4, int(COUNTS[name] * share))) for name, make in makers.items()}


def all_lengths(count_tokens, longest: int = 128) -> list[str]:
    """A text of every second length up to `longest`, in no order: each length is seen once."""
    number = random.Random(FIRST_SEED)
    texts = [of_tokens(tokens, count_tokens, number) for tokens in range(8, longest, 2)]
    number.shuffle(texts)
    return texts
