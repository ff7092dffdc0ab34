"""The recorded sweeps of SmolLM2, run by run within the part's seconds; the same command goes on where it stopped."""

import importlib.util
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.gpu.cells import Budget, measured
from benchmarks.gpu.sizes import Sizes
from lorakit.chapters import results
from lorakit.chapters.experiment import Experiment
from lorakit.core.errors import LoRAError
from lorakit.lab.bases.load import find_base
from lorakit.lab.json_lines import read
from lorakit.lab.sweep import Run, sweep

WHAT = "fine-tuning SmolLM2: the runs of the sweeps smollm2_*, each scored on validation and test"
COLUMNS = ("sweep", "task", "method", "r", "lr", "steps", "seed", "seconds", "metrics")
FOLDER_ADVICE = (
    "Or copy its folder from another machine's LORAKIT_CACHE (~/.cache/lorakit) to models/smollm2 and set "
    "LORAKIT_MODELS=models."
)


def rows(device: str, sizes: Sizes, budget: Budget, folder: Path) -> Iterator[dict]:
    """One row for each run; the whole records go to <folder>/<sweep>_gpu.jsonl."""
    chosen = [TINY] if sizes.tiny else smollm2_sweeps()
    if not chosen:
        yield {"not_done": "skipped: no chapter declares a sweep named smollm2_*"}
    elif missing := what_is_missing(chosen):
        yield {"not_done": f"skipped: {missing}"}
    else:
        for experiment in chosen:
            yield from of_experiment(experiment, device, budget, folder)


def smollm2_sweeps() -> list[Experiment]:
    return [found for name, found in results.EXPERIMENTS.items() if name.startswith("smollm2_")]


def what_is_missing(chosen: list[Experiment]) -> str:
    """What the runs need and this machine has not, with what to do; "" where nothing is missing."""
    if not importlib.util.find_spec("accelerate"):
        return "accelerate is not installed: `pip install accelerate`"
    for base in dict.fromkeys(run.base for experiment in chosen for run in experiment.grid()):
        try:
            find_base(base)
        except LoRAError as error:
            return f"{error} {FOLDER_ADVICE}" if base == "smollm2" else str(error)
    return ""


def of_experiment(experiment: Experiment, device: str, budget: Budget, folder: Path) -> Iterator[dict]:
    """The grid, and then, where all of it is there, the runs that are reported."""
    file = folder / f"{experiment.name}_gpu.jsonl"

    def do(runs: list[Run]) -> Iterator[dict]:
        cells = {str(run): run for run in runs}
        fields = [{"sweep": experiment.name, "run": name} for name in cells]
        yield from measured(fields, budget, partial(run_row, cells=cells, file=file, device=device))

    grid = list(dict.fromkeys(experiment.grid()))
    yield from do(grid)
    records = read(file)
    trained = [row for row in records if "metrics" in row and Run.of(row) in grid]
    there = {Run.of(row) for row in records}
    if not trained or any(run not in there for run in grid):
        yield {"sweep": experiment.name, "not_done": "the reported runs wait for the grid: give the command again"}
        return
    done = set(grid)
    yield from do([run for run in dict.fromkeys(experiment.final(trained)) if run not in done])


def run_row(cell: dict, seconds: float, *, cells: dict[str, Run], file: Path, device: str) -> list[dict]:
    """Do one run, or take it from the file; its record in short."""
    run = cells[cell["run"]]
    record = sweep([run], file, device=device, progress=False)[0]
    row = {name: getattr(run, name) for name in ("base", "task", "method", "r", "lr", "steps", "seed")}
    row["trainable"] = record["trainable"]
    if "diverged" in record:
        return [row | {"not_done": f"diverged: {record['diverged']}"}]
    return [row | {name: record[name] for name in ("seconds", "scoring_seconds", "device", "metrics")}]


def _tiny() -> list[Run]:
    more = {"batch_size": 2, "steps": 2, "precision": "no", "lr": 1e-3}
    return [Run(method="lora", r=1, alpha=16, targets=("q", "v"), **more), Run(method="full", **more)]


TINY = Experiment("tiny", "two runs of two steps on nano", _tiny)
