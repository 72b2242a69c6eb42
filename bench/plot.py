"""Draw what bench/speed.py measured: bench/plot.py OUT.svg RESULT.json..."""

import json
import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "citadel_embed"  # the same figures give the same file
import matplotlib.pyplot as plt  # noqa: E402

COLOURS = {"sentence-transformers": "#9aa5b1", "citadel_embed": "#1f6f54"}


def main(out: str, *files: str) -> None:
    reports = [json.loads(Path(file).read_text()) for file in files]
    names = [case["name"] for case in reports[0]["cases"]]
    figure, axes = plt.subplots(len(reports), len(names), figsize=(9, 1.5 * len(reports)), squeeze=False)
    for row, report in zip(axes, reports, strict=True):
        for axis, case in zip(row, report["cases"], strict=True):
            rates = {name: case["texts"] / statistics.median(case["seconds"][name]) for name in COLOURS}
            bars = axis.barh(list(rates), list(rates.values()), color=list(COLOURS.values()))
            axis.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
            axis.set_title(f"{case['name']}: {case['ratio']:.2f} ×", fontsize=9, loc="left")
            axis.set_xlim(0, max(rates.values()) * 1.2)
            axis.set_xticks([])
            axis.tick_params(left=False, labelleft=axis is row[0], labelsize=8)
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(f"{report['threads']} thread{'s' * (report['threads'] > 1)}", fontsize=9)
    first = reports[0]
    figure.text(
        0.99,
        0.01,
        f"texts per second, all-MiniLM-L6-v2 fp32, {first['cpu']}, torch {first['versions']['torch']}",
        ha="right",
        fontsize=7,
        color="#555",
    )
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: bench/plot.py OUT.svg RESULT.json...")
    main(*sys.argv[1:])
