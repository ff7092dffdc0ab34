"""Recorded sweeps: read them, pick rows, average over seeds, choose a learning rate on validation."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lorakit.core.errors import LoRAError
from lorakit.lab.json_lines import read
from lorakit.lab.places import RESULTS

LOWER_IS_BETTER = ("loss", "bits_per_byte", "last_loss", "seconds")


@dataclass(frozen=True)
class Summary:
    """A metric over the rows (seeds) that share `key`: its mean, extremes, standard deviation (n - 1) and number."""

    key: tuple
    mean: float
    low: float
    high: float
    std: float
    n: int


def load(name: str) -> list[dict]:
    """The records of data/results/<name>.jsonl, without the runs that diverged. Raises LoRAError where it is absent."""
    file = RESULTS / f"{name}.jsonl"
    if not file.is_file():
        raise LoRAError(f"there is no recorded sweep {file.name} in data/results: make it with `make results`")
    return [row for row in read(file) if "metrics" in row]


def select(rows: Sequence[dict], **wanted) -> list[dict]:
    """The rows whose run has these values: `select(rows, method="lora", r=8)`."""
    for name in wanted:
        if rows and name not in rows[0]["run"]:
            raise LoRAError(f"a run has no field {name!r}: it has {', '.join(rows[0]['run'])}")
    return [row for row in rows if all(_plain(row["run"][name]) == _plain(value) for name, value in wanted.items())]


def value(row: dict, metric: str) -> float:
    """A metric of a record by its path: "test.execution", "validation.bits_per_byte", "last_loss", "seconds"."""
    found = row["metrics"] if metric.split(".")[0] in row["metrics"] else row
    for part in metric.split("."):
        if not isinstance(found, dict) or part not in found:
            raise LoRAError(f"no metric {metric!r} in the record; its metrics are {row['metrics']}")
        found = found[part]
    return found


def summarise(rows: Sequence[dict], by: Sequence[str] = ("r",), metric: str = "test.execution") -> list[Summary]:
    """One Summary for every combination of the fields `by` in the rows, in sorted order."""
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        groups.setdefault(tuple(_plain(row["run"][name]) for name in by), []).append(value(row, metric))
    return [
        Summary(key, statistics.fmean(group), min(group), max(group),
                statistics.stdev(group) if len(group) > 1 else 0.0, len(group))
        for key, group in sorted(groups.items())
    ]  # fmt: skip


def best_lr(rows: Sequence[dict], by: Sequence[str] = ("r",), metric: str = "validation.loss") -> dict[tuple, float]:
    """For every combination of the fields `by`, the learning rate whose mean metric over the seeds is best.

    Choose with a validation metric: one that the reported split chose would be flattered by it. A tie goes to the
    smaller rate.
    """
    sign = -1 if metric.split(".")[-1] in LOWER_IS_BETTER else 1
    found: dict[tuple, tuple[float, float]] = {}
    for summary in summarise(rows, (*by, "lr"), metric):
        *key, lr = summary.key
        score = (sign * summary.mean, -lr)
        if tuple(key) not in found or score > found[tuple(key)]:
            found[tuple(key)] = score
    return {key: -negative for key, (_, negative) in found.items()}


def _plain(field):
    """Lists (from JSON) as tuples, so that they compare and can be keys."""
    return tuple(field) if isinstance(field, (list, tuple)) else field
