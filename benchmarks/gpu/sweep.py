"""The runs that chapter 06 reports on text-to-SQL, once more on this device, several at a time."""

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import torch

from benchmarks.gpu.cells import Budget, failure
from benchmarks.gpu.sizes import Sizes
from lorakit.lab.json_lines import read
from lorakit.lab.places import RESULTS
from lorakit.lab.sweep import Run, run_one

SWEEP = "rank_text_to_sql"
WHAT = (
    f"nano: the settings of {SWEEP}, each at the rate that was chosen on a CPU, with five seeds, several runs at a "
    "time; the metrics of validation and test"
)
COLUMNS = ("method", "targets", "r", "lr", "seed", "execution", "seconds")


def rows(device: str, sizes: Sizes, budget: Budget) -> Iterator[dict]:
    """One row for each run as it ends; what is under way when the time is over is dropped."""
    if not find_spec("accelerate"):
        yield {"not_done": "skipped: not installed: `pip install accelerate`"}
        return
    runs = wanted(sizes)
    if budget.left < sizes.least_sweep:
        yield {"not_done": f"{len(runs)} runs: no time left"}
        return
    workers = min(sizes.processes, len(runs), os.cpu_count() or 1)
    with multiprocessing.get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool:
        ended = pool.imap_unordered(partial(outcome, device=device), runs)
        for number in range(len(runs)):
            try:
                record = ended.next(timeout=max(0.0, budget.left))
            except multiprocessing.TimeoutError:
                yield {"not_done": f"{len(runs) - number} runs: no time left of the part's {budget.seconds:.0f} s"}
                return
            yield short(record)


def wanted(sizes: Sizes) -> list[Run]:
    """The settings that have a fifth seed on the CPU, which are those reported; all of them with one seed first."""
    if sizes.tiny:
        tiny = Run(method="lora", r=1, alpha=16, targets=("q", "v"), lr=1e-3, steps=2, batch_size=2, scored=2)
        return [tiny, Run(method="full", lr=1e-3, steps=2, batch_size=2, scored=2)]
    reported = [run for run in map(Run.of, read(RESULTS / f"{SWEEP}.jsonl")) if run.seed == 4]
    return [replace(run, seed=seed) for seed in range(5) for run in reported]


def outcome(run: Run, device: str) -> dict:
    """The run's record, or why there is none."""
    try:
        return run_one(run, device=device, progress=False)
    except Exception as error:
        return {"run": vars(run), "not_done": failure(error)}


def short(record: dict) -> dict:
    row = {name: record["run"][name] for name in ("method", "targets", "r", "lr", "seed")}
    if "metrics" not in record:
        return row | {"not_done": record.get("not_done") or f"diverged: {record['diverged']}"}
    scores = {"execution": record["metrics"]["test"]["execution"], "metrics": record["metrics"]}
    return row | scores | {name: record[name] for name in ("trainable", "precision", "seconds", "scoring_seconds")}
