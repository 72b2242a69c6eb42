"""Three models in two slots, asked in turn by four threads; and one model's calls while another loads.

    bench/switching.py PACK PACK PACK [--seconds S] [--json FILE]

The first PACK is the small one whose calls are timed while the last one loads. Checks every vector. Fails if
a vector is wrong, if more than two models are in memory, or if a model is loaded more often than missed.
"""

import argparse
import itertools
import statistics
import sys
import threading
import time

from measure import machine, write

TEXTS = [f"text number {i}: how do I reset my password, and who pays for it?" for i in range(3)]
TOLERANCE = 1e-5
SLOTS, THREADS = 2, 4


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def take_turns(packs: list[str], seconds: float) -> dict:
    import numpy as np

    import citadel_embed

    with citadel_embed.Engine(threads=2) as alone:
        expected = {}
        for pack in packs:
            with alone.load(pack) as model:
                expected[pack] = model.embed(TEXTS)
    calls, worst, most = [0] * THREADS, [0.0] * THREADS, [0] * THREADS
    failures: list[str] = []
    with citadel_embed.Engine(threads=2, cache_models=SLOTS) as engine:
        end = time.monotonic() + seconds

        def ask(number: int) -> None:
            turns = itertools.cycle(packs[number % 3 :] + packs[: number % 3])
            try:
                while time.monotonic() < end:
                    pack = next(turns)
                    difference = float(np.abs(engine.embed(pack, TEXTS) - expected[pack]).max())
                    worst[number] = max(worst[number], difference)
                    most[number] = max(most[number], engine.metrics()["models"])
                    calls[number] += 1
            except citadel_embed.CitadelError as error:
                failures.append(str(error))

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        metrics = engine.metrics()
    return {
        "seconds": seconds,
        "calls": sum(calls),
        "max_abs_difference": max(worst),
        "most_models": max(most),
        "failures": failures,
        "metrics": metrics,
    }


def call_times(model, stop: threading.Event) -> list[float]:
    times = []
    while not stop.is_set():
        before = time.perf_counter()
        model.embed(TEXTS[:1])
        times.append(time.perf_counter() - before)
    return times


def while_loading(small: str, large: str, repeats: int) -> dict:
    """Times of single calls on the small model, quiet and while the large one is loaded."""
    import citadel_embed

    quiet, loading, loads = [], [], []
    with citadel_embed.Engine(threads=2) as engine, engine.load(small) as model:
        with engine.load(large):
            pass
        for _ in range(repeats):
            for load in (False, True):
                stop, times = threading.Event(), []
                caller = threading.Thread(target=lambda t=times, s=stop: t.extend(call_times(model, s)))
                caller.start()
                if load:
                    before = time.perf_counter()
                    with engine.load(large):
                        loads.append(time.perf_counter() - before)
                        stop.set()
                        caller.join()
                else:
                    time.sleep(1)
                    stop.set()
                    caller.join()
                (loading if load else quiet).extend(times)
    return {"quiet": quiet, "loading": loading, "loads": loads}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packs", nargs=3, metavar="PACK")
    parser.add_argument("--seconds", type=float, default=60, help="of asking in turn (%(default)s)")
    parser.add_argument("--repeats", type=int, default=20, help="loads during calls (%(default)s)")
    parser.add_argument("--json", help="file for every measurement")
    arguments = parser.parse_args()

    loads = while_loading(arguments.packs[0], arguments.packs[2], arguments.repeats)
    quiet, loading = percentile(loads["quiet"], 0.99), percentile(loads["loading"], 0.99)
    for name, times in (("quiet", loads["quiet"]), ("while another loads", loads["loading"])):
        p50, p99 = statistics.median(times) * 1e3, percentile(times, 0.99) * 1e3
        print(f"calls of one text, {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)
    print(
        f"ratio of p99 {loading / quiet:.2f}; a load took {statistics.median(loads['loads']):.2f} s",
        flush=True,
    )
    turns = take_turns(arguments.packs, arguments.seconds)
    metrics = turns["metrics"]
    print(
        f"{turns['calls']} calls by {THREADS} threads in {arguments.seconds:.0f} s, {SLOTS} slots: "
        f"{metrics['loads']} loads, {metrics['evictions_count']} evictions, {metrics['joins']} joins, "
        f"at most {turns['most_models']} models, max |difference| {turns['max_abs_difference']:.1e}"
    )
    write(arguments.json, {**machine(), "while_loading": loads, "turns": turns})
    wrong = turns["failures"] or turns["max_abs_difference"] > TOLERANCE or turns["most_models"] > SLOTS
    if wrong or metrics["loads"] != metrics["misses"]:
        sys.exit(f"switching.py: not as it must be: {turns}")


if __name__ == "__main__":
    main()
