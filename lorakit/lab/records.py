"""Recorded sweeps as pandas DataFrames: a row for each fine-tuning, its settings and its scores as columns.

runs = records.load("rank_text_to_sql").query("method == 'lora'")
rates = records.best_lr(runs, ["r"], "validation_execution")          # each rank's own learning rate
runs.merge(rates.reset_index()).groupby("r")["test_execution"].agg(["mean", "min", "max"])
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from lorakit.core.errors import LoRAError
from lorakit.lab import json_lines
from lorakit.lab.places import RESULTS

LOWER_IS_BETTER = ("loss", "bits_per_byte", "seconds")
# What else a record may hold: numbers, or what a sweep measured besides, as it stands in the file.
_BESIDE = ("trainable", "head", "seconds", "device", "threads", "date", "right", "spectra", "truncation", "low_rank")


def load(name: str) -> pd.DataFrame:
    """The runs of data/results/<name>.jsonl, those that diverged left out.

    Columns: the settings (`lab.sweep.Run`'s fields; targets as "q+v"), the scores as <split>_<metric>
    ("test_execution", "validation_loss"), nano's loss on what it was pretrained on ("old_english"), last_loss,
    trainable (parameters), seconds, device, date; and what a sweep measured besides. Raises LoRAError where the file
    is absent.
    """
    rows = json_lines.read(RESULTS / f"{name}.jsonl")
    if not rows:
        raise LoRAError(f"there is no recorded sweep {name}.jsonl in data/results: make it with `make results`")
    return frame(rows)


def frame(rows: Iterable[dict]) -> pd.DataFrame:
    """Records, as `lab.sweep` writes them, as a DataFrame (see `load`)."""
    return pd.DataFrame([_flat(row) for row in rows if "metrics" in row])


def best_lr(runs: pd.DataFrame, by: Sequence[str], metric: str) -> pd.Series:
    """The learning rate whose mean metric over the seeds is best, for every combination of the columns `by`.

    Choose with a validation metric: the split that reports would be flattered by its own choice. A tie goes to the
    smaller rate.
    """
    means = runs.groupby([*by, "lr"])[metric].mean().reset_index()
    best_first = means.sort_values([metric, "lr"], ascending=[metric.endswith(LOWER_IS_BETTER), True])
    return best_first.groupby(list(by))["lr"].first()


def _flat(row: dict) -> dict:
    run = {name: "+".join(value) if isinstance(value, (list, tuple)) else value for name, value in row["run"].items()}
    scored = {split: row["metrics"][split] for split in ("validation", "test")} | {"old": row.get("old_text", {})}
    scores = {f"{split}_{metric}": value for split, found in scored.items() for metric, value in found.items()}
    beside = {name: row[name] for name in _BESIDE if name in row}
    return {**run, **scores, "last_loss": row["metrics"]["last_loss"], **beside}
