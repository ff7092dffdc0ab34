"""What each method adds to the base's time over batch × length, recorded cell by cell, and read as a DataFrame.

    OMP_NUM_THREADS=2 python -m lorakit.chapters.merge_and_latency.grid    ten minutes on two CPU cores

writes data/results/latency_cpu.json. Run it alone on the machine. (A GPU's cells: `make gpu`.)
"""

import argparse
from collections.abc import Iterable

import pandas as pd

from lorakit.chapters.merge_and_latency.contenders import (
    BOTTLENECK,
    LORA,
    PREFIX,
    TOKENS,
    contenders,
    gpt2_of_size,
    measure,
)
from lorakit.lab.places import RESULTS
from lorakit.lab.record import read, write
from lorakit.study.latency import Comparison

RECORD = RESULTS / "latency_cpu.json"
KEY = ["size", "phase", "batch", "length"]
PAPER = [("355M", "prefill", *cell) for cell in ((32, 512), (16, 256), (1, 128))]
CELLS = {  # size → the rest of KEY: what a CPU does in ten minutes
    "124M": [("prefill", b, t) for b in (1, 4, 16) for t in (16, 64, 128)] + [("decode", b, 64) for b in (1, 4, 16)],
    "355M": [("prefill", *cell) for cell in ((1, 16), (1, 64), (1, 128), (4, 16), (4, 64), (16, 16))]
    + [("decode", b, 64) for b in (1, 4, 16)],
}


def recorded() -> pd.DataFrame:
    """The recorded grid, as `frame` has it."""
    return frame(read(RECORD)["cells"])


def frame(cells: Iterable[dict]) -> pd.DataFrame:
    """A row for each method in each cell, the base among them; by size and phase, then by the tokens at once.

    Columns: size, phase ("prefill" or "decode"), batch, length, tokens, method; ms (of a decode cell: for a token);
    added, low, high: % of the base's time, and the 95 % interval; noise: the floor in %; verdict.
    """
    rows = []
    for cell in cells:
        for method, times in cell["jobs"].items():
            added, low, high = (100 * (ratio - 1) for ratio in (times["ratio"], *times["interval"]))
            row = {name: cell[name] for name in KEY} | {"method": method, "ms": times["ms"]}
            row |= {"added": added, "low": low, "high": high, "noise": 100 * cell["noise"]}
            rows.append(row | {"verdict": cell["verdicts"].get(method, "")})
    found = pd.DataFrame(rows).query("method != 'base, again'")
    found = found.assign(tokens=found["batch"] * found["length"].where(found["phase"] == "prefill", 1))
    order = ["size", "phase", "tokens", "batch"]
    return found.sort_values(order, ascending=[True, False, True, True], kind="stable", ignore_index=True)


def cell_of(key: tuple[str, str, int, int], found: Comparison) -> dict:
    """A measured cell as it stands in a record."""
    jobs = {
        name: {
            "ms": round(1e3 * job.median, 4), "quartiles": [round(1e3 * q, 4) for q in job.quartiles],
            "ratio": round(job.ratio, 5), "interval": [round(end, 5) for end in job.interval],
        }
        for name, job in found.jobs.items()
    }  # fmt: skip
    verdicts = {name: found.verdict(name) for name in list(jobs)[1:-1]}  # first and last: the base
    noise = round(found.noise, 5)
    return dict(zip(KEY, key, strict=True)) | {
        "rounds": len(found.again.times), "noise": noise, "jobs": jobs, "verdicts": verdicts
    }  # fmt: skip


def measured(seconds: float) -> list[dict]:
    """Every cell of CELLS, as `cell_of` has it; `seconds` for each."""
    cells = []
    for size, keys in CELLS.items():
        models = contenders(gpt2_of_size(size))
        for key in keys:
            found = measure(models, *key, seconds=seconds)
            print(f"\n{size}, {key}\n{found}", flush=True)
            cells.append(cell_of((size, *key), found))
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="for each cell (default: %(default)s)")
    seconds = parser.parse_args().seconds
    settings = {"lora": LORA, "bottleneck": BOTTLENECK, "prefix": PREFIX, "tokens": TOKENS, "seconds": seconds}
    what = "latency of GPT-2 shapes with random weights, in turns, beside the base against itself"
    made = {"what": what, "dtype": "float32", "settings": settings, "cells": measured(seconds)}
    write(RECORD, made, f"OMP_NUM_THREADS=2 python -m {__spec__.name} --seconds {seconds:g}")


if __name__ == "__main__":
    main()
