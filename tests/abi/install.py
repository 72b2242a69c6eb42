"""What `meson install` puts down is complete: a program is built with pkg-config alone, and it and the
command line tool run from there.

usage: install.py BUILD MESON PKG_CONFIG MODELS TORCH COMPILER...

With TORCH (1, else 0) and a pack of all-MiniLM-L6-v2 in the directory MODELS the example embeds with it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import header

MODEL = "all-MiniLM-L6-v2"


def run(*command: str | Path, **environment: str) -> str:
    # Of the caller's environment nothing of ours, so that only what is installed is found.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CITADEL_", "LD_LIBRARY"))}
    done = subprocess.run(
        command, env={**inherited, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, command))}: {done.returncode}\n{done.stdout}")
    return done.stdout


def only(stage: Path, name: str) -> Path:
    found = list(stage.rglob(name))
    if len(found) != 1:
        sys.exit(f"{name} is installed {len(found)} times, expected once")
    return found[0]


class Installed:
    def __init__(self, stage: Path, pkg_config: str, compiler: list[str]) -> None:
        self.compiler = compiler
        self.stage = stage
        self.pkg_config = pkg_config
        self.pc = only(stage, "citadel_embed.pc")
        self.libraries = self.pc.parent.parent
        self.include = only(stage, "citadel_embed.h").parent

    def flags(self) -> list[str]:
        prefix = os.path.commonpath([self.libraries, self.include])
        variable = f"--define-variable=prefix={prefix}"
        text = run(
            *(self.pkg_config, variable, "--cflags", "--libs", "citadel_embed"),
            PKG_CONFIG_LIBDIR=str(self.pc.parent),
            PKG_CONFIG_PATH="",
        )
        return shlex.split(text)

    def build(self, source: Path) -> Path:
        program = self.stage / source.stem
        run(*self.compiler, "-std=c99", source, "-o", program, *self.flags())
        return program

    def run(self, *command: str | Path, **environment: str) -> str:
        return run(*command, LD_LIBRARY_PATH=str(self.libraries), **environment)


def check_links(libraries: Path, version: str) -> None:
    """Programs ask for the major version, compilers for none; both lead to one file."""
    real = libraries / f"libcitadel_embed.so.{version}"
    major = real.with_name(f"libcitadel_embed.so.{version.split('.')[0]}")
    for link in (major, real.with_name("libcitadel_embed.so")):
        if not link.is_symlink() or link.resolve() != real.resolve():
            sys.exit(f"{link.name} is no link to {real.name}")
    real.with_name("libcitadel_embed.so").unlink()  # what remains is what programs run with


def main(build: str, meson: str, pkg_config: str, models: str, torch: str, *compiler: str) -> int:
    with tempfile.TemporaryDirectory() as directory:
        stage = Path(directory).resolve()
        run(meson, "install", "-C", build, "--no-rebuild", "--destdir", stage)
        installed = Installed(stage, pkg_config, list(compiler))
        programs = [installed.build(header.ROOT / p) for p in ("tests/abi/installed.c", "examples/embed.c")]
        version = run(header.ROOT / "scripts" / "header-version").strip()
        check_links(installed.libraries, version)
        installed.run(programs[0])
        if version not in installed.run(only(stage, "citadel-embed"), "--version"):
            sys.exit("citadel-embed --version says another version than the header")
        if torch == "1":
            if only(stage, "libcitadel_torch.so").parent != installed.libraries:
                sys.exit("libcitadel_torch.so is not beside the library")
            if (Path(models) / MODEL).is_dir():
                similarity = installed.run(programs[1], CITADEL_MODEL_PATH=models)
                if not re.fullmatch(r"similarity 0\.\d{3}\n", similarity):
                    sys.exit(f"the example printed: {similarity}")
                print(f"embedded with {MODEL}")
            else:
                print(f"no pack {MODEL} in {models}: nothing was embedded")
    print("installed, built and run")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
