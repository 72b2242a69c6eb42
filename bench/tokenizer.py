"""Speed of the tokenizer beside Hugging Face's `tokenizers`: the same documents, one thread each.

    bench/tokenizer.py [FILE...] [--repeats R] [--json FILE]

A FILE is one of the tests' tokenizer zoo. The documents have about 600 bytes. Ours is timed in C over the
whole batch, Hugging Face's round `encode_batch_fast`, both warm and without padding or truncation; the
repeats of both are interleaved. The ids are compared first. Prints medians, and the time and memory that a
load takes; the JSON has every measurement.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

# Before tokenizers is imported.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "python"))

import tokenizers
from tokenizers import Tokenizer

import corpora
import tokenizer_zoo
from measure import machine
from tokenizer_driver import ROOT, Ours

FILES = ("minilm", "llama2", "llama3-genuine", "qwen3-embedding", "e5")


def documents() -> dict[str, list[str]]:
    return {"English": corpora.english(), "multilingual": list(corpora.sample(6))}


def seconds(function, *arguments) -> float:
    before = time.perf_counter()
    result = function(*arguments)
    taken = time.perf_counter() - before
    del result
    return taken


def status_kb(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise KeyError(field)


def load_memory(load, content: bytes) -> dict[str, float]:
    """Megabytes that a load takes at its peak, and keeps, in a process of its own."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        Path("/proc/self/clear_refs").write_text("5")
        before = status_kb("VmRSS")
        loaded = load(content)
        used = {"peak": status_kb("VmHWM") - before, "kept": status_kb("VmRSS") - before}
        os.write(writable, json.dumps({key: value / 1000 for key, value in used.items()}).encode())
        os._exit(loaded is None)
    os.waitpid(child, 0)
    os.close(writable)
    with os.fdopen(readable) as result:
        return json.loads(result.read())


def loads(names: list[str], repeats: int) -> list[dict]:
    both = {"citadel_embed": Ours, "tokenizers": Tokenizer.from_buffer}
    files = {name: tokenizer_zoo.path(name).read_bytes() for name in names}
    found = []
    # Memory first, before this process has gaps that a load would fill.
    for name, content in files.items():
        memory = {which: load_memory(load, content) for which, load in both.items()}
        found.append({"file": name, "bytes": len(content), "megabytes": memory})
    for load in found:
        times = [[seconds(make, files[load["file"]]) for make in both.values()] for _ in range(repeats)]
        load["seconds"] = dict(zip(both, zip(*times, strict=True), strict=True))
    return found


def case(name: str, which: str, texts: list[str], both: tuple, repeats: int) -> dict:
    ours, theirs = both
    expected = [encoding.ids for encoding in theirs.encode_batch_fast(texts)]
    different = sum(a != b for a, b in zip(expected, ours.ids(texts), strict=True))
    if different:
        sys.exit(f"tokenizer.py: {name}, {which}: the ids of {different} of {len(texts)} documents differ")
    timer = ours.timer(texts)
    timer(1), timer(2)
    times = {"citadel_embed": [], "tokenizers": [], "citadel_embed, 2 threads": []}
    for _ in range(repeats):
        times["citadel_embed"].append(min(timer(1) for _ in range(3)))
        times["tokenizers"].append(seconds(theirs.encode_batch_fast, texts))
        times["citadel_embed, 2 threads"].append(min(timer(2) for _ in range(3)))
    return {
        "file": name,
        "family": tokenizer_zoo.ZOO[name].family,
        "texts": which,
        "documents": len(texts),
        "bytes": sum(len(text.encode()) for text in texts),
        "tokens": sum(map(len, expected)),
        "seconds": times,
    }


def show_case(found: dict) -> None:
    one, other, two = (statistics.median(times) for times in found["seconds"].values())
    size, documents = found["bytes"] / 1e6, found["documents"] / 1e6
    print(
        f"{found['family']:14} {found['file']:15} {found['texts']:12}"
        f" {size / one:7.1f} {size / other:6.2f} MB/s {one / documents:7.2f} {other / documents:7.1f} µs/doc"
        f"   ratio {other / one:5.1f}   2 threads ×{one / two:.2f}",
        flush=True,
    )


def show_load(found: dict) -> None:
    for which, times in found["seconds"].items():
        memory = found["megabytes"][which]
        print(
            f"load {found['file']:15} {found['bytes'] / 1e6:5.1f} MB  {which:13}"
            f" {1000 * statistics.median(times):8.1f} ms"
            f"   peak {memory['peak']:6.1f} MB, kept {memory['kept']:6.1f} MB"
        )


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"default: {' '.join(FILES)}")
    parser.add_argument("--repeats", type=int, default=7, help="measurements of each case (%(default)s)")
    parser.add_argument("--json", help="file for every measurement")
    arguments = parser.parse_args()
    names = arguments.files or list(FILES)
    for name in names:
        if name not in tokenizer_zoo.ZOO:
            parser.error(f"no file '{name}' in the zoo, expected some of: {' '.join(tokenizer_zoo.ZOO)}")

    version = subprocess.check_output([ROOT / "scripts" / "header-version"], text=True)
    report = {
        "cpu": machine()["cpu"],
        "cpus": len(os.sched_getaffinity(0)),
        "versions": {
            "citadel_embed": version.strip(),
            "tokenizers": tokenizers.__version__,
            "python": platform.python_version(),
        },
        "loads": loads(names, arguments.repeats),
        "cases": [],
    }
    print(f"{report['cpu']}; citadel_embed, then tokenizers {tokenizers.__version__}, one thread each")
    for name in names:
        theirs = tokenizer_zoo.reference(name)
        both = Ours(tokenizer_zoo.path(name).read_bytes()), theirs
        for which, texts in documents().items():
            report["cases"].append(case(name, which, texts, both, arguments.repeats))
            show_case(report["cases"][-1])
    for found in report["loads"]:
        show_load(found)
    if arguments.json:
        file = Path(arguments.json)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
