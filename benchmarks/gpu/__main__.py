"""Measure on a GPU what a laptop cannot: python3 -m benchmarks.gpu [part ...], 400 seconds on an H100.

The most telling parts come first. Each prints a table and writes data/results/gpu_<part>.json, both row by row, and
each runs in a process of its own: one that is cut off, hangs or breaks the GPU keeps what it has measured, and the next
begins.
"""

import argparse
import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu import BEGAN, by_hand, latency, memory, mixed, report, sweep, tests, training
from benchmarks.gpu.cells import Budget, failure
from benchmarks.gpu.sizes import PAPER, TINY
from lorakit.lab.places import RESULTS

# Each part's share of the seconds; what one leaves over, the ones behind it have.
PARTS = {"tests": (tests, 85), "latency": (latency, 55), "training": (training, 120), "memory": (memory, 35),
         "mixed": (mixed, 30), "by_hand": (by_hand, 15), "sweep": (sweep, 60)}  # fmt: skip
SECONDS = 400
GRACE = 15  # seconds that a part may take beyond its own, for its last cell, before it is cut off
# A forked process has imported everything already; but where something here has touched CUDA, it cannot use it.
WAYS = [way for way in ("fork", "spawn") if way in multiprocessing.get_all_start_methods()]


def main(arguments: list[str] | None = None, began: float | None = None) -> int:
    """Run the parts, one after the other; returns the exit code."""
    options = parse(arguments)
    device, tiny = options.device or ("cpu" if options.tiny else "cuda"), options.tiny
    on_cuda = device.startswith("cuda")
    if torch.version.cuda:
        import transformers.models.gpt2.modeling_gpt2  # noqa: F401  once, instead of once in each part
    way = next((way for way in WAYS if not on_cuda or in_a_process(way, 60, no_cuda, device) == 0), None)
    if way is None:
        print("PyTorch finds no CUDA GPU here: --tiny shows on the CPU that everything runs", file=sys.stderr)
        return 2
    out = options.out or (RESULTS if on_cuda and not tiny else Path("runs") / ("gpu-tiny" if tiny else "gpu-cpu"))
    names = [name for name in PARTS if name in (options.parts or PARTS)]
    end, codes = (began or time.monotonic()) + options.seconds, []
    for number, name in enumerate(names):
        waiting = sum(PARTS[other][1] for other in names[number:])
        seconds = max(0.0, end - time.monotonic()) * PARTS[name][1] / waiting
        try:
            code = in_a_process(way, seconds + GRACE, run, name, device, tiny, seconds, out)
        except KeyboardInterrupt:
            print("stopped: what was measured is kept", file=sys.stderr)
            return 130
        if code is None or code < 0 or code > 1:
            why = f"cut off {GRACE} s beyond its {seconds:.0f} s" if code is None else f"failed: ended with {code}"
            report.add(out / f"gpu_{name}.json", {"not_done": why})
            print(why, flush=True)
        codes.append(code)
    print(f"\nwritten to {out}: {', '.join(f'gpu_{name}.json' for name in names)}")
    return int(any(code != 0 for code in codes))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.gpu",
        description=__doc__.splitlines()[0],
        epilog="Exit codes: 0 done, 1 a part or a cell failed, 2 no GPU or wrong arguments, 130 stopped with Ctrl-C.",
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"which (default: all): {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="folder for the results (default: data/results, of a GPU alone)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all parts together (default: %(default)s)")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, to see that everything runs; on the CPU")
    parser.add_argument("--device", help="cuda, cuda:1, cpu (default: cuda; with --tiny cpu)")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part named {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


def in_a_process(way: str, seconds: float, job, *args) -> int | None:
    """The exit code of `job(*args)` in a process of its own, which is what it returns; None where it was cut off."""
    process = multiprocessing.get_context(way).Process(target=_exit_with, args=(job, *args))
    process.start()
    try:
        process.join(seconds)
        return process.exitcode
    finally:
        with contextlib.suppress(AttributeError, ProcessLookupError):  # what it has started, too; not on Windows
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()


def _exit_with(job, *args) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # a group of its own, to be ended as one
    sys.exit(job(*args))


def no_cuda(device: str) -> bool:
    try:
        return bool(torch.zeros(1, device=device).item())
    except (RuntimeError, AssertionError):
        return True


def run(name: str, device: str, tiny: bool, seconds: float, out: Path) -> bool:
    """All rows of a part, printed and written as they come; a part that fails keeps what it had. Did anything fail?"""
    part, done, budget = PARTS[name][0], [], Budget(seconds)
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.manual_seed(0)
    rows = part.rows(device, TINY if tiny else PAPER, budget)
    write = partial(report.write, out / f"gpu_{name}.json", name, part.WHAT, device, tiny, budget_s=seconds)
    write(done)  # now, so that a folder that cannot be written costs no measurement
    print(f"\n{name}: {part.WHAT}\n\n{report.line(part.COLUMNS)}", flush=True)
    try:
        for row in rows:
            done.append(row)
            write(done, seconds=budget.spent)
            print(report.line(row.get(column) for column in part.COLUMNS), row.get("not_done", ""), flush=True)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        done.append({"not_done": failure(error)})
    write(done, seconds=budget.spent)
    return any(row.get("not_done", "").startswith("failed") for row in done)


if __name__ == "__main__":
    sys.exit(main(began=BEGAN))
