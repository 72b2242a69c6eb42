"""Command line of the exporter: ``python -m citadel_embed.export SOURCE DEST``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

# Before the imports below, which read them. Threads that wait do not spin: on a busy machine that takes the
# time of those that work.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from . import ExportError, reason

# Pooling.POOLING_MODES of sentence-transformers, which takes seconds to import.
POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


class Progress:
    """One line for each phase, on standard error; warnings also when quiet."""

    def __init__(self, phases: int, quiet: bool) -> None:
        self.phases, self.quiet = phases, quiet
        self.done = 0
        self.start = self.last = time.monotonic()

    def warn(self, what: str) -> None:
        print(f"export: WARNING: {what}", file=sys.stderr, flush=True)

    def phase(self, what: str) -> None:
        self.done += 1
        now = time.monotonic()
        if not self.quiet:
            print(
                f"[{self.done}/{self.phases}] {what} ({now - self.last:.1f} s)",
                file=sys.stderr,
                flush=True,
            )
        self.last = now

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


def _tokens(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is below 1")
    return value


def parse(command_line: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m citadel_embed.export",
        description="Make a model pack for the C library from a sentence-transformers or transformers "
        "model. The pack is published only if its vectors agree with those of "
        "sentence-transformers to 1e-5.",
        epilog="example: python -m citadel_embed.export ./all-MiniLM-L6-v2 "
        "~/.local/share/citadel/models/all-MiniLM-L6-v2",
    )
    parser.add_argument("source", help="folder of the model, or a hub id where there is a network")
    parser.add_argument("dest", type=Path, help="directory of the pack, to be made")
    parser.add_argument("--name", help="name in the manifest (default: that of DEST)")
    parser.add_argument(
        "--plain-text",
        action="store_true",
        help="texts go in as they are, though the model has a chat template",
    )
    parser.add_argument(
        "--pooling",
        choices=POOLING_MODES,
        help="of a folder without modules.json (default: what sentence-transformers takes)",
    )
    parser.add_argument(
        "--max-tokens", type=_tokens, metavar="N", help="a limit below the model's own, or where it has none"
    )
    parser.add_argument(
        "--dtype",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="of the weights as they are loaded: auto is fp32, but what the checkpoint has if that has more "
        "than a thousand million parameters",
    )
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=("bf16", "fp16"),
        default=[],
        help="also forms of less than fp32: bf16 for CPUs that have it, fp16 for CUDA",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="also compiled forms (AOTInductor), which are faster and need a C++ compiler here",
    )
    parser.add_argument(
        "--isa",
        choices=("avx2", "avx512"),
        help="what the compiled code may use of a CPU (default: the best of the two that this one has)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing pack")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    return parser.parse_args(command_line)


def _silence_libraries() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _unexpected(error: Exception) -> str:
    """One line for what nobody foresaw, with the place for a report."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    return f"unexpected {type(error).__name__}: {reason(error)} ({where})"


def main() -> int:
    arguments = parse()
    forms = (1 + len(arguments.precision)) * (2 if arguments.compile else 1) - (
        arguments.compile and "fp16" in arguments.precision
    )
    progress = Progress(phases=4 + forms, quiet=arguments.quiet)
    try:
        _silence_libraries()
        from .export import export

        print(export(arguments, progress))
        return 0
    except KeyboardInterrupt:
        message = "interrupted, nothing was published"
    except (ExportError, OSError) as error:
        message = str(error)
    except ImportError as error:
        message = f"{error}: pip install './python[export]' brings what the exporter needs"
    except Exception as error:
        message = _unexpected(error)
    print(f"export: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
