"""What an experiment is, and the runs that most of them are made of; each chapter's experiments.py declares its own.

An experiment has a grid (one seed: learning rates are chosen there, on validation) and then the runs that are
reported, over the seeds, at what the grid found. LORAKIT_BUDGET scales the number of steps and of seeds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from lorakit.lab import records
from lorakit.lab.budget import by_budget
from lorakit.lab.sweep import Run

ALPHA = 16  # the same for every rank, as in the paper, so that the update is scaled by 16 / r
QV = ("q", "v")
# The validation metric that chooses a learning rate.
METRIC = {
    "text_to_sql": "validation_execution", "python": "validation_bits_per_byte", "e2e": "validation_bleu",
    "ticket_triage": "validation_all", "sst2": "validation_accuracy",
    **dict.fromkeys(("law", "medicine", "code"), "validation_bits_per_byte"),
}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """A recorded sweep: `grid` first, then `final(records of the grid)`."""

    name: str
    what: str
    grid: Callable[[], list[Run]]
    final: Callable[[list[dict]], list[Run]] = lambda rows: []
    keep: Callable[[Run], str | None] = lambda run: None  # the name in data/adapters that a run's adapter is kept by


def steps(classroom: int) -> int:
    """Steps of a run: the class's number, a tenth for the tests, four times as many for a GPU."""
    return by_budget(max(2, classroom // 10), classroom, 4 * classroom)


def seeds() -> tuple[int, ...]:
    return by_budget((0,), (0, 1, 2), (0, 1, 2, 3, 4))


def lora(r: int, lr: float, targets=QV, **more) -> Run:
    return Run(**{"method": "lora", "r": r, "alpha": ALPHA, "targets": targets, "lr": lr, "steps": steps(100), **more})


def full(lr: float, **more) -> Run:
    return Run(**{"method": "full", "lr": lr, "steps": steps(100), **more})


def measured_full() -> list[Run]:
    """Full fine-tuning, with curves, whose ΔW is taken apart afterwards; the spectra, which are large, once."""
    more = {"steps": steps(200), "eval_every": steps(40)}
    return [full(5e-4, seed=seed, measure=("truncation",) + ("spectra",) * (seed == 0), **more) for seed in seeds()]


def over_seeds(runs: Iterable[Run]) -> list[Run]:
    """Every run once with every seed, seed by seed, so that a sweep stopped early has whole seeds."""
    runs = list(runs)
    return list(dict.fromkeys(replace(run, seed=seed) for seed in seeds() for run in runs))


def at_best_lr(rows: Sequence[dict], by: Sequence[str], metric: str | None = None) -> list[Run]:
    """The runs of these records whose learning rate is the best for their combination of the fields `by`.

    `metric` is a column of `records.frame`; None: the one that METRIC has for the task.
    """
    chosen = records.at_best_lr(records.frame(rows), by, metric or METRIC[rows[0]["run"]["task"]])
    return [Run.of(rows[place]) for place in chosen.index]


def nearest(wanted: int, known: Iterable[int]) -> int:
    """The one of `known` that `wanted` is the smallest factor away from."""
    return min(known, key=lambda one: max(one, wanted) / min(one, wanted))
