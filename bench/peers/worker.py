"""One peer, in its own venv: worker.py ENGINE FILE SOURCE THREADS MODE (started by bench/peers/run).

MODE is "intra" (all threads on one batch) or "streams" (THREADS batches at once, a thread each). Reads a
request a line, answers "ok ..." a line:

    load             the model, not its first pass
    texts FILE       a text a line
    all BATCH        embed them sorted by length, BATCH at a time: seconds
    each             embed them one by one: the seconds of each
    save FILE        the vectors of the last request, in the order of the texts
    versions         JSON
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np


def pooling_mode(source: Path) -> str:
    settings = json.loads((source / "1_Pooling" / "config.json").read_text())
    cls = settings.get("pooling_mode_cls_token") or settings.get("pooling_mode") == "cls"
    return "cls" if cls else "mean"


def max_tokens(source: Path) -> int:
    return json.loads((source / "sentence_bert_config.json").read_text())["max_seq_length"]


class Ids:
    """Hugging Face's tokenizer, for the peers that have none of their own."""

    def __init__(self, source: Path):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
        self.tokenizer.enable_truncation(max_tokens(source))
        self.tokenizer.no_padding()

    def __call__(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]


def padded(batch: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return ids, mask


class Batched:
    """Peers that take ids: tokenise all, sort by length, cut into batches, hand them to the threads."""

    packages: tuple[str, ...] = ()

    def __init__(self, file: Path, source: Path, threads: int, streams: int):
        self.tokenize = Ids(source)
        self.runs = self.open(file, source, threads, streams)
        self.pool = ThreadPoolExecutor(streams) if streams > 1 else None
        self.idle = list(self.runs)

    def embed(self, texts: list[str], batch: int) -> np.ndarray:
        ids = self.tokenize(texts)
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        parts = [order[i : i + batch] for i in range(0, len(order), batch)]
        work = [[ids[i] for i in part] for part in parts]
        found = self.pool.map(self.one, work) if self.pool and len(work) > 1 else map(self.runs[0], work)
        vectors = None
        for part, rows in zip(parts, found, strict=True):
            if vectors is None:
                vectors = np.empty((len(texts), rows.shape[1]), np.float32)
            vectors[part] = rows
        return vectors

    def one(self, batch: list[list[int]]) -> np.ndarray:
        run = self.idle.pop()  # never empty: as many as the pool has threads
        try:
            return run(batch)
        finally:
            self.idle.append(run)


class OnnxRuntime(Batched):
    packages = ("onnxruntime", "tokenizers", "numpy")

    def open(self, file: Path, source: Path, threads: int, streams: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads // streams
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

        def run(batch):
            ids, mask = padded(batch)
            return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]

        return [run] * streams


class OpenVino(Batched):
    packages = ("openvino", "tokenizers", "numpy")

    def settings(self, precision: str) -> dict:
        """int8 and w8 keep the floating point that OpenVINO prefers here; 128 is w8's fastest group."""
        return {
            "fp32": {"INFERENCE_PRECISION_HINT": "f32"},
            "bf16": {"INFERENCE_PRECISION_HINT": "bf16"},
            "int8": {},
            "w8": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "128"},
        }[precision]

    def open(self, file: Path, source: Path, threads: int, streams: int):
        import openvino

        compiled = openvino.Core().compile_model(
            file,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": streams,
                "PERFORMANCE_HINT": "THROUGHPUT" if streams > 1 else "LATENCY",
                **self.settings(sys.argv[1].split()[1]),
            },
        )

        def request():
            infer = compiled.create_infer_request()

            def run(batch):
                ids, mask = padded(batch)
                infer.infer({"input_ids": ids, "attention_mask": mask}, share_inputs=True, share_outputs=True)
                return infer.get_output_tensor(0).data.copy()  # the next batch overwrites it

            return run

        return [request() for _ in range(streams)]


class CTranslate2(Batched):
    packages = ("ctranslate2", "tokenizers", "numpy")

    def open(self, file: Path, source: Path, threads: int, streams: int):
        import ctranslate2

        encoder = ctranslate2.Encoder(
            str(file.parent),
            device="cpu",
            compute_type="int8",
            inter_threads=streams,
            intra_threads=threads // streams,
        )
        cls = pooling_mode(source) == "cls"
        normalize = "Normalize" in (source / "modules.json").read_text()

        def run(batch):
            hidden = np.asarray(encoder.forward_batch(batch).last_hidden_state)
            if cls:
                vectors = hidden[:, 0]
            else:
                lengths = np.array([len(ids) for ids in batch])
                if lengths.min() < hidden.shape[1]:
                    mask = np.arange(hidden.shape[1]) < lengths[:, None]
                    vectors = np.matmul(mask[:, None].astype(np.float32), hidden)[:, 0]
                else:
                    vectors = hidden.sum(1)
                vectors /= lengths[:, None]
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if normalize else vectors

        return [run] * streams


class SentenceTransformers:
    packages = ("sentence-transformers", "torch", "transformers", "tokenizers", "numpy")

    def __init__(self, file: Path, source: Path, threads: int, streams: int):
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(threads // streams)
        self.model = SentenceTransformer(str(source), device="cpu")
        self.streams = streams
        self.pool = ThreadPoolExecutor(streams) if streams > 1 else None

    def encode(self, texts: list[str], batch: int) -> np.ndarray:
        return self.model.encode(texts, batch_size=batch, show_progress_bar=False)

    def embed(self, texts: list[str], batch: int) -> np.ndarray:
        if not self.pool or len(texts) < self.streams:
            return self.encode(texts, batch)
        shares = [slice(i, None, self.streams) for i in range(self.streams)]
        vectors = np.empty((len(texts), self.model.get_embedding_dimension()), np.float32)
        for share, rows in zip(
            shares, self.pool.map(lambda s: self.encode(texts[s], batch), shares), strict=True
        ):
            vectors[share] = rows
        return vectors


class LlamaCpp:
    """Has its own tokenizer. BATCH texts share a pass as far as it goes; what it cuts lacks the end mark."""

    packages = ("llama-cpp-python", "numpy")

    def __init__(self, file: Path, source: Path, threads: int, streams: int):
        import llama_cpp

        pooling = {"mean": llama_cpp.LLAMA_POOLING_TYPE_MEAN, "cls": llama_cpp.LLAMA_POOLING_TYPE_CLS}
        tokens = max_tokens(source)
        self.models = [
            llama_cpp.Llama(
                str(file),
                embedding=True,
                pooling_type=pooling[pooling_mode(source)],
                n_ctx=tokens,
                n_batch=tokens,
                n_ubatch=tokens,
                n_threads=threads // streams,
                n_threads_batch=threads // streams,
                verbose=False,
            )
            for _ in range(streams)
        ]
        self.pool = ThreadPoolExecutor(streams) if streams > 1 else None

    def encode(self, model, texts: list[str], batch: int) -> np.ndarray:
        rows = []
        for i in range(0, len(texts), batch):
            rows += model.embed(texts[i : i + batch], normalize=True, truncate=True)
        return np.array(rows, np.float32)

    def embed(self, texts: list[str], batch: int) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        if not self.pool or len(texts) < len(self.models):
            vectors = self.encode(self.models[0], [texts[i] for i in order], batch)
            return vectors[np.argsort(order)]
        shares = [order[i :: len(self.models)] for i in range(len(self.models))]
        work = [[texts[i] for i in share] for share in shares]
        found = self.pool.map(self.encode, self.models, work, [batch] * len(work))
        return np.concatenate(list(found))[np.argsort(np.concatenate(shares))]


KINDS = {
    "sentence-transformers": SentenceTransformers,
    "ONNX": OnnxRuntime,
    "OpenVINO": OpenVino,
    "CTranslate2": CTranslate2,
    "llama.cpp": LlamaCpp,
}


def main(name: str, file: str, source: str, threads: str, mode: str) -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    kind = KINDS[name.split()[0]]
    model, texts, vectors = None, [], None
    for line in sys.stdin:
        request, _, argument = line.strip().partition(" ")
        answer = ""
        if request == "load":
            model = kind(Path(file), Path(source), int(threads), int(threads) if mode == "streams" else 1)
        elif request == "texts":
            texts = Path(argument).read_text().splitlines()
        elif request == "all":
            before = time.perf_counter()
            vectors = model.embed(texts, int(argument))
            answer = time.perf_counter() - before
        elif request == "each":
            times, rows = [], []
            for text in texts:
                before = time.perf_counter()
                found = model.embed([text], 1)
                times.append(time.perf_counter() - before)
                rows.append(np.array(found))
            vectors = np.concatenate(rows)
            answer = " ".join(f"{seconds:.7f}" for seconds in times)
        elif request == "save":
            vectors.astype(np.float32).tofile(argument)
        elif request == "versions":
            answer = json.dumps({package: version(package) for package in kind.packages})
        print("ok", answer, file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
