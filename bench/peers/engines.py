"""The engines compared: which peer in which precision, from which venv and which model file.

Standard library only: every venv's Python reads this.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "peers"
OURS = "citadel_embed"

# Exact pins: results of other versions are other results.
VENVS = {
    "sentence-transformers": [
        "torch==2.11.0",
        "sentence-transformers==6.2.0",
        "transformers==5.24.0",
        "numpy==2.4.6",
    ],
    "onnxruntime": ["onnxruntime==1.32.0", "tokenizers==0.23.3", "numpy==2.4.6"],
    "openvino": ["openvino==2026.4.1", "tokenizers==0.23.3", "numpy==2.4.6"],
    "ctranslate2": ["ctranslate2==4.8.5", "tokenizers==0.23.3", "numpy==2.4.6"],
    "llama.cpp": ["llama-cpp-python==0.3.36", "numpy==2.4.6"],
    # Makes the others' model files; sees the torch of sentence-transformers.
    "convert": [
        "transformers==4.57.6",
        "onnx==1.23.2",
        "onnxruntime==1.32.0",
        "onnxscript==0.7.2",
        "openvino==2026.4.1",
        "nncf==3.4.0",
        "ctranslate2==4.8.5",
    ],
}

# What an engine's speed is set beside. The accurate int8 of the peers keeps activations in floating point, or
# quantises them in small groups.
CLASSES = ("fp32", "bf16", "int8", "int8-accurate")


@dataclass(frozen=True)
class Engine:
    name: str
    venv: str
    kind: str  # one of CLASSES
    file: str = ""  # of the prepared models; "": the source itself
    step: str = ""  # of convert.py, which makes the file


PEERS = (
    Engine("sentence-transformers fp32", "sentence-transformers", "fp32"),
    Engine("ONNX Runtime fp32", "onnxruntime", "fp32", "fp32.onnx", "onnx"),
    Engine("ONNX Runtime O3 fp32", "onnxruntime", "fp32", "o3.onnx", "o3"),
    Engine("ONNX Runtime int8", "onnxruntime", "int8", "fp32-int8.onnx", "onnx-int8"),
    Engine("ONNX Runtime O3 int8", "onnxruntime", "int8", "o3-int8.onnx", "onnx-int8"),
    Engine("OpenVINO fp32", "openvino", "fp32", "fp32.xml", "openvino"),
    Engine("OpenVINO bf16", "openvino", "bf16", "fp32.xml", "openvino"),
    Engine("OpenVINO int8 (NNCF)", "openvino", "int8", "int8.xml", "nncf"),
    Engine("OpenVINO w8 dynamic", "openvino", "int8-accurate", "w8.xml", "w8"),
    Engine("CTranslate2 int8", "ctranslate2", "int8", "ctranslate2/model.bin", "ctranslate2"),
    Engine("llama.cpp f16", "llama.cpp", "fp32", "f16.gguf", "gguf"),
    Engine("llama.cpp q8_0", "llama.cpp", "int8-accurate", "q8_0.gguf", "gguf"),
)
REFERENCE = PEERS[0]


def ours(precision: str) -> Engine:
    return Engine(f"{OURS} {precision}", OURS, precision)


def venv_python(folder: Path, venv: str) -> Path:
    return folder / "venvs" / venv / "bin" / "python"


def prepared(folder: Path, source: Path) -> Path:
    """Where the model files of a source lie. Names of folders repeat, so the parent's is there too."""
    resolved = source.resolve()
    return folder / "models" / f"{resolved.parent.name}-{resolved.name}"
