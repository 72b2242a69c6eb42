"""Speed beside sentence-transformers, in one run: the same texts, the same CPUs, text in and vectors out.

    bench/speed.py PACK SOURCE [--threads N] [--repeats R] [--json FILE]

PACK is a model pack, SOURCE the folder it was exported from. The repeats of both are interleaved;
sentence-transformers runs with the batch size that was fastest on other texts. Prints medians; the ratio is
the median of the repeats' ratios. The JSON has every measurement.
"""

import argparse
import os
import statistics
import sys

from measure import cases, machine, seconds, write

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def fastest_batch_size(encode, texts: list[str]) -> int:
    return min(
        (8, 16, 32, 64),
        key=lambda size: min(seconds(encode, texts, batch_size=size) for _ in range(2)),
    )


def measure(ours, theirs, texts: list[str], repeats: int) -> tuple[list[float], list[float]]:
    mine, other = [], []
    for _ in range(repeats):
        mine.append(seconds(ours, texts))
        other.append(seconds(theirs, texts))
    return mine, other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack")
    parser.add_argument("source")
    parser.add_argument("--threads", type=int, default=1, help="CPUs and threads for each (%(default)s)")
    parser.add_argument("--repeats", type=int, default=15, help="measurements of each case (%(default)s)")
    parser.add_argument("--json", help="file for every measurement")
    arguments = parser.parse_args()

    # Before anything starts threads of its own.
    cpus = sorted(os.sched_getaffinity(0))
    if arguments.threads > len(cpus):
        sys.exit(f"speed.py: {arguments.threads} threads, but only {len(cpus)} CPUs")
    os.sched_setaffinity(0, cpus[: arguments.threads])

    import numpy as np
    import sentence_transformers
    import torch
    from transformers.utils import logging

    import citadel_embed

    logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    reference = sentence_transformers.SentenceTransformer(arguments.source, device="cpu")
    report = {
        **machine(),
        "threads": arguments.threads,
        "versions": {
            "citadel_embed": citadel_embed.version(),
            "sentence-transformers": sentence_transformers.__version__,
            "torch": torch.__version__,
        },
        "cases": [],
    }
    tuning, measured = cases(seed=1), cases(seed=2)
    with citadel_embed.Engine(threads=arguments.threads) as engine, engine.load(arguments.pack) as model:
        for name, texts in measured.items():
            size = fastest_batch_size(reference.encode, tuning[name])

            def encode(items, size=size):
                return reference.encode(items, batch_size=size)

            difference = float(np.abs(model.embed(texts) - encode(texts)).max())
            repeats = arguments.repeats * (10 if len(texts) == 1 else 1)
            ours, theirs = measure(model.embed, encode, texts, repeats)
            case = {
                "name": name,
                "texts": len(texts),
                "tokens": sum(result.tokens for result in model.embed_results(texts)[1]),
                "batch_size": size,
                "max_abs_difference": difference,
                "ratio": statistics.median(t / o for o, t in zip(ours, theirs, strict=True)),
                "seconds": {"citadel_embed": ours, "sentence-transformers": theirs},
            }
            report["cases"].append(case)
            rates = [len(texts) / statistics.median(times) for times in (ours, theirs)]
            print(
                f"{name:22}  {rates[0]:7.1f} texts/s   sentence-transformers {rates[1]:7.1f} texts/s"
                f"   ratio {case['ratio']:.2f}   max |difference| {difference:.1e}",
                flush=True,
            )
    write(arguments.json, report)


if __name__ == "__main__":
    main()
