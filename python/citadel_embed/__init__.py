"""citadel_embed from Python: the C library through ctypes, vectors as numpy arrays.

    import citadel_embed

    with citadel_embed.Engine() as engine, engine.load("all-MiniLM-L6-v2") as model:
        vectors = model.embed(["How do I reset my password?", "Forgot the password: what now?"])

The rules (threads, ownership, errors) are those of ``citadel_embed.h``. ctypes releases the interpreter
lock during a call, so Python threads embed in parallel. The shared library is found through the
environment variable CITADEL_EMBED_LIBRARY, else by the system's loader as ``libcitadel_embed.so.0``; it is
opened by the first Engine, so that importing this package needs nothing but numpy.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
from ctypes import (
    c_char,
    c_char_p,
    c_double,
    c_int32,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np

__all__ = ["CitadelError", "Engine", "Model", "TextResult", "Tokens", "version"]

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8", "int8-accurate")
BACKENDS = ("auto", "native", "torch")
NORMALIZE = ("model", "always", "never")
CAPACITY = 12  # CITADEL_E_CAPACITY
LIMITS = (None, "model", "option")


class _Error(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("code", c_int32),
        ("native_code", c_int32),
        ("message", c_char * 496),
    ]


class _EngineOptions(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint32),
        ("threads", c_uint32),
        ("model_path", c_char_p),
        ("torch_backend", c_char_p),
        ("log", c_void_p),
        ("log_user", c_void_p),
        ("log_level", c_int32),
        ("cache_models", c_uint32),
        ("batch_tokens", c_uint32),
        ("optimization", c_int32),
        ("compile", c_int32),
        ("mixed_precision", c_int32),
        ("cache_bytes", c_uint64),
        ("cache_idle_seconds", c_uint32),
        ("precision", c_int32),
        ("config_file", c_char_p),
        ("warmup", c_int32),
        ("warmup_iterations", c_uint32),
        ("backend", c_int32),
        ("prepared_weights", c_int32),
        ("isa", c_char_p),
        ("prepared_path", c_char_p),
    ]


class _LoadOptions(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint32),
        ("precision", c_int32),
        ("require_id", c_char_p),
        ("timeout_ms", c_uint32),
        ("reserved0", c_uint32),
    ]


class _Estimate(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("weight_bytes", c_uint64),
        ("resident_bytes", c_uint64),
        ("peak_bytes", c_uint64),
        ("form", c_char * 24),
        ("precision", c_int32),
        ("dim", c_uint32),
    ]


class _UnloadReport(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("models", c_uint64),
        ("model_bytes", c_uint64),
        ("cache_bytes_before", c_uint64),
        ("cache_bytes_after", c_uint64),
        ("process_bytes_before", c_uint64),
        ("process_bytes_after", c_uint64),
    ]


class _WarmupPlan(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("lengths", ctypes.POINTER(c_uint32)),
        ("length_count", c_size_t),
        ("batch_sizes", ctypes.POINTER(c_uint32)),
        ("batch_size_count", c_size_t),
        ("iterations", c_uint32),
        ("time_budget_ms", c_uint32),
        ("cancel", c_void_p),
        ("cancel_user", c_void_p),
    ]


class _WarmupReport(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("seconds", c_double),
        ("first_seconds", c_double),
        ("p50_seconds", c_double),
        ("p95_seconds", c_double),
        ("passes", c_uint64),
        ("peak_bytes", c_uint64),
        ("cancelled", c_uint32),
        ("timed_out", c_uint32),
    ]


class _Histogram(ctypes.Structure):
    _fields_ = [
        ("count", c_uint64),
        ("sum", c_double),
        ("buckets", c_uint64 * 20),
    ]


class _Metrics(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("hits", c_uint64),
        ("misses", c_uint64),
        ("joins", c_uint64),
        ("evictions_count", c_uint64),
        ("evictions_bytes", c_uint64),
        ("evictions_idle", c_uint64),
        ("loads", c_uint64),
        ("load_failures", c_uint64),
        ("fallbacks", c_uint64),
        ("nan_recoveries", c_uint64),
        ("models", c_uint64),
        ("models_limit", c_uint64),
        ("models_pinned", c_uint64),
        ("bytes", c_uint64),
        ("bytes_limit", c_uint64),
        ("process_bytes", c_uint64),
        ("requests_ok", c_uint64),
        ("failed_invalid", c_uint64),
        ("failed_text", c_uint64),
        ("failed_not_finite", c_uint64),
        ("failed_model", c_uint64),
        ("failed_memory", c_uint64),
        ("failed_busy", c_uint64),
        ("failed_backend", c_uint64),
        ("failed_internal", c_uint64),
        ("texts", c_uint64),
        ("tokens", c_uint64),
        ("tokenize", _Histogram),
        ("queue", _Histogram),
        ("compute", _Histogram),
        ("total", _Histogram),
        ("batch_texts", _Histogram),
        ("batch_tokens", _Histogram),
        ("load_seconds", c_double),
        ("warmup_seconds", c_double),
        ("warmups", c_uint64),
    ]


class _Info(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("name", c_char_p),
        ("path", c_char_p),
        ("id", c_char_p),
        ("architecture", c_char_p),
        ("backend", c_char_p),
        ("form", c_char_p),
        ("pooling", c_char_p),
        ("layout", c_char_p),
        ("default_prompt", c_char_p),
        ("explain", c_char_p),
        ("dim", c_uint32),
        ("max_tokens", c_uint32),
        ("vocab_size", c_uint32),
        ("precision", c_int32),
        ("normalize", c_uint32),
        ("prompts", c_uint32),
        ("weight_bytes", c_uint64),
        ("load_seconds", c_double),
        ("tokenizer_seconds", c_double),
        ("weights_seconds", c_double),
        ("backend_seconds", c_double),
        ("check_seconds", c_double),
        ("golden_error", c_double),
        ("golden_cosine", c_double),
        ("min_cosine", c_double),
        ("golden_texts", c_uint32),
        ("fallbacks", c_uint32),
        ("warmup_seconds", c_double),
        ("mean_cosine", c_double),
        ("neighbour_overlap", c_double),
    ]


class _Timings(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("tokenize", c_double),
        ("queue", c_double),
        ("compute", c_double),
        ("output", c_double),
        ("total", c_double),
        ("tokens", c_uint64),
        ("batches", c_uint64),
    ]


class _EmbedOptions(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint32),
        ("precision", c_int32),
        ("normalize", c_int32),
        ("truncate_dim", c_uint32),
        ("row_stride", c_size_t),
        ("max_tokens", c_uint32),
        ("reserved0", c_uint32),
        ("prompt_name", c_char_p),
        ("prompt", c_char_p),
        ("timings", ctypes.POINTER(_Timings)),
    ]


class _TextResult(ctypes.Structure):
    _fields_ = [
        ("status", c_int32),
        ("tokens", c_uint32),
        ("truncated", c_uint32),
        ("limit", c_uint32),
        ("reserved", c_uint32 * 4),
    ]


class _TokenizeOptions(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint32),
        ("max_tokens", c_uint32),
        ("prompt_name", c_char_p),
        ("prompt", c_char_p),
        ("pair", c_char_p),
        ("pair_length", c_size_t),
    ]


class _Span(ctypes.Structure):
    _fields_ = [
        ("start", c_size_t),
        ("end", c_size_t),
    ]


class _Tokens(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("ids", c_void_p),
        ("offsets", c_void_p),
        ("type_ids", c_void_p),
        ("capacity", c_size_t),
        ("count", c_size_t),
        ("truncated", c_uint32),
        ("limit", c_uint32),
    ]


_CancelFunction = ctypes.CFUNCTYPE(c_int32, c_void_p)


class _Diagnostics(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("backend", c_char * 64),
        ("backend_error", c_char * 496),
        ("cpu", c_char * 96),
        ("device", c_char * 96),
        ("threads", c_uint32),
        ("cpus", c_uint32),
        ("mixed_precision", c_uint32),
        ("compiled", c_uint32),
        ("cuda_available", c_uint32),
        ("cuda_devices", c_uint32),
        ("cuda_major", c_uint32),
        ("cuda_minor", c_uint32),
        ("process_bytes", c_uint64),
        ("device_allocated", c_uint64),
        ("device_reserved", c_uint64),
        ("native", c_char * 32),
    ]


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    error = ctypes.POINTER(_Error)
    texts = (ctypes.POINTER(c_char_p), ctypes.POINTER(c_size_t), c_size_t)
    output = (c_void_p, c_size_t, c_void_p, error)
    text = (c_char_p, c_size_t, ctypes.POINTER(c_size_t), error)
    signatures = {
        "citadel_version": (c_char_p, ()),
        "citadel_build_info": (c_char_p, ()),
        "citadel_status_name": (c_char_p, (c_int32,)),
        "citadel_engine_create": (c_int32, (c_void_p, ctypes.POINTER(c_void_p), error)),
        "citadel_engine_destroy": (None, (c_void_p,)),
        "citadel_model_load": (
            c_int32,
            (c_void_p, c_char_p, c_void_p, ctypes.POINTER(c_void_p), error),
        ),
        "citadel_model_unload": (None, (c_void_p,)),
        "citadel_model_estimate": (
            c_int32,
            (c_void_p, c_char_p, c_void_p, ctypes.POINTER(_Estimate), error),
        ),
        "citadel_model_pin": (c_int32, (c_void_p, c_char_p, c_void_p, c_uint32, error)),
        "citadel_unload": (c_int32, (c_void_p, c_char_p, ctypes.POINTER(_UnloadReport), error)),
        "citadel_model_warmup": (
            c_int32,
            (c_void_p, ctypes.POINTER(_WarmupPlan), ctypes.POINTER(_WarmupReport), error),
        ),
        "citadel_metrics_snapshot": (c_int32, (c_void_p, ctypes.POINTER(_Metrics), error)),
        "citadel_metrics_text": (c_int32, (c_void_p, *text)),
        "citadel_config_text": (c_int32, (c_void_p, *text)),
        "citadel_model_names": (c_int32, (c_void_p, c_uint32, *text)),
        "citadel_model_forms": (c_int32, (c_void_p, c_char_p, c_void_p, *text)),
        "citadel_diagnose": (c_int32, (c_void_p, ctypes.POINTER(_Diagnostics), error)),
        "citadel_model_dim": (c_size_t, (c_void_p,)),
        "citadel_model_info": (c_int32, (c_void_p, ctypes.POINTER(_Info), error)),
        "citadel_model_prompt": (
            c_int32,
            (c_void_p, c_uint32, ctypes.POINTER(c_char_p), ctypes.POINTER(c_char_p), error),
        ),
        "citadel_model_embed": (c_int32, (c_void_p, *texts, c_void_p, *output)),
        "citadel_embed": (c_int32, (c_void_p, c_char_p, *texts, c_void_p, *output)),
        "citadel_tokenize": (
            c_int32,
            (c_void_p, c_char_p, c_size_t, c_void_p, ctypes.POINTER(_Tokens), error),
        ),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


_opened: ctypes.CDLL | None = None


def _library() -> ctypes.CDLL:
    global _opened
    if _opened is None:
        path = os.environ.get("CITADEL_EMBED_LIBRARY", "libcitadel_embed.so.0")
        _opened = _declare(ctypes.CDLL(path))
    return _opened


def version() -> str:
    """Version of the C library."""
    return _library().citadel_version().decode()


class CitadelError(Exception):
    """A call of the C library failed. ``status`` is the name of its citadel_status."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


def _check(status: int, error: _Error) -> None:
    if status:
        name = _library().citadel_status_name(status).decode()
        raise CitadelError(name, error.message.decode() or name)


def _new_error() -> _Error:
    return _Error(size=ctypes.sizeof(_Error))


def _utf8(text: str | os.PathLike | None) -> bytes | None:
    return None if text is None else os.fspath(text).encode()


def _text_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def _choice(name: str, value: str, choices: tuple[str, ...]) -> int:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
    return choices.index(value)


def _switch(name: str, value: bool | None) -> int:
    """A CITADEL_SWITCH_*; None leaves it to the environment. Any text is true in Python, "off" too."""
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, expected True, False or None")
    return 0 if value is None else 1 if value else -1


def _uint(name: str, value: int, bits: int) -> int:
    """ctypes would cut a number that does not fit to one that means something else."""
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name} is {value}, expected 0 to {(1 << bits) - 1}")
    return value


def _uint32(name: str, value: int) -> int:
    return _uint(name, value, 32)


def _load_options(precision: str, require_id: str | None, timeout_ms: int) -> _LoadOptions:
    return _LoadOptions(
        size=ctypes.sizeof(_LoadOptions),
        precision=_choice("precision", precision, PRECISIONS),
        require_id=_utf8(require_id),
        timeout_ms=_uint32("timeout_ms", timeout_ms),
    )


def _plain(value):
    return (
        {"count": value.count, "sum": value.sum, "buckets": list(value.buckets)}
        if isinstance(value, _Histogram)
        else value
    )


def _figures(struct: ctypes.Structure) -> dict:
    return {name: _plain(getattr(struct, name)) for name, _ in struct._fields_ if name != "size"}


def _array(name: str, values: Sequence[int] | None):
    """A C array and its length; None is NULL."""
    if values is None:
        return None, 0
    return (c_uint32 * len(values))(*(_uint32(name, value) for value in values)), len(values)


@dataclass(frozen=True)
class TextResult:
    """What became of one text: tokens computed, and whether and by which limit it was cut."""

    status: str
    tokens: int
    truncated: bool
    limit: str | None


@dataclass(frozen=True)
class Tokens:
    """Tokens and where they come from: ``(start, end)`` in bytes of the text's UTF-8, or of the pair's.

    ::

        data = text.encode()
        tokens = model.tokenize(text, offsets=True)
        pieces = [data[start:end].decode() for start, end in tokens.offsets]

    Special tokens and tokens of the prompt have ``(0, 0)``.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    type_ids: list[int]
    truncated: bool


class Engine:
    """Threads and loaded models. Close it, or use it as a context manager."""

    def __init__(
        self,
        *,
        threads: int = 0,
        model_path: str | os.PathLike | None = None,
        torch_backend: str | os.PathLike | None = None,
        cache_models: int = 0,
        batch_tokens: int = 0,
        optimization: bool | None = None,
        compile: bool | None = None,
        mixed_precision: bool | None = None,
        log_level: int = 0,
        cache_bytes: int = 0,
        cache_idle_seconds: int = 0,
        precision: str = "auto",
        config_file: str | os.PathLike | None = None,
        warmup: bool | None = None,
        warmup_iterations: int = 0,
        backend: str = "auto",
        prepared_weights: bool | None = None,
        isa: str | None = None,
        prepared_path: str | os.PathLike | None = None,
    ) -> None:
        self._handle = c_void_p()
        self._dims: dict = {}
        options = _EngineOptions(
            size=ctypes.sizeof(_EngineOptions),
            threads=_uint32("threads", threads),
            model_path=_utf8(model_path),
            torch_backend=_utf8(torch_backend),
            cache_models=_uint32("cache_models", cache_models),
            batch_tokens=_uint32("batch_tokens", batch_tokens),
            optimization=_switch("optimization", optimization),
            compile=_switch("compile", compile),
            mixed_precision=_switch("mixed_precision", mixed_precision),
            log_level=log_level,
            cache_bytes=_uint("cache_bytes", cache_bytes, 64),
            cache_idle_seconds=_uint32("cache_idle_seconds", cache_idle_seconds),
            precision=_choice("precision", precision, PRECISIONS),
            config_file=_utf8(config_file),
            warmup=_switch("warmup", warmup),
            warmup_iterations=_uint32("warmup_iterations", warmup_iterations),
            backend=_choice("backend", backend, BACKENDS),
            prepared_weights=_switch("prepared_weights", prepared_weights),
            isa=_utf8(isa),
            prepared_path=_utf8(prepared_path),
        )
        error = _new_error()
        _check(
            _library().citadel_engine_create(ctypes.byref(options), ctypes.byref(self._handle), error),
            error,
        )

    def load(
        self,
        name: str | os.PathLike,
        *,
        precision: str = "auto",
        require_id: str | None = None,
        timeout_ms: int = 0,
    ) -> Model:
        """Load a model by name or path."""
        return Model(self, name, _load_options(precision, require_id, timeout_ms))

    def estimate(self, name: str | os.PathLike, *, precision: str = "auto") -> dict:
        """What a model would take of memory, without loading it: the fields of ``citadel_estimate``."""
        options = _load_options(precision, None, 0)
        estimate = _Estimate(size=ctypes.sizeof(_Estimate))
        self._call("citadel_model_estimate", _utf8(name), ctypes.byref(options), ctypes.byref(estimate))
        return {
            "weight_bytes": estimate.weight_bytes,
            "resident_bytes": estimate.resident_bytes,
            "peak_bytes": estimate.peak_bytes,
            "form": estimate.form.decode(),
            "precision": PRECISIONS[estimate.precision],
            "dim": estimate.dim,
        }

    def config(self) -> str:
        """What the engine runs with, a line for each value, with its origin."""
        return self._text("citadel_config_text")

    def model_names(self, *, configured: bool = False) -> list[str]:
        """Models of the configuration file and, unless ``configured``, of the model path."""
        return self._text("citadel_model_names", int(configured)).splitlines()

    def model_forms(self, name: str | os.PathLike, *, precision: str = "auto") -> list[str]:
        """The forms of a model, and why a load would take them or not."""
        options = _load_options(precision, None, 0)
        return self._text("citadel_model_forms", _utf8(name), ctypes.byref(options)).splitlines()

    def diagnose(self) -> dict:
        """What there is to compute with: the fields of ``citadel_diagnostics``."""
        found = _Diagnostics(size=ctypes.sizeof(_Diagnostics))
        self._call("citadel_diagnose", ctypes.byref(found))
        return {k: v.decode() if isinstance(v, bytes) else v for k, v in _figures(found).items()}

    def _text(self, function: str, *arguments) -> str:
        length = c_size_t()
        self._call(function, *arguments, None, 0, ctypes.byref(length))
        buffer = ctypes.create_string_buffer(length.value + 1)
        self._call(function, *arguments, buffer, len(buffer), ctypes.byref(length))
        return buffer.value.decode()

    def embed(self, name: str | os.PathLike, texts: Sequence[str | bytes], **options) -> np.ndarray:
        """Vectors by the model of that name, which is loaded if need be; as Model.embed else.

        The model stays in the engine's cache, where others that are asked for may take its place.
        """
        known = name in self._dims
        if not known:
            self._dims[name] = self.estimate(name, precision=options.get("precision", "auto"))["dim"]
        call = functools.partial(_library().citadel_embed, self._handle, _utf8(name))
        vectors, _, status, error = _embed(call, self._dims[name], texts, None, **options)
        # Another pack may have taken the place of the one whose dim was looked up.
        if known and (status == CAPACITY or (not status and np.isnan(vectors[:, -1:]).any())):
            del self._dims[name]
            return self.embed(name, texts, **options)
        _check(status, error)
        return vectors

    def pin(
        self,
        name: str | os.PathLike,
        pinned: bool = True,
        *,
        precision: str = "auto",
        timeout_ms: int = 0,
    ) -> None:
        """Load a model and keep it in memory; with ``pinned=False`` let it take its turn again."""
        options = _load_options(precision, None, timeout_ms)
        self._call("citadel_model_pin", _utf8(name), ctypes.byref(options), bool(pinned))

    def unload(self, name: str | os.PathLike) -> dict[str, int]:
        """Free a model that no Model holds, once running calls have ended: ``citadel_unload_report``."""
        report = _UnloadReport(size=ctypes.sizeof(_UnloadReport))
        self._call("citadel_unload", _utf8(name), ctypes.byref(report))
        return _figures(report)

    def metrics(self) -> dict:
        """What the engine has counted, and what is in memory now: ``citadel_metrics``.

        A histogram is a dict of ``count``, ``sum`` and ``buckets``.
        """
        metrics = _Metrics(size=ctypes.sizeof(_Metrics))
        self._call("citadel_metrics_snapshot", ctypes.byref(metrics))
        return _figures(metrics)

    def metrics_text(self) -> str:
        """The same for Prometheus."""
        capacity, length = 1 << 14, c_size_t()
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            try:
                self._call("citadel_metrics_text", buffer, capacity, ctypes.byref(length))
                return buffer.value.decode()
            except CitadelError as failure:
                if failure.status != "CITADEL_E_CAPACITY":
                    raise
                capacity = 2 * length.value

    def _call(self, function: str, *arguments) -> None:
        error = _new_error()
        _check(getattr(_library(), function)(self._handle, *arguments, error), error)

    def close(self) -> None:
        if self._handle:
            _library().citadel_engine_destroy(self._handle)
            self._handle = c_void_p()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()


def _embed(
    call: Callable[..., int],
    dim: int,
    texts: Sequence[str | bytes],
    results,
    *,
    precision: str = "auto",
    normalize: str = "model",
    truncate_dim: int = 0,
    max_tokens: int = 0,
    prompt_name: str | None = None,
    prompt: str | None = None,
    timings: dict | None = None,
):
    """Let ``call`` embed, which is a function of the library but for what says which model."""
    if isinstance(texts, (str, bytes)):
        raise TypeError("texts is one text: give a list of texts")
    encoded = [_text_bytes(text) for text in texts]
    count = len(encoded)
    pointers = (c_char_p * count)(*encoded)
    lengths = (c_size_t * count)(*map(len, encoded))
    options = _EmbedOptions(
        size=ctypes.sizeof(_EmbedOptions),
        precision=_choice("precision", precision, PRECISIONS),
        normalize=_choice("normalize", normalize, NORMALIZE),
        truncate_dim=_uint32("truncate_dim", truncate_dim),
        max_tokens=_uint32("max_tokens", max_tokens),
        prompt_name=_utf8(prompt_name),
        prompt=_utf8(prompt),
    )
    spent = _Timings(size=ctypes.sizeof(_Timings))
    if timings is not None:
        options.timings = ctypes.pointer(spent)
    vectors = np.empty((count, truncate_dim or dim), dtype=np.float32)
    vectors[:, -1:] = np.nan  # stays where the rows come shorter: Engine.embed
    error = _new_error()
    status = call(
        pointers,
        lengths,
        count,
        ctypes.byref(options),
        vectors.ctypes.data_as(c_void_p),
        vectors.size,
        results,
        error,
    )
    if timings is not None:
        timings.update(_figures(spent))
    return vectors, results, status, error


class Model:
    """A loaded model. Close it, or use it as a context manager; it may outlive its engine."""

    def __init__(self, engine: Engine, name: str | os.PathLike, options: _LoadOptions) -> None:
        self._handle = c_void_p()
        error = _new_error()
        status = _library().citadel_model_load(
            engine._handle,
            _utf8(name),
            ctypes.byref(options),
            ctypes.byref(self._handle),
            error,
        )
        _check(status, error)
        self.dim: int = _library().citadel_model_dim(self._handle)

    def _embed_call(self) -> Callable[..., int]:
        return functools.partial(_library().citadel_model_embed, self._handle)

    def embed(self, texts: Sequence[str | bytes], **options) -> np.ndarray:
        """Vectors of ``texts`` as float32 ``[len(texts), dim]``.

        Options: ``precision``, ``normalize`` ("model", "always", "never"), ``truncate_dim``, ``max_tokens``,
        ``prompt_name``, ``prompt``, ``timings`` (a dict, which gets the fields of ``citadel_timings``). Bytes
        are taken as UTF-8 as they are. Any bad text raises.
        """
        vectors, _, status, error = _embed(self._embed_call(), self.dim, texts, None, **options)
        _check(status, error)
        return vectors

    def embed_results(self, texts: Sequence[str | bytes], **options) -> tuple[np.ndarray, list[TextResult]]:
        """As ``embed``, with a TextResult for each: a bad text has its status there and a row of zeros."""
        results = (_TextResult * len(texts))()
        vectors, results, status, error = _embed(self._embed_call(), self.dim, texts, results, **options)
        name = _library().citadel_status_name
        found = [
            TextResult(name(r.status).decode(), r.tokens, bool(r.truncated), LIMITS[r.limit]) for r in results
        ]
        if status and all(r.status for r in results):
            _check(status, error)
        return vectors, found

    def warmup(
        self,
        *,
        lengths: Sequence[int] | None = None,
        batch_sizes: Sequence[int] | None = None,
        iterations: int = 0,
        time_budget_ms: int = 0,
        cancel: Callable[[], bool] | None = None,
    ) -> dict:
        """Compute before the first caller comes: ``citadel_warmup_plan`` in, ``citadel_warmup_report`` out.

        ``cancel`` is asked before every pass; what it raises ends the warm-up and is raised here.
        """
        raised: list[BaseException] = []

        def ask(_) -> int:
            try:
                return bool(cancel and cancel())
            except BaseException as failure:
                raised.append(failure)
                return 1

        callback = _CancelFunction(ask)
        plan = _WarmupPlan(
            size=ctypes.sizeof(_WarmupPlan),
            iterations=_uint32("iterations", iterations),
            time_budget_ms=_uint32("time_budget_ms", time_budget_ms),
            cancel=ctypes.cast(callback, c_void_p),
        )
        plan.lengths, plan.length_count = _array("lengths", lengths)
        plan.batch_sizes, plan.batch_size_count = _array("batch_sizes", batch_sizes)
        report = _WarmupReport(size=ctypes.sizeof(_WarmupReport))
        error = _new_error()
        status = _library().citadel_model_warmup(self._handle, plan, report, error)
        if raised:
            raise raised[0]
        _check(status, error)
        return _figures(report)

    @overload
    def tokenize(
        self,
        text: str | bytes,
        *,
        offsets: Literal[False] = ...,
        pair: str | bytes | None = ...,
        specials: bool = ...,
        truncation: bool = ...,
        truncate_left: bool = ...,
        max_tokens: int = ...,
        prompt_name: str | None = ...,
        prompt: str | None = ...,
    ) -> list[int]: ...

    @overload
    def tokenize(
        self,
        text: str | bytes,
        *,
        offsets: Literal[True],
        pair: str | bytes | None = ...,
        specials: bool = ...,
        truncation: bool = ...,
        truncate_left: bool = ...,
        max_tokens: int = ...,
        prompt_name: str | None = ...,
        prompt: str | None = ...,
    ) -> Tokens: ...

    @overload
    def tokenize(
        self,
        text: str | bytes,
        *,
        offsets: bool,
        pair: str | bytes | None = ...,
        specials: bool = ...,
        truncation: bool = ...,
        truncate_left: bool = ...,
        max_tokens: int = ...,
        prompt_name: str | None = ...,
        prompt: str | None = ...,
    ) -> list[int] | Tokens: ...

    def tokenize(
        self,
        text: str | bytes,
        *,
        offsets: bool = False,
        pair: str | bytes | None = None,
        specials: bool = True,
        truncation: bool = True,
        truncate_left: bool = False,
        max_tokens: int = 0,
        prompt_name: str | None = None,
        prompt: str | None = None,
    ) -> list[int] | Tokens:
        """Token ids of one text, as ``embed`` would compute them, or of a text and its ``pair``.

        With ``offsets`` a Tokens, which also has byte offsets, type ids and whether the text was cut.
        """
        data = _text_bytes(text)
        second = None if pair is None else _text_bytes(pair)
        options = _TokenizeOptions(
            size=ctypes.sizeof(_TokenizeOptions),
            flags=(not specials) | (not truncation) << 1 | truncate_left << 2,
            max_tokens=_uint32("max_tokens", max_tokens),
            prompt_name=_utf8(prompt_name),
            prompt=_utf8(prompt),
            pair=second,
            pair_length=len(second or b""),
        )
        error = _new_error()
        capacity = len(data) + len(second or b"") + 16  # enough nearly always; else the call says how many
        while True:
            ids, types = np.empty((2, capacity), dtype=np.int32)
            spans = np.empty((capacity, 2), dtype=np.uintp)
            tokens = _Tokens(size=ctypes.sizeof(_Tokens), ids=ids.ctypes.data, capacity=capacity)
            if offsets:
                tokens.offsets, tokens.type_ids = spans.ctypes.data, types.ctypes.data
            status = _library().citadel_tokenize(
                self._handle, data, len(data), ctypes.byref(options), ctypes.byref(tokens), error
            )
            if status == 0 or tokens.count <= capacity:
                break
            capacity = tokens.count
        _check(status, error)
        found = ids[: tokens.count].tolist()
        if not offsets:
            return found
        places = [(start, end) for start, end in spans[: tokens.count].tolist()]
        return Tokens(found, places, types[: tokens.count].tolist(), bool(tokens.truncated))

    def info(self) -> dict:
        """What was loaded: the fields of ``citadel_info``, and the prompts."""
        info = _Info(size=ctypes.sizeof(_Info))
        error = _new_error()
        _check(_library().citadel_model_info(self._handle, ctypes.byref(info), error), error)
        fields = {}
        for name, kind in _Info._fields_:
            value = getattr(info, name)
            fields[name] = value.decode() if kind is c_char_p and value is not None else value
        del fields["size"]
        fields["precision"] = PRECISIONS[info.precision]
        fields["normalize"] = bool(info.normalize)
        fields["prompts"] = dict(self._prompt(i) for i in range(info.prompts))
        return fields

    def _prompt(self, index: int) -> tuple[str, str]:
        name, text, error = c_char_p(), c_char_p(), _new_error()
        _check(_library().citadel_model_prompt(self._handle, index, name, text, error), error)
        return name.value.decode(), text.value.decode()

    def close(self) -> None:
        if self._handle:
            _library().citadel_model_unload(self._handle)
            self._handle = c_void_p()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()


def _check_layout() -> None:
    """The sizes are part of the ABI: a wrong one here would corrupt memory, so it is caught on import."""
    sizes = {
        _Error: 512,
        _EngineOptions: 128,
        _LoadOptions: 32,
        _Estimate: 64,
        _UnloadReport: 56,
        _WarmupPlan: 64,
        _WarmupReport: 64,
        _Histogram: 176,
        _Metrics: 1304,
        _Info: 216,
        _Timings: 64,
        _EmbedOptions: 64,
        _TextResult: 32,
        _TokenizeOptions: 48,
        _Span: 16,
        _Tokens: 56,
        _Diagnostics: 848,
    }
    for struct, size in sizes.items():
        if ctypes.sizeof(struct) != size:
            raise ImportError(f"{struct.__name__} is {ctypes.sizeof(struct)} bytes, expected {size}")


_check_layout()
