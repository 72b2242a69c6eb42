"""From the start of a process to its first vector, and how much memory that takes: the program, on a folder.

    bench/start.py FOLDER [--program build/tools/citadel-embed] [--json FILE]

Of each precision the median over fresh processes, with prepared weights and straight from the folder, and the
peak of resident memory: of one text, and of a call with 4,096 tokens (16 texts as long as the model takes).
Files are in the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from measure import cases, machine, prose, random, write

ROOT = Path(__file__).resolve().parents[1]
PRECISIONS = ("fp32", "bf16", "int8", "int8-accurate")
TOKENS = 4096


def run(program: Path, arguments: list[str], texts: list[str], environment: dict) -> tuple[float, int]:
    """Seconds, and the process's largest resident set in bytes."""
    command = [program, "embed", *arguments, "--format", "npy", "--output", "/dev/null"]
    with tempfile.TemporaryFile("w+") as file:
        file.write("\n".join(texts) + "\n")
        file.seek(0)
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=file, env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{program} failed with {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss * 1024


def measure(program: Path, folder: Path, precision: str, repeats: int, long_texts: list[str]) -> dict:
    arguments = ["--model", f"{folder}/", "--precision", precision]
    one = cases(1)["one text of 26 tokens"]
    with tempfile.TemporaryDirectory() as cache:
        kept = {"CITADEL_PREPARED_PATH": cache}
        run(program, arguments, one, kept)
        prepared = [run(program, arguments, one, kept) for _ in range(repeats)]
        many = [run(program, arguments, long_texts, kept)[1] for _ in range(3)]
        straight = [
            run(program, arguments, one, {"CITADEL_PREPARED_WEIGHTS": "false"}) for _ in range(repeats)
        ]
    return {
        "prepared_seconds": statistics.median(seconds for seconds, _ in prepared),
        "straight_seconds": statistics.median(seconds for seconds, _ in straight),
        "resident_bytes": statistics.median(peak for _, peak in prepared),
        "batch_bytes": statistics.median(many),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", type=Path, default=ROOT / "build/tools/citadel-embed")
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--json")
    arguments = parser.parse_args()

    settings = json.loads((arguments.folder / "sentence_bert_config.json").read_text())
    limit = settings["max_seq_length"]
    number = random.Random(1)
    long_texts = [prose(2 * limit, number) for _ in range(TOKENS // limit)]
    report = {**machine(), "tokens": TOKENS, "precisions": {}}
    for precision in PRECISIONS:
        found = measure(arguments.program, arguments.folder, precision, arguments.repeats, long_texts)
        report["precisions"][precision] = found
        added = found["batch_bytes"] - found["resident_bytes"]
        print(
            f"{precision:14} prepared {found['prepared_seconds'] * 1e3:5.1f} ms, straight "
            f"{found['straight_seconds'] * 1e3:5.1f} ms; resident {found['resident_bytes'] / 1e6:.1f} MB, "
            f"{TOKENS} tokens add {added / 1e6:.1f} MB"
        )
    write(arguments.json, report)


if __name__ == "__main__":
    main()
