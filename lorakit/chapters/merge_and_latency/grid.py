"""What each method adds to the base's time over batch × length, recorded cell by cell, and read as a DataFrame.

    OMP_NUM_THREADS=2 python -m lorakit.chapters.merge_and_latency.grid    ten minutes on two CPU cores

writes data/results/latency_<device>.json. Run it alone on the machine; cells that are there already are not done again.
"""

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch

from lorakit.chapters.merge_and_latency.contenders import (
    BOTTLENECK,
    LORA,
    PREFIX,
    TOKENS,
    contenders,
    gpt2_of_size,
    measure,
)
from lorakit.core.errors import LoRAError
from lorakit.lab.places import RESULTS
from lorakit.lab.record import about, write
from lorakit.study.latency import Comparison

MODULE = "lorakit.chapters.merge_and_latency.grid"
KEY = ["size", "phase", "batch", "length"]
PAPER = [("355M", "prefill", *cell) for cell in ((32, 512), (16, 256), (1, 128))]


def cells_for(device: str) -> list[tuple[str, str, int, int]]:
    """KEY of every cell: all that a CPU does in ten minutes, or what a GPU is for, the paper's cells among it."""
    if device.startswith("cuda"):
        grid = [(b, t) for b in (1, 4, 16, 32) for t in (16, 64, 128, 256, 512)]
        cells = [(size, "prefill", b, t) for size in ("124M", "355M") for b, t in grid]
        cells += [(size, "decode", b, 128) for size in ("124M", "355M") for b in (1, 4, 16, 32)]
        return list(dict.fromkeys([*cells, *PAPER]))
    cells = [("124M", "prefill", b, t) for b in (1, 4, 16) for t in (16, 64, 128)]
    cells += [("124M", "decode", b, 64) for b in (1, 4, 16)]
    cells += [("355M", "prefill", *cell) for cell in ((1, 16), (1, 64), (1, 128), (4, 16), (4, 64), (16, 16))]
    return [*cells, *(("355M", "decode", b, 64) for b in (1, 4, 16))]


def recorded(device: str = "cpu") -> pd.DataFrame:
    """The recorded grid of a device, by the end of its file's name, as `frame` has it. Raises LoRAError if absent."""
    path = RESULTS / f"latency_{device}.json"
    if not path.is_file():
        raise LoRAError(f"{path} is missing: run OMP_NUM_THREADS=2 python -m {MODULE}")
    return frame(json.loads(path.read_text("utf-8"))["cells"])


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


def record(out: Path, wanted: Iterable[tuple], device: str, seconds: float) -> list[dict]:
    """Measure every wanted cell that is not in `out` yet, written after each; returns the cells that are there then.

    Raises LoRAError where `out` was made on another device, with other threads, versions or settings.
    """
    settings = {"lora": LORA, "bottleneck": BOTTLENECK, "prefix": PREFIX, "tokens": TOKENS, "seconds": seconds}
    made = {
        "what": "latency of GPT-2 shapes with random weights, in turns, beside the base against itself",
        "dtype": "float32",
        "settings": json.loads(json.dumps(settings)),  # as it is read again
    }
    before = json.loads(out.read_text("utf-8")) if out.is_file() else {"cells": []}
    now, cells = about(device) | made, before["cells"]
    for name in ("device", "threads", "versions", "settings"):
        if cells and before[name] != now[name]:
            raise LoRAError(f"{out} was recorded with {name} {before[name]}, now it is {now[name]}: move it away first")
    command = f"OMP_NUM_THREADS={now['threads']} python -m {MODULE} --seconds {seconds:g}"
    missing = [key for key in wanted if key not in {tuple(cell[name] for name in KEY) for cell in cells}]
    for size in dict.fromkeys(size for size, *_ in missing):
        models = contenders(gpt2_of_size(size, device))
        for key in (key for key in missing if key[0] == size):
            found = measure(models, *key[1:], seconds=seconds)
            print(f"\n{size} {key[1]}, batch {key[2]} × {key[3]}\n{found}", flush=True)
            cells.append(cell_of(key, found))
            write(out, made | {"cells": cells}, command, device)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=20, help="for each cell (default: %(default)s)")
    options = parser.parse_args()
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else "cpu"
    out = RESULTS / f"latency_{re.sub('[^a-z0-9]+', '_', name.lower()).strip('_')}.json"
    cells = record(out, cells_for(options.device), options.device, options.seconds)
    print(f"\n{len(cells)} cells in {out}")


if __name__ == "__main__":
    main()
