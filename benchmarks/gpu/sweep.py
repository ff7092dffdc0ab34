"""The recorded sweeps of SmolLM2, run by run within the part's seconds; the same command goes on where it stopped."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu.cells import Budget, measured
from benchmarks.gpu.sizes import Sizes
from lorakit.core.errors import LoRAError
from lorakit.lab.bases.load import find_base
from lorakit.lab.json_lines import read
from lorakit.lab.sweep import Run, sweep

WHAT = "fine-tuning SmolLM2: the runs of the sweeps smollm2_*, each scored on validation and test"
COLUMNS = ("sweep", "task", "method", "r", "lr", "steps", "seed", "seconds", "metrics")


def rows(device: str, sizes: Sizes, budget: Budget, folder: Path) -> Iterator[dict]:
    """One row for each run; the whole records go to <folder>/<sweep>_gpu.jsonl."""
    if absent := [package for package in ("accelerate", "pandas") if not find_spec(package)]:
        yield {"not_done": f"skipped: not installed: `pip install {' '.join(absent)}`"}
        return
    for experiment in experiments(sizes.tiny):
        if missing := missing_base(experiment):
            yield {"sweep": experiment.name, "not_done": f"skipped: {missing}"}
        else:
            yield from of_experiment(experiment, device, budget, folder)


def experiments(tiny: bool) -> list:
    """The sweeps named smollm2_*, or one of two runs of two steps on nano."""
    from lorakit.chapters.experiment import Experiment  # here: it needs pandas, which the other parts do without
    from lorakit.chapters.results import EXPERIMENTS

    more = {"batch_size": 2, "steps": 2, "precision": "no", "lr": 1e-3}
    two = [Run(method="lora", r=1, alpha=16, targets=("q", "v"), **more), Run(method="full", **more)]
    if tiny:
        return [Experiment("tiny", "two runs", lambda rows: two)]
    return [found for name, found in EXPERIMENTS.items() if name.startswith("smollm2_")]


def missing_base(experiment) -> str:
    """What to do about a base that the runs need and this machine has not; "" where all are here."""
    for base in dict.fromkeys(run.base for run in experiment.wanted([])):
        try:
            find_base(base)
        except LoRAError as error:
            return str(error)
    return ""


def of_experiment(experiment, device: str, budget: Budget, folder: Path) -> Iterator[dict]:
    """The runs that the sweep wants, and, once these are there, those that it wants then."""
    file = folder / f"{experiment.name}_gpu.jsonl"

    def run_cell(cell: dict, seconds: float) -> list[dict]:
        return [run_row(named[cell["run"]], file, device)]

    runs: list[Run] = []
    while new := [run for run in experiment.wanted(list(read(file))) if run not in runs]:
        named = {str(run): run for run in new}
        yield from measured([{"sweep": experiment.name, "run": name} for name in named], budget, run_cell)
        runs += new
        if not {Run.of(row) for row in read(file)} >= set(runs):
            yield {"sweep": experiment.name, "not_done": "the reported runs wait for the grid: give the command again"}
            return


def run_row(run: Run, file: Path, device: str) -> dict:
    """Do one run, or take it from the file; its record in short."""
    record = sweep([run], file, device=device, progress=False)[0]
    row = {name: getattr(run, name) for name in ("base", "task", "method", "r", "lr", "steps", "seed")}
    row["trainable"] = record["trainable"]
    if "diverged" in record:
        return row | {"not_done": f"diverged: {record['diverged']}"}
    return row | {name: record[name] for name in ("seconds", "scoring_seconds", "device", "metrics")}
