"""The header compiles alone, without a warning, as C99 to C17 and C++11 to C++20, every _INIT macro
used; and it includes <stddef.h> and <stdint.h> only.

usage: alone.py COMPILER...
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import header

STANDARDS = {"c": ("c99", "c11", "c17"), "c++": ("c++11", "c++14", "c++17", "c++20")}
WARNINGS = ("-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wundef", "-Werror")


def function(result: str, value: str, number: int) -> str:
    return f"{result} use_{number}(void);\n{result} use_{number}(void)\n{{\n{value}\n}}\n"


def source() -> str:
    uses = [
        function(struct, f"    {struct} value = {macro};\n    return value;", number)
        for number, (macro, struct) in enumerate(header.initialisers().items(), 1)
    ]
    uses.append(function("uint32_t", "    return CITADEL_API_VERSION;", 0))
    return '#include "citadel_embed.h"\n' + "".join(uses)


def check(compiler: str, language: str, standard: str, code: str) -> str:
    """What the compiler has to say against it."""
    command = [compiler, "-x", language, f"-std={standard}", *WARNINGS]
    command += [f"-I{header.PATH.parent}", "-fsyntax-only", "-"]
    done = subprocess.run(command, input=code, capture_output=True, text=True)
    return f"{compiler} -std={standard}:\n{done.stderr}" if done.returncode else ""


def problems(compilers: tuple[str, ...]) -> Iterator[str]:
    for compiler in compilers:
        for language, standards in STANDARDS.items():
            for standard in standards:
                if check(compiler, language, standard, ""):
                    print(f"{compiler} has no {standard}: not checked")
                else:
                    yield check(compiler, language, standard, source())
    if sorted(header.includes()) != ["<stddef.h>", "<stdint.h>"]:
        yield f"the header includes {', '.join(header.includes())}"


def main(*compilers: str) -> int:
    found = [problem for problem in problems(compilers) if problem]
    print("\n".join(found) or f"clean with {', '.join(compilers)}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
