"""Measure on a GPU what a laptop cannot: python3 -m benchmarks.gpu [part ...], ten minutes on an H100.

Each part prints a table and writes data/results/gpu_<part>.json, both row by row, so that a run cut off keeps what it
has measured.
"""

import argparse
import sys
import time
import traceback
import warnings
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu import latency, memory, mixed, report, sweep, training
from benchmarks.gpu.cells import Budget, failure, let_go
from benchmarks.gpu.sizes import PAPER, TINY
from lorakit.lab.places import RESULTS

# Each part's share of the seconds; what one leaves over, the ones behind it have.
PARTS = {"latency": (latency, 4), "memory": (memory, 4), "mixed": (mixed, 4), "training": (training, 9),
         "sweep": (sweep, 3)}  # fmt: skip
SECONDS = 560  # of all parts; starting, and the last cell of a part, which is not cut off, make it ten minutes


def main(arguments: list[str] | None = None) -> int:
    """Run the parts, one after the other; returns the exit code."""
    options = parse(arguments)
    device, tiny = options.device or ("cpu" if options.tiny else "cuda"), options.tiny
    on_cuda = device.startswith("cuda")
    if on_cuda and not torch.cuda.is_available():
        print("PyTorch finds no CUDA GPU here: --tiny shows on the CPU that everything runs", file=sys.stderr)
        return 2
    out = options.out or (RESULTS if on_cuda and not tiny else Path("runs") / ("gpu-tiny" if tiny else "gpu-cpu"))
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.manual_seed(0)
    names = [name for name in PARTS if name in (options.parts or PARTS)]
    end, failed = time.monotonic() + options.seconds, False
    for number, name in enumerate(names):
        waiting = sum(PARTS[other][1] for other in names[number:])
        budget = Budget(max(0.0, end - time.monotonic()) * PARTS[name][1] / waiting)
        try:
            rows = run(name, device, tiny, budget, out)
        except KeyboardInterrupt:
            print("stopped: what was measured is kept", file=sys.stderr)
            return 130
        failed = failed or any(row.get("not_done", "").startswith("failed") for row in rows)
    print(f"\nwritten to {out}: {', '.join(f'gpu_{name}.json' for name in names)}")
    return int(failed)


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


def run(name: str, device: str, tiny: bool, budget: Budget, out: Path) -> list[dict]:
    """All rows of a part, printed and written as they come; a part that fails keeps what it had and says why."""
    part, done = PARTS[name][0], []
    rows = part.rows(device, TINY if tiny else PAPER, budget, **({"folder": out} if part is sweep else {}))
    write = partial(report.write, out / f"gpu_{name}.json", name, part.WHAT, device, tiny, budget_s=budget.seconds)
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
    let_go()
    return done


if __name__ == "__main__":
    sys.exit(main())
