"""Latency over batch × length, written to data/results/latency_<device>.json.

    OMP_NUM_THREADS=2 python -m lorakit.chapters.merge_and_latency.grid    ten minutes on two CPU cores
    python -m lorakit.chapters.merge_and_latency.grid --paper    and the paper's cells (on a GPU: always)
    python -m lorakit.chapters.merge_and_latency.grid --quick --out X.json    a few cells, two minutes

Run it alone on the machine. Cells that are recorded already are not done again.
"""

import argparse
import json
import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from lorakit.chapters.merge_and_latency.contenders import BOTTLENECK, LORA, PREFIX, contenders, gpt2_of_size
from lorakit.chapters.merge_and_latency.recorded import Cell, Recording
from lorakit.core.errors import LoRAError
from lorakit.lab.places import RESULTS
from lorakit.lab.record import versions
from lorakit.study.latency import Comparison, compare, decode, prefill

TOKENS = 4  # written in one repeat of a decode cell
PAPER = [("355M", "prefill", *cell) for cell in ((32, 512), (16, 256), (1, 128))]


def cells_for(device: str, quick: bool = False, paper: bool = False) -> list[tuple[str, str, int, int]]:
    """(size, phase, batch, length) of every cell: all that a CPU does in ten minutes, or what a GPU is for."""
    if quick:
        small = [("124M", "prefill", b, t) for b, t in ((1, 16), (1, 64), (1, 128), (4, 16), (4, 64))]
        small += [("124M", "decode", 1, 64), ("124M", "decode", 4, 64)]
        return [*small, ("355M", "prefill", 1, 16), ("355M", "prefill", 1, 128), ("355M", "decode", 1, 64)]
    if device.startswith("cuda"):
        grid = [(b, t) for b in (1, 4, 16, 32) for t in (16, 64, 128, 256, 512)]
        cells = [(size, "prefill", b, t) for size in ("124M", "355M") for b, t in grid]
        cells += [(size, "decode", b, 128) for size in ("124M", "355M") for b in (1, 4, 16, 32)]
        paper = True
    else:
        cells = [("124M", "prefill", b, t) for b in (1, 4, 16) for t in (16, 64, 128)]
        cells += [("124M", "decode", b, 64) for b in (1, 4, 16)]
        cells += [("355M", "prefill", *cell) for cell in ((1, 16), (1, 64), (1, 128), (4, 16), (4, 64), (16, 16))]
        cells += [("355M", "decode", b, 64) for b in (1, 4, 16)]
    return list(dict.fromkeys([*cells, *(PAPER if paper else [])]))


def measure(
    models: dict[str, nn.Module], phase: str, batch: int, length: int, *, repeats: int = 6, seconds: float = 20
) -> Comparison:
    """Time one cell for all models, the first one the base: at least `repeats` rounds, and for about `seconds`."""
    if phase not in ("prefill", "decode"):
        raise LoRAError(f"phase must be prefill or decode, got {phase!r}")
    make = (lambda m: prefill(m, batch, length)) if phase == "prefill" else (lambda m: decode(m, batch, length, TOKENS))
    device = next(next(iter(models.values())).parameters()).device
    jobs = {name: make(model) for name, model in models.items()}
    return compare(jobs, repeats=repeats, warmup=1, device=device, seconds=seconds)


def note(device: str, dtype: str, seconds: float, arguments: list[str]) -> dict:
    """What a recorded time depends on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = device.startswith("cuda")
    threads = f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']} " if "OMP_NUM_THREADS" in os.environ else ""
    return {
        "what": "latency of GPT-2 shapes with random weights, in turns, beside the base against itself",
        "command": " ".join([f"{threads}python -m lorakit.chapters.merge_and_latency.grid", *arguments]),
        "device": torch.cuda.get_device_name() if gpu else f"{platform.machine()} CPU, {cores} cores",
        "threads": torch.get_num_threads(),
        "dtype": dtype,
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
        "settings": {"lora": LORA, "bottleneck": BOTTLENECK, "prefix": PREFIX, "tokens": TOKENS, "seconds": seconds},
    }


def record(out: Path, cells, device: str, dtype: str, seconds: float, arguments: list[str]) -> Recording:
    """Measure every cell that is not in `out` yet, written after each; returns what is there then.

    Raises LoRAError where `out` was made on another device, with other threads, versions or settings.
    """
    now = note(device, dtype, seconds, arguments)
    found = Recording.read(out) if out.is_file() else Recording({**now}, ())
    for key in ("device", "threads", "dtype", "versions", "settings"):
        if found.note[key] != json.loads(json.dumps(now[key])) and found.cells:
            raise LoRAError(
                f"{out} was recorded with {key} {found.note[key]}, now it is {now[key]}: take another --out"
            )
    done = {cell.key for cell in found.cells}
    missing = [cell for cell in cells if cell not in done]
    for size in dict.fromkeys(cell[0] for cell in missing):
        models = contenders(gpt2_of_size(size, device, getattr(torch, dtype)))
        for cell in (cell for cell in missing if cell[0] == size):
            comparison = measure(models, *cell[1:], seconds=seconds)
            print(f"\n{size} {cell[1]}, batch {cell[2]} × {cell[3]}\n{comparison}", flush=True)
            found = Recording(found.note, (*found.cells, Cell.of(*cell, comparison)))
            found.write(out)
        del models
    return found


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="python -m lorakit.chapters.merge_and_latency.grid", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--quick", action="store_true", help="a few cells only; needs --out")
    parser.add_argument("--paper", action="store_true", help="also batch 32 × 512 and 16 × 256 at 355M")
    parser.add_argument("--seconds", type=float, help="for each cell (default 20, quick 5)")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.quick and not options.out:
        parser.error("--quick is a draft: say with --out where it goes")
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else "cpu"
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if options.dtype != "float32":
        slug += f"_{options.dtype}"
    out = options.out or RESULTS / f"latency_{slug}.json"
    cells = cells_for(options.device, options.quick, options.paper)
    seconds = options.seconds or (5 if options.quick else 20)
    try:
        found = record(out, cells, options.device, options.dtype, seconds, arguments)
    except LoRAError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: the finished cells are kept, the same command goes on", file=sys.stderr)
        return 130
    print(f"\n{len(found.cells)} cells in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
