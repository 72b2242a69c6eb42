"""What oneDNN and MKL, as torch has them, reach in a model's linear layers: gemm_peak.py SOURCE THREADS

Prints JSON: GFLOP/s by precision, the best of all shapes and ways to call. A share of the machine's speed is
reckoned from the larger of this and what bench/kernels reaches.
"""

import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

ROWS = (128, 512, 2048)  # tokens in a batch
SECONDS = 0.05


def gflops(operations: int, function) -> float:
    """The best of the calls within SECONDS, of the function's first one on."""
    function()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        before = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - before)
    return operations / best / 1e9


def floating(dtype: torch.dtype, m: int, k: int, n: int) -> float:
    x, weight, bias = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype), torch.randn(n).to(dtype)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, m)
    ways = (
        lambda: torch.mm(x, weight.t()),
        lambda: F.linear(x, weight, bias),
        lambda: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], ""),
    )
    return max(gflops(2 * m * k * n, way) for way in ways)


def int8(m: int, k: int, n: int) -> float:
    """u8 by s8 with packed weights, dequantised; and the bare product of s8 by s8."""
    x = torch.randint(0, 255, (m, k), dtype=torch.uint8)
    signed = torch.randint(-127, 127, (m, k), dtype=torch.int8)
    weight = torch.randint(-127, 127, (n, k), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weight, [m, k])
    scales, zeros = torch.ones(n), torch.zeros(n, dtype=torch.int64)
    columns = weight.t().contiguous()
    ways = (
        lambda: torch.ops.onednn.qlinear_pointwise(
            x, 1.0, 128, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        ),
        lambda: torch._int_mm(signed, columns),
    )
    return max(gflops(2 * m * k * n, way) for way in ways)


def main(source: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    config = json.loads((Path(source) / "config.json").read_text())
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes = [
        (m, k, n)
        for m in ROWS
        for k, n in ((width, width), (width, 3 * width), (width, inner), (inner, width))
    ]
    found = {
        "fp32": max(floating(torch.float32, *shape) for shape in shapes),
        "bf16": max(floating(torch.bfloat16, *shape) for shape in shapes),
        "int8": max(int8(*shape) for shape in shapes),
    }
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))


if __name__ == "__main__":
    with torch.inference_mode():
        main(*sys.argv[1:])
