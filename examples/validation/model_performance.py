"""Speed and memory of a model beside its baseline: model_performance.py --model NAME [--iterations N]

Prints what `build/bench/model_performance` prints, measured through Python. The baseline runs in a process
of its own with INFERENCE_OPTIMIZATION=false.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time

from services.inference_engine import InferenceEngine

import citadel_embed

TEXT = (
    "The license applies to the library and to everything that is derived from it, in source or object form, "
    "for use."
)
UNTIMED = 6


def measure(name: str, iterations: int) -> dict:
    with InferenceEngine() as engine:
        for _ in range(UNTIMED):
            engine.generate_embedding(TEXT, name)
        seconds = []
        for _ in range(iterations):
            start = time.perf_counter()
            engine.generate_embedding(TEXT, name)
            seconds.append(time.perf_counter() - start)
        info = engine.optimizer.load_optimized_model(name).info()
        memory = engine.optimizer.engine.metrics()["process_bytes"]
    return {"seconds": seconds, "memory": memory, "form": info["form"], "precision": info["precision"]}


def baseline(name: str, iterations: int) -> dict:
    command = [sys.executable, __file__, "--model", name, "--iterations", str(iterations), "--raw"]
    environment = {**os.environ, "INFERENCE_OPTIMIZATION": "false"}
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def report(name: str, own: dict, base: dict) -> str:
    ordered = sorted(own["seconds"])
    p50, p95, p99 = (ordered[math.ceil(len(ordered) * p / 100) - 1] * 1e3 for p in (50, 95, 99))
    mean = statistics.fmean(ordered)
    return (
        f"Model: {name}\n"
        f"Average inference time: {mean * 1e3:.1f}ms (p50 {p50:.1f}ms, p95 {p95:.1f}ms, p99 {p99:.1f}ms)\n"
        f"Throughput: {1 / mean:.0f} embeddings/sec\n"
        f"Memory usage: {own['memory'] / 1e9:.2f}GB (optimized from {base['memory'] / 1e9:.2f}GB baseline)\n"
        f"Optimization: {own['form']} {own['precision']}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--iterations", type=int, default=100, choices=range(1, 1000001), metavar="N")
    parser.add_argument("--raw", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        own = measure(arguments.model, arguments.iterations)
        if arguments.raw:
            json.dump(own, sys.stdout)
        else:
            print(report(arguments.model, own, baseline(arguments.model, arguments.iterations)))
    except citadel_embed.CitadelError as error:
        print(f"model_performance.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
