"""What reduced precisions cost in accuracy: the vectors of a checkpoint in each beside those in fp32.

    bench/accuracy.py FOLDER [--name NAME] [--threads N] [--json FILE]

The texts are those of the other benchmarks. Of each text's ten nearest neighbours among the others, the
overlap is the share that stay. Weights are prepared anew at each load. The JSON has every figure.
"""

import argparse
import statistics
from pathlib import Path

from measure import cases, machine, write

PRECISIONS = ("bf16", "int8", "int8-accurate")
NEIGHBOURS = 10


def neighbours(vectors):
    import numpy as np

    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]


def compare(expected, found) -> dict:
    cosines = (expected * found).sum(1)
    kept = [
        len(set(one) & set(other)) / NEIGHBOURS
        for one, other in zip(neighbours(expected), neighbours(found), strict=True)
    ]
    return {
        "min_cosine": float(cosines.min()),
        "mean_cosine": float(cosines.mean()),
        "neighbour_overlap": statistics.mean(kept),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--name", help="of the model, in the report (the folder's)")
    parser.add_argument("--threads", type=int, default=1, help="threads (%(default)s)")
    parser.add_argument("--json", help="file for every figure")
    arguments = parser.parse_args()

    import numpy as np

    import citadel_embed

    texts = cases(seed=2)
    sets = {name: texts[name] for name in ("short texts", "mixed lengths")}

    def embed(model, items):
        vectors = model.embed(items).astype(np.float64)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    report = {
        **machine(),
        "model": arguments.name or Path(arguments.folder).resolve().name,
        "version": citadel_embed.version(),
        "cases": [],
    }
    with citadel_embed.Engine(threads=arguments.threads, prepared_weights=False) as engine:
        with engine.load(arguments.folder, precision="fp32") as model:
            expected = {name: embed(model, items) for name, items in sets.items()}
        for precision in PRECISIONS:
            with engine.load(arguments.folder, precision=precision) as model:
                seconds = model.info()["load_seconds"]
                for name, items in sets.items():
                    row = {
                        "precision": precision,
                        "texts": name,
                        "count": len(items),
                        **compare(expected[name], embed(model, items)),
                        "load_seconds": seconds,
                    }
                    report["cases"].append(row)
                    print(
                        f"{precision:14} {len(items):4} {name:14} cosine min {row['min_cosine']:.6f}"
                        f" mean {row['mean_cosine']:.6f}  neighbours {row['neighbour_overlap']:.4f}"
                        f"  load {seconds:.2f} s",
                        flush=True,
                    )
    write(arguments.json, report)


if __name__ == "__main__":
    main()
