"""One short text on a large model, beside what its kernels and the memory allow.

    bench/large.py FOLDER [--model phi-3-mini] [--precision int8] [--json FILE]

On one thread: the median time of a text of 8 and of 26 tokens, the time of the linear kernels alone with such
layers in turn (bench/kernels --in-turn), and the time in which one thread reads the weights once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path

import citadel_embed
from measure import machine, of_tokens, random, resident_bytes, seconds, write

KERNELS = Path(__file__).resolve().parents[1] / "build" / "bench" / "kernels"
ROWS = (8, 26)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="phi-3-mini", help="whose layers bench/kernels measures")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    layers = json.loads((arguments.folder / "config.json").read_text())["num_hidden_layers"]

    with citadel_embed.Engine(threads=1) as engine:
        model = engine.load(str(arguments.folder), precision=arguments.precision)
        load = model.info()["load_seconds"]
        times = {}
        for rows in ROWS:
            text = of_tokens(rows, lambda text: len(model.tokenize(text)), random.Random(rows))
            model.embed([text])
            times[rows] = statistics.median(seconds(model.embed, [text]) for _ in range(arguments.repeats))
        resident = resident_bytes()
        model.close()
    done = subprocess.run(
        [KERNELS, "--in-turn", "--model", arguments.model, "--seconds", "1"],
        stdout=subprocess.PIPE,
        check=True,
    )
    kernels = json.loads(done.stdout)
    print(f"load {load:.2f} s, resident {resident / 1e9:.2f} GB")
    report = {**machine(), "load_seconds": load, "resident_bytes": resident, "texts": []}
    number = arguments.precision.split("-")[0]
    for layer in kernels["layers"]:
        rows = layer["rows"]
        if layer["number"] != number or rows not in times:
            continue
        own, floor = layer["seconds"] * layers, layer["bytes"] * layers / kernels["read_bytes_per_second"]
        report["texts"].append({"tokens": rows, "seconds": times[rows], "kernels": own, "reading": floor})
        print(
            f"{rows:3} tokens: {times[rows] * 1e3:.0f} ms; kernels alone {own * 1e3:.0f} ms, "
            f"ratio {times[rows] / own:.2f}; reading the weights {floor * 1e3:.0f} ms"
        )
    write(arguments.json, report)


if __name__ == "__main__":
    main()
