"""The first call of a process with and without a warm-up, and what recording metrics costs.

    bench/warmup.py PACK... [--threads N] [--repeats R] [--recording PROGRAM] [--json FILE]

Each first call is that of a process of its own, in which the model has just been loaded. `steady` is the
median of the later calls with the same text there. The text of 26 tokens has the length of a warm-up's first
pass; the one of 17 has a length that no pass of it had. `recording` is the C program build/bench/recording.
"""

import argparse
import json
import statistics
import subprocess
import sys

from measure import machine, seconds, write

TEXTS = {26: "a " * 24, 17: "a " * 15, 16: "a " * 14}  # by their number of tokens
CALLS = 60


def measure(pack: str, threads: int, tokens: int, warm: bool) -> dict:
    import citadel_embed

    with citadel_embed.Engine(threads=threads) as engine, engine.load(pack) as model:
        report = model.warmup() if warm else None
        assert len(model.tokenize(TEXTS[tokens])) == tokens
        times = [seconds(model.embed, [TEXTS[tokens]]) for _ in range(CALLS)]
        return {"first": times[0], "steady": times[1:], "warmup": report, "form": model.info()["form"]}


def in_process(*arguments) -> dict:
    command = [sys.executable, __file__, "--one", json.dumps(arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def ratio(run: dict) -> float:
    return run["first"] / statistics.median(run["steady"])


def print_case(runs: list[dict], title: str) -> None:
    first = statistics.median(run["first"] for run in runs)
    steady = statistics.median(time for run in runs for time in run["steady"])
    ratios = sorted(map(ratio, runs))
    print(
        f"  {title}: first call {1e3 * first:.2f} ms, steady {1e3 * steady:.2f} ms, ratio "
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def recording_cost(program: str, pack: str, threads: int) -> dict:
    """Of one call, beside the time of an embedding of 16 tokens."""
    cost = 1e-9 * float(subprocess.run([program], check=True, stdout=subprocess.PIPE).stdout)
    embedding = statistics.median(in_process(pack, threads, 16, True)["steady"])
    print(f"  recording: {1e9 * cost:.0f} ns of {1e3 * embedding:.2f} ms, {cost / embedding:.4%}")
    return {"seconds": cost, "embedding_seconds": embedding}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packs", nargs="*", metavar="PACK")
    parser.add_argument("--threads", type=int, default=2, help="threads of the engine (%(default)s)")
    parser.add_argument("--repeats", type=int, default=9, help="processes for each case (%(default)s)")
    parser.add_argument("--recording", help="program that measures what recording a call costs")
    parser.add_argument("--json", help="file for every measurement")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        json.dump(measure(*json.loads(given.one)), sys.stdout)
        return

    report = {"machine": machine(), "threads": given.threads, "packs": {}}
    for pack in given.packs:
        print(pack)
        found = report["packs"][pack.rstrip("/").rsplit("/", 1)[-1]] = {}
        for tokens in (26, 17):
            cases = {"cold": [], "warm": []}
            for _ in range(given.repeats):  # interleaved, so that other work on the machine strikes both
                for name, runs in cases.items():
                    runs.append(in_process(pack, given.threads, tokens, name == "warm"))
            for name, runs in cases.items():
                print_case(runs, f"{tokens} tokens, {name}")
            found[f"{tokens} tokens"] = cases
        if given.recording:
            found["recording"] = recording_cost(given.recording, pack, given.threads)
    write(given.json, report)


if __name__ == "__main__":
    main()
