"""One peer's model file from a Hugging Face folder: convert.py WHAT SOURCE DEST (run by bench/peers/setup).

Pooling and normalisation are in the graph wherever a graph can hold them: the peer hands out vectors.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import cases

CALIBRATION_SEED = 3  # neither the tuning texts nor the measured ones


def pooling(source: Path) -> str:
    settings = json.loads((source / "1_Pooling" / "config.json").read_text())
    for mode, switch in {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}.items():
        if settings.get("pooling_mode") == mode or settings.get(switch):
            return mode
    raise SystemExit(f"convert: the pooling of {source} is neither mean nor cls")


def normalizes(source: Path) -> bool:
    return "Normalize" in (source / "modules.json").read_text()


def config(source: Path) -> dict:
    return json.loads((source / "config.json").read_text())


def calibration_ids(source: Path) -> list:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.enable_truncation(config(source)["max_position_embeddings"])
    tokenizer.no_padding()
    texts = [text for group in cases(CALIBRATION_SEED).values() for text in group]
    return [encoding.ids for encoding in tokenizer.encode_batch(texts[::2])]


# ---- ONNX Runtime ----------------------------------------------------------------------------


def to_onnx(source: Path, dest: Path) -> None:
    import torch
    from transformers import AutoModel

    class Embedder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = AutoModel.from_pretrained(source, attn_implementation="eager").eval()

        def forward(self, input_ids, attention_mask):
            hidden = self.encoder(input_ids, attention_mask, torch.zeros_like(input_ids)).last_hidden_state
            if pooling(source) == "cls":
                vectors = hidden[:, 0]
            else:
                mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
                vectors = (hidden * mask).sum(1) / mask.sum(1)
            return torch.nn.functional.normalize(vectors) if normalizes(source) else vectors

    ids = torch.arange(1000, 1016).reshape(2, 8)
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(
        Embedder(),
        (ids, torch.ones_like(ids)),
        dest / "fp32.onnx",
        input_names=["input_ids", "attention_mask"],
        output_names=["vectors"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "vectors": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def to_o3(source: Path, dest: Path) -> None:
    """What optimum calls O3: the optimizer's fusions of a BERT and the fast GELU."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    shape = config(source)
    options = FusionOptions("bert")
    options.enable_gelu_approximation = True
    model = optimizer.optimize_model(
        str(dest / "fp32.onnx"),
        model_type="bert",
        num_heads=shape["num_attention_heads"],
        hidden_size=shape["hidden_size"],
        optimization_options=options,
        opt_level=2,
    )
    fused = model.get_fused_operator_statistics()
    if fused["Attention"] != shape["num_hidden_layers"]:
        raise SystemExit(f"convert: the optimizer fused {fused['Attention']} attentions only")
    model.save_model_to_file(str(dest / "o3.onnx"))


def to_onnx_int8(source: Path, dest: Path) -> None:
    """As for avx512_vnni, dynamic: signed weights by channel, unsigned activations, all 8 bits."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    for name in ("fp32", "o3"):
        quantize_dynamic(
            dest / f"{name}.onnx",
            dest / f"{name}-int8.onnx",
            per_channel=True,
            reduce_range=False,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # fused operators hide the types
        )


# ---- OpenVINO --------------------------------------------------------------------------------


def to_openvino(source: Path, dest: Path) -> None:
    import openvino

    openvino.save_model(openvino.convert_model(dest / "fp32.onnx"), dest / "fp32.xml", compress_to_fp16=False)


def to_nncf(source: Path, dest: Path) -> None:
    import nncf
    import numpy as np
    import openvino

    def inputs(ids):
        ids = np.array([ids], np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    texts = calibration_ids(source)
    model = nncf.quantize(
        openvino.Core().read_model(dest / "fp32.xml"),
        nncf.Dataset(texts, inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(texts),
    )
    openvino.save_model(model, dest / "int8.xml", compress_to_fp16=False)


def to_w8(source: Path, dest: Path) -> None:
    import nncf
    import openvino

    model = openvino.Core().read_model(dest / "fp32.xml")
    model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    openvino.save_model(model, dest / "w8.xml", compress_to_fp16=False)


# ---- CTranslate2, llama.cpp ------------------------------------------------------------------


def to_ctranslate2(source: Path, dest: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(source)).convert(str(dest / "ctranslate2"), quantization="int8", force=True)


def to_gguf(source: Path, dest: Path) -> None:
    """By the converter that lies in llama-cpp-python's source package, unpacked beside the model files."""
    converter = next(dest.parent.glob("llama.cpp/*/vendor/llama.cpp/convert_hf_to_gguf.py"))
    for kind in ("f16", "q8_0"):
        command = [sys.executable, converter, source, "--outtype", kind, "--outfile", dest / f"{kind}.gguf"]
        subprocess.run(command, check=True)


STEPS = {
    "onnx": to_onnx,
    "o3": to_o3,
    "onnx-int8": to_onnx_int8,
    "openvino": to_openvino,
    "nncf": to_nncf,
    "w8": to_w8,
    "ctranslate2": to_ctranslate2,
    "gguf": to_gguf,
}

if __name__ == "__main__":
    STEPS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
