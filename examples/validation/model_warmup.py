"""Load and warm up models: model_warmup.py --all-models | NAME...

Prints what `citadel-embed warmup` prints. Exit status 1 if one fails; the others are warmed up all the same.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from services.inference_engine import InferenceEngine

import citadel_embed

TEXTS = ("a short text", " ".join(["a text that is somewhat longer"] * 4), " ".join(["a long text"] * 40))


def all_models() -> list[str]:
    """The model packs and folders in the directories of CITADEL_MODEL_PATH."""
    folders = [Path(part) for part in os.environ.get("CITADEL_MODEL_PATH", "").split(":") if part]
    files = ("citadel.json", "model.safetensors", "model.safetensors.index.json")
    return sorted(
        {found.parent.name for folder in folders for name in files for found in folder.glob(f"*/{name}")}
    )


def warm_up(engine: InferenceEngine, name: str, iterations: int) -> bool:
    start = time.perf_counter()
    try:
        for _ in range(iterations):
            for text in TEXTS:
                engine.generate_embedding(text, name)
    except citadel_embed.CitadelError as error:
        print(f"✗ {name}: {error}")
        return False
    print(f"✓ {name}: Warmed up in {time.perf_counter() - start:.1f}s", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all-models", action="store_true", help="every model in CITADEL_MODEL_PATH")
    parser.add_argument("--iterations", type=int, default=3, help="of each length (%(default)s)")
    arguments = parser.parse_args()
    names = all_models() if arguments.all_models else arguments.names
    if not names:
        parser.error("no model: give names, or --all-models and CITADEL_MODEL_PATH")
    good = True
    for name in names:
        with InferenceEngine() as engine:
            good = warm_up(engine, name, arguments.iterations) and good
    if good:
        print("All models ready for inference")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
