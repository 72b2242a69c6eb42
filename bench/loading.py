"""Time and memory of a load, and what cycles of load and unload leave behind.

    bench/loading.py PACK... [--threads N] [--repeats R] [--cycles C] [--json FILE]

libtorch is in the process already and the files in the page cache; a load ends when the golden texts have
been embedded and compared. Each form is measured in a process of its own. `peak` is the largest resident
memory during a load over what stays after it, and `growth` what the process has more after the last cycle
than after the tenth.
"""

import argparse
import json
import statistics
import subprocess
import sys

from measure import machine, resident_bytes, write

FORMS = {
    "torchscript": {"compile": False},
    "compiled": {},
    "compiled, mixed precision": {"mixed_precision": True},
}
PHASES = ("tokenizer_seconds", "weights_seconds", "backend_seconds", "check_seconds")


def reset_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_bytes() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def measure(pack: str, switches: dict, threads: int, repeats: int, cycles: int) -> dict:
    """In this process: the first load, which brings libtorch in, does not count."""
    import citadel_embed

    with citadel_embed.Engine(threads=threads, **switches) as engine:
        with engine.load(pack) as model:
            info = model.info()
            model.embed(["a text"])
        loads = []
        for _ in range(repeats):
            before = resident_bytes()
            reset_peak()
            with engine.load(pack) as model:
                found = model.info()
                loads.append(
                    {
                        "seconds": found["load_seconds"],
                        **{phase: found[phase] for phase in PHASES},
                        "stays": resident_bytes() - before,
                        "peak": peak_bytes() - before,
                        "ledger": engine.metrics()["bytes"],
                    }
                )
        resident = []
        for _ in range(cycles):
            with engine.load(pack) as model:
                model.embed(["a text", "another one"])
            resident.append(resident_bytes())
    return {"form": f"{info['form']} {info['precision']}", "loads": loads, "resident": resident}


def in_process(*arguments) -> dict:
    command = [sys.executable, __file__, "--one", json.dumps(arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packs", nargs="*", metavar="PACK")
    parser.add_argument("--threads", type=int, default=2, help="threads of the engine (%(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="loads that are timed (%(default)s)")
    parser.add_argument("--cycles", type=int, default=0, help="loads and unloads after that (%(default)s)")
    parser.add_argument("--json", help="file for every measurement")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        json.dump(measure(*json.loads(arguments.one)), sys.stdout)
        return
    report = {**machine(), "threads": arguments.threads, "models": []}
    for pack in arguments.packs:
        seen = set()
        for switches in FORMS.values():
            found = in_process(pack, switches, arguments.threads, arguments.repeats, arguments.cycles)
            if found["form"] in seen:
                continue
            seen.add(found["form"])
            found["pack"] = pack.rstrip("/").split("/")[-1]
            report["models"].append(found)
            loads = found["loads"]
            median = {name: statistics.median(load[name] for load in loads) for name in loads[0]}
            line = f"{found['pack']:24} {found['form']:17} load {median['seconds']:.3f} s ("
            line += ", ".join(f"{name.split('_')[0]} {median[name]:.3f}" for name in PHASES)
            line += f")  stays {median['stays'] / 1e6:.0f} MB (ledger {median['ledger'] / 1e6:.0f})"
            line += f"  peak {median['peak'] / max(median['stays'], 1):.2f}"
            if arguments.cycles > 10:
                resident = found["resident"]
                line += f"  growth {resident[-1] / resident[9] - 1:+.2%} over {len(resident) - 10} cycles"
            print(line, flush=True)
    write(arguments.json, report)


if __name__ == "__main__":
    main()
