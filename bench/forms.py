"""Speed of a model's forms beside its TorchScript form in the model's own precision, in one run.

    bench/forms.py PACK [--threads N] [--repeats R] [--json FILE]

The same texts, the same CPUs, text in and vectors out, interleaved. Prints medians; a ratio is the median of
the repeats' ratios, and a cosine the smallest with the vectors of the TorchScript form. The JSON has every
measurement.
"""

import argparse
import contextlib
import os
import statistics

from measure import cases, machine, seconds, write

FORMS = {
    "torchscript": {"compile": False},
    "compiled": {},
    "torchscript, mixed precision": {"compile": False, "mixed_precision": True},
    "compiled, mixed precision": {"mixed_precision": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack")
    parser.add_argument("--threads", type=int, default=1, help="CPUs and threads (%(default)s)")
    parser.add_argument("--repeats", type=int, default=9, help="measurements of each case (%(default)s)")
    parser.add_argument("--json", help="file for every measurement")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])

    import numpy as np

    import citadel_embed

    report = {**machine(), "threads": arguments.threads, "pack": arguments.pack.split("/")[-1], "cases": []}
    with contextlib.ExitStack() as stack:
        models = {}
        for name, switches in FORMS.items():
            engine = stack.enter_context(citadel_embed.Engine(threads=arguments.threads, **switches))
            model = stack.enter_context(engine.load(arguments.pack))
            info = model.info()
            got = f"{info['form']} {info['precision']}"
            if got not in models:
                models[got] = model
            print(f"{name}: {got}, loaded in {info['load_seconds']:.3f} s", flush=True)
        base = next(iter(models))
        for case, texts in cases(seed=2).items():
            expected = models[base].embed(texts).astype(np.float64)
            times = {name: [] for name in models}
            for _ in range(arguments.repeats * (10 if len(texts) == 1 else 1)):
                for name, model in models.items():
                    times[name].append(seconds(model.embed, texts))
            for name, model in models.items():
                found = model.embed(texts)
                length = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
                row = {
                    "case": case,
                    "form": name,
                    "texts": len(texts),
                    "ratio": statistics.median(
                        b / own for b, own in zip(times[base], times[name], strict=True)
                    ),
                    "min_cosine": float(((expected * found).sum(1) / length).min()),
                    "seconds": times[name],
                }
                report["cases"].append(row)
                rate = len(texts) / statistics.median(times[name])
                print(
                    f"{case:22} {name:18} {rate:8.1f} texts/s   ratio {row['ratio']:.2f}"
                    f"   min cosine {row['min_cosine']:.6f}",
                    flush=True,
                )
    write(arguments.json, report)


if __name__ == "__main__":
    main()
