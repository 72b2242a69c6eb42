"""What loading and optimization gain, as a page: docs/Model_Loading_Optimization_Results.md.

    bench/results.py measure MODEL... [--iterations N]   measure into bench/results/optimization.json
    bench/results.py write [FOLDER]                      write page and picture from that file

Measuring runs build/bench/model_performance twice for every model, with MIXED_PRECISION_ENABLED false and
true; each run has its own baseline. The page says nothing that is not in the JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from measure import machine, write

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "build" / "bench" / "model_performance"
DATA = ROOT / "bench" / "results" / "optimization.json"
PAGE = "Model_Loading_Optimization_Results.md"
PICTURE = "optimization.svg"
RUNS = {"default": "false", "mixed precision": "true"}
COLOURS = {"off": "#9aa5b1", "default": "#1f6f54", "mixed precision": "#c07a1c"}


# ---- Measure ---------------------------------------------------------------------------------


def measure(models: list[str], iterations: int) -> None:
    report = {**machine(), "threads": os.environ.get("CITADEL_THREADS", "as many as CPUs"), "models": []}
    for model in models:
        found = {"name": model.rstrip("/").split("/")[-1]}
        for run, switch in RUNS.items():
            with tempfile.NamedTemporaryFile(suffix=".json") as file:
                command = [PROGRAM, "--model", model, "--iterations", str(iterations), "--json", file.name]
                subprocess.run(command, env={**os.environ, "MIXED_PRECISION_ENABLED": switch}, check=True)
                found[run] = json.load(file)
                found[run]["model"] = found["name"]
                report["build"] = found[run].pop("build").split(" (")[0]
        report["models"].append(found)
    write(str(DATA), report)


# ---- Write -----------------------------------------------------------------------------------


def rows(model: dict) -> list[tuple[str, dict, str]]:
    """Mode, figures, agreement with the baseline of the same run. A mode that changed nothing has no row."""
    found = [("off", model["default"]["baseline"], "baseline")]
    for run in RUNS:
        figures = model[run]["optimized"]
        form = (figures["form"], figures["precision"])
        if run == "default" or form != (found[-1][1]["form"], found[-1][1]["precision"]):
            agreement = f"{model[run]['max_difference']:.1e}, {model[run]['cosine']:.6f}"
            found.append((run, figures, agreement))
    return found


def mean(figures: dict) -> float:
    return statistics.fmean(figures["seconds"])


def table(report: dict) -> str:
    lines = [
        "| model | optimization | form | load, s | first call, ms | average, ms | p50, ms | embeddings/s "
        "| memory, GB | difference, cosine |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for model in report["models"]:
        for mode, figures, agreement in rows(model):
            cells = [
                model["name"] if mode == "off" else "",
                mode,
                f"{figures['form']} {figures['precision']}",
                f"{figures['load_seconds']:.2f}",
                f"{figures['first_seconds'] * 1e3:.1f}",
                f"{mean(figures) * 1e3:.1f}",
                f"{statistics.median(figures['seconds']) * 1e3:.1f}",
                f"{1 / mean(figures):.0f}",
                f"{figures['memory_bytes'] / 1e9:.2f}",
                agreement,
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def either(numbers: list[int]) -> str:
    return " or ".join(map(str, numbers))


def page(report: dict) -> str:
    tokens = sorted({model["default"]["tokens"] for model in report["models"]})
    calls = sorted({model["default"]["iterations"] for model in report["models"]})
    note = f"{report['note']}\n\n" if "note" in report else ""
    return f"""# Model loading and optimization: results

{note}Written by `bench/results.py write` from `bench/results/optimization.json`; a test compares.
{report["cpu"]}, threads: {report["threads"]}, {report["build"]}.
One text of {either(tokens)} tokens, {either(calls)} calls.

{table(report)}

![Embeddings per second]({PICTURE})

**off** is `INFERENCE_OPTIMIZATION=false`, **default** has compiled forms, **mixed precision** is
`MIXED_PRECISION_ENABLED=true`; where it changes nothing, since the model's own precision is a reduced one or
no form is exact enough, it has no row. Load ends when the golden texts have been embedded and compared. The
first call is the first after the load. Memory is what the process has resident after the calls, libtorch
included; each row was measured in a process of its own. The last column compares one text's vector with that
of the baseline: the largest difference of a number, and the cosine. What the export recorded for many texts
is in the pack's manifest.

```sh
.venv/bin/python bench/results.py measure NAME...   # on a machine that does nothing else
.venv/bin/python bench/results.py write
```
"""


def draw(report: dict, path: Path) -> None:
    import plot  # the settings that make the same figures give the same file

    models = report["models"]
    figure, axes = plot.plt.subplots(1, len(models), figsize=(2.4 * len(models), 1.8), squeeze=False)
    for axis, model in zip(axes[0], models, strict=True):
        rates = {mode: 1 / mean(figures) for mode, figures, _ in rows(model)}
        bars = axis.barh(list(rates), list(rates.values()), color=[COLOURS[mode] for mode in rates])
        axis.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
        axis.set_title(model["name"], fontsize=9, loc="left")
        axis.set_xlim(0, max(rates.values()) * 1.3)
        axis.set_xticks([])
        axis.invert_yaxis()
        axis.tick_params(left=False, labelsize=7)
        axis.spines[:].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write_page(folder: Path) -> None:
    report = json.loads(DATA.read_text())
    (folder / PAGE).write_text(page(report))
    draw(report, folder / PICTURE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("models", nargs="+", metavar="MODEL")
    measuring.add_argument("--iterations", type=int, default=200, help="calls (%(default)s)")
    writing = commands.add_parser("write")
    writing.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args()
    if arguments.command == "measure":
        measure(arguments.models, arguments.iterations)
    else:
        write_page(arguments.folder)


if __name__ == "__main__":
    main()
