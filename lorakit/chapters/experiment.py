"""What an experiment is, and the runs that most of them are made of; experiments.py declares them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lorakit.lab.budget import by_budget
from lorakit.lab.sweep import Run

ALPHA = 16  # the same for every rank, as in the paper, so that the update is scaled by 16 / r
QV = ("q", "v")
# The validation metric that chooses a learning rate.
METRIC = {
    "text_to_sql": "validation.execution", "python": "validation.bits_per_byte", "e2e": "validation.bleu",
    "ticket_triage": "validation.all", "sst2": "validation.accuracy",
}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """A recorded sweep: `grid` first, then `final(rows of the grid)`. `chapter` says who shows it."""

    name: str
    chapter: str
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


def over_seeds(runs: Sequence[Run]) -> list[Run]:
    """Every run with every seed, seed by seed, so that a sweep stopped early has whole seeds."""
    return [replace(run, seed=seed) for seed in seeds() for run in runs]
