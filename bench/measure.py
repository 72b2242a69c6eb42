"""What the benchmarks share: texts, clocks, the machine, and the JSON file."""

from __future__ import annotations

import json
import platform
import random
import time
from pathlib import Path

WORDS = (Path(__file__).resolve().parents[1] / "LICENSE").read_text().split()


def prose(words: int, random_number: random.Random) -> str:
    start = random_number.randrange(len(WORDS) - words)
    return " ".join(WORDS[start : start + words])


def of_tokens(tokens: int, count_tokens, number: random.Random) -> str:
    """A stretch of exactly so many tokens, special ones included; not every stretch can be cut so."""
    while True:
        words = prose(tokens, number).split()
        while count_tokens(" ".join(words)) > tokens:
            words.pop()
        if count_tokens(" ".join(words)) == tokens:
            return " ".join(words)


def cases(seed: int) -> dict[str, list[str]]:
    """Texts by the name of their case. LICENSE gives about 1.3 tokens for a word."""
    number = random.Random(seed)
    return {
        "one text of 26 tokens": [prose(18, number)],
        "short texts": [prose(number.randint(5, 33), number) for _ in range(256)],
        "mixed lengths": [prose(number.randint(5, 380), number) for _ in range(64)],
    }


def seconds(function, *arguments, **options) -> float:
    before = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - before


def resident_bytes() -> int:
    """Of this process, shared pages included."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def machine() -> dict:
    with open("/proc/cpuinfo") as file:
        names = [line.split(": ")[1].strip() for line in file if line.startswith("model name")]
    return {"cpu": names[0] if names else "unknown", "python": platform.python_version()}


def write(path: str | None, report: dict) -> None:
    if path:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(report, indent=1) + "\n")
