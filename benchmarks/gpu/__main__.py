"""Measure on a GPU what a laptop cannot: python3 -m benchmarks.gpu [part ...], ten minutes on an H100.

Each part writes data/results/gpu_<part>.json, row by row, so that a run cut off keeps what it has measured.
"""

import argparse
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu import latency, memory, mixed, report, sweep, training
from benchmarks.gpu.cells import Budget, failure, let_go
from benchmarks.gpu.sizes import PAPER, TINY
from lorakit.lab.budget import budget as course_budget
from lorakit.lab.places import RESULTS

# Each part's share of the seconds; what one leaves over, the ones behind it have.
PARTS = {"latency": (latency, 4), "memory": (memory, 4), "mixed": (mixed, 4), "training": (training, 9),
         "sweep": (sweep, 3)}  # fmt: skip
SECONDS = 560  # of all parts; starting, and the last cell of a part, which is not cut off, make it ten minutes


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python3 -m benchmarks.gpu",
        description=__doc__.splitlines()[0],
        epilog="Exit codes: 0 done, 1 a part or a cell failed, 2 no GPU or wrong arguments, 130 stopped with Ctrl-C.",
    )
    made.add_argument("parts", nargs="*", metavar="part", help=f"which (default: all): {', '.join(PARTS)}")
    made.add_argument("--out", type=Path, help="folder for the results (default: data/results, of a GPU alone)")
    made.add_argument("--seconds", type=float, default=SECONDS, help="for all parts together (default: %(default)s)")
    made.add_argument("--tiny", action="store_true", help="tiny shapes, to see that everything runs; on the CPU")
    made.add_argument("--device", help="cuda, cuda:1, cpu (default: cuda; with --tiny cpu)")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the parts, one after the other; returns the exit code."""
    made = parser()
    options = made.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        made.error(f"no part named {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    device = options.device or ("cpu" if options.tiny else "cuda")
    try:
        on_cuda = torch.device(device).type == "cuda"
    except RuntimeError:
        made.error(f'--device must be like "cuda", "cuda:1" or "cpu", got {device!r}')
    if on_cuda and not torch.cuda.is_available():
        print("PyTorch finds no CUDA GPU here: --tiny shows on the CPU that everything runs", file=sys.stderr)
        return 2
    sizes = TINY if options.tiny else PAPER
    recorded = on_cuda and not options.tiny
    out = options.out or (RESULTS if recorded else Path("runs") / ("gpu-tiny" if options.tiny else "gpu-cpu"))
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.manual_seed(0)
    names = [name for name in PARTS if name in (options.parts or PARTS)]
    end, tables, failed = time.monotonic() + options.seconds, {}, False
    for number, name in enumerate(names):
        part, share = PARTS[name]
        waiting = sum(PARTS[other][1] for other in names[number:])
        budget = Budget(max(0.0, end - time.monotonic()) * share / waiting)
        rows_of = part.rows
        if part is sweep:
            rows_of = partial(part.rows, folder=sweep_folder(out) if recorded and not options.out else out)
        said = report.note(name, part.WHAT, device, round(budget.seconds, 1), options.tiny)
        try:
            rows = run(name, rows_of(device, sizes, budget), out / f"gpu_{name}.json", said)
        except KeyboardInterrupt:
            print("stopped: what was measured is kept", file=sys.stderr)
            return 130
        tables[name] = report.table(rows, part.COLUMNS)
        failed = failed or any(str(row.get("not_done", "")).startswith("failed") for row in rows)
    for name, shown in tables.items():
        print(f"\n{name}: {PARTS[name][0].WHAT}\n\n{shown}")
    print(f"\nwritten to {out}: {', '.join(f'gpu_{name}.json' for name in names)}")
    return int(failed)


def sweep_folder(out: Path) -> Path:
    """The course's recorded runs are of the full budget; shorter ones go beside `make results`' drafts."""
    return out if course_budget() == "full" else Path("runs") / f"results-{course_budget()}"


def run(name: str, rows: Iterator[dict], file: Path, said: dict) -> list[dict]:
    """All rows of a part, written after each; a part that fails keeps what it had and says why."""
    began, done = time.monotonic(), []
    report.write(file, said, done)  # now, so that a folder that cannot be written costs no measurement
    try:
        for row in rows:
            done.append(row)
            report.write(file, said | {"seconds": time.monotonic() - began}, done)
            print(f"{name} {time.monotonic() - began:6.1f} s  {short(row)}", flush=True)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        done.append({"not_done": failure(error)})
    report.write(file, said | {"seconds": time.monotonic() - began}, done)
    let_go()
    return done


def short(row: dict) -> str:
    """A row on one line, for who watches."""
    shown = ("ms", "ratio", "full_mib", "lora_mib", "tokens_per_s", "metrics", "not_done")
    where = [str(value) for key, value in row.items() if key not in shown and isinstance(value, (str, bool, int))]
    return " ".join(where[:7] + [f"{key} {report._cell(row[key])}" for key in shown if key in row])


if __name__ == "__main__":
    sys.exit(main())
