"""The compiled form: a shared object that AOTInductor makes of the packed graph, torch.compile for C++."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
import torch._inductor

from . import ExportError, attention, packed, reason
from .pack import write_file
from .scratch import Scratch

# Up to here the weights go into the shared object, in the layout that its kernels like best, and are copied
# at load; beyond, it multiplies the mapped ones as they are.
INSIDE_MOST = 512 << 20


@dataclass(frozen=True)
class Level:
    """What the code may use of a CPU: a level of the x86-64 psABI, and not all that this machine has."""

    march: str
    bits: int


LEVELS = {"avx512": Level("x86-64-v4", 512), "avx2": Level("x86-64-v3", 256)}

# Macros by which the compiler says what it may use, and the names that /proc/cpuinfo has for them.
FEATURES = {
    "SSE3": "pni",
    "SSSE3": "ssse3",
    "SSE4_1": "sse4_1",
    "SSE4_2": "sse4_2",
    "POPCNT": "popcnt",
    "AVX": "avx",
    "F16C": "f16c",
    "FMA": "fma",
    "AVX2": "avx2",
    "BMI": "bmi1",
    "BMI2": "bmi2",
    "LZCNT": "abm",
    "MOVBE": "movbe",
    "AVX512F": "avx512f",
    "AVX512CD": "avx512cd",
    "AVX512BW": "avx512bw",
    "AVX512DQ": "avx512dq",
    "AVX512VL": "avx512vl",
}

# Stands in front of the compiler. AOTInductor asks for all that this machine has, for libtorch.so, which
# would bring CUDA in, and for a path of this machine to find it; and leaves paths in messages.
WRAPPER = """#!/bin/sh
for argument; do
  shift
  case $argument in
  -march=native) argument=-march={march} ;;
  -mavx512bf16|-mavx512vnni|-mamx-*|-ltorch|-Wl,-rpath*) continue ;;
  -shared) set -- "$@" -s ;;
  esac
  set -- "$@" "$argument"
done
export TMPDIR={folder}
exec {compiler} "$@" -ffile-prefix-map={folder}=. -ffile-prefix-map={torch}=torch
"""


@dataclass(frozen=True)
class Compiled:
    """The files of a compiled form, as the manifest describes them."""

    graph: str
    externs: str
    isa: list[str]
    tensors_inside: bool
    files: dict


def level(asked: str | None) -> str:
    """The level that was asked for, else the highest; this machine must have it to compare the form."""
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in ("AVX512", "AVX2"):
        raise ExportError(f"a compiled form needs a CPU with AVX2, this one has {capability}")
    if asked == "avx512" and capability == "AVX2":
        raise ExportError("this CPU has no AVX-512, so that a form for it could not be compared")
    return asked or capability.lower()


def _write_wrapper(folder: Path, level: Level) -> Path:
    wrapper = folder / "c++"
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise ExportError(f"there is no C++ compiler '{os.environ.get('CXX', 'g++')}'")
    torch_folder = Path(torch.__file__).parent
    wrapper.write_text(
        WRAPPER.format(
            march=level.march,
            compiler=shlex.quote(compiler),
            folder=shlex.quote(str(folder)),
            torch=shlex.quote(str(torch_folder)),
        )
    )
    wrapper.chmod(stat.S_IRWXU)
    return wrapper


def _features(wrapper: Path) -> list[str]:
    """What a CPU must have to run what ``wrapper`` compiles."""
    command = [wrapper, "-march=native", "-dM", "-E", "-x", "c++", os.devnull]
    macros = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    defined = {line.split()[1].strip("_") for line in macros.splitlines()}
    return [name for macro, name in FEATURES.items() if macro in defined]


def _settings(wrapper: Path, level: Level, inside: bool) -> dict:
    return {
        "cpp.cxx": (None, str(wrapper)),
        "cpp.simdlen": level.bits,
        "cpp.dynamic_threads": True,  # else the number of threads of this moment is compiled in
        "aot_inductor.precompile_headers": False,  # half a gigabyte, which outside our folder would stay
        "compile_threads": 1,
        "freezing": inside,
        "aot_inductor.package_constants_in_so": inside,
    }


def _package(graph: torch.nn.Module, sequences: list[list[int]], folder: Path, settings: dict) -> Path:
    tokens = torch.export.Dim("tokens", min=2)
    texts_and_one = torch.export.Dim("texts_and_one", min=3)
    shapes = ({0: tokens}, {0: tokens}, {0: texts_and_one})
    # In this order: leaving inference mode turns gradients on, and then nothing is frozen.
    with torch.inference_mode(False), torch.no_grad():
        program = torch.export.export(graph, packed.pack(sequences), dynamic_shapes=shapes, strict=False)
        path = torch._inductor.aoti_compile_and_package(
            program, package_path=str(folder / "graph.pt2"), inductor_configs=settings
        )
    return Path(path)


def _only(names: list[str], ending: str) -> str:
    found = [name for name in names if name.endswith(ending)]
    if len(found) != 1:
        raise ExportError(f"the package of AOTInductor has {len(found)} files *{ending}, expected one")
    return found[0]


def _compile(graph, sequences: list[list[int]], level: Level, inside: bool) -> tuple[bytes, bytes, list[str]]:
    """Shared object, the list of operators that it calls, and the CPU features that it needs."""
    temporary = tempfile.gettempdir()
    if " " in temporary:
        raise ExportError(
            f"AOTInductor cannot work in '{temporary}', for its space: TMPDIR names another place"
        )
    with Scratch(Path(temporary), "citadel-compile-") as folder:
        wrapper = _write_wrapper(folder, level)
        cache = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "cache")}
        with mock.patch.dict(os.environ, cache):
            package = _package(graph, sequences, folder, _settings(wrapper, level, inside))
        with zipfile.ZipFile(package) as archive:
            names = archive.namelist()
            library = archive.read(_only(names, ".wrapper.so"))
            externs = archive.read(_only(names, ".wrapper.json"))
        return library, externs, _features(wrapper)


def write(
    graph, sequences: list[list[int]], weight_bytes: int, folder: Path, stem: str, level: str
) -> Compiled:
    """Compile ``graph`` for CPUs of ``level``; raises if that cannot be done, whatever the reason."""
    inside = weight_bytes <= INSIDE_MOST
    attention.register()
    try:
        library, externs, isa = _compile(graph, sequences[:8], LEVELS[level], inside)
    except ExportError:
        raise
    except Exception as error:  # of torch.export, of Inductor, or of the compiler
        raise ExportError(f"{type(error).__name__}: {reason(error)}") from error
    # The dynamic loader knows what it has loaded by its name: so a name never stands for two contents.
    path = folder / stem
    entry = write_file(path, library)
    name = f"{stem}.{entry['sha256'][:16]}"
    path.rename(folder / f"{name}.so")
    files = {
        f"{name}.so": entry,
        f"{name}.json": write_file(folder / f"{name}.json", json.dumps(json.loads(externs)).encode()),
    }
    return Compiled(f"{name}.so", f"{name}.json", isa, inside, files)


class Runner:
    """The form as the backend runs it, from the files alone."""

    def __init__(self, folder: Path, compiled: Compiled, tensors: dict[str, torch.Tensor]) -> None:
        self.runner = torch._C._aoti.AOTIModelContainerRunnerCpu(str(folder / compiled.graph), 1)
        if not compiled.tensors_inside:
            names = self.runner.get_constant_names_to_original_fqns()
            constants = {constant: tensors[name] for constant, name in names.items()}
            self.runner.update_constant_buffer(constants, False, True, True)

    def __call__(self, ids, positions, cu_seqlens) -> torch.Tensor:
        """With one more text, as the code is made for two or more."""
        one = torch.zeros(1, dtype=torch.int64)
        inputs = [
            torch.cat([ids, one]),
            torch.cat([positions, one]),
            torch.cat([cu_seqlens, cu_seqlens[-1:] + 1]),
        ]
        return self.runner.run(inputs)[0][:-1]
