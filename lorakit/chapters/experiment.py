"""What an experiment is, and the runs that most of them are made of; each chapter's experiments.py declares its own.

A fair comparison gives every method its own learning rate (`tuned`): half a decade apart, chosen on validation by the
mean of two seeds, with worse rates on both sides; more seeds then report the chosen one. LORAKIT_BUDGET scales the
number of steps and of seeds.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from lorakit.lab import records
from lorakit.lab.budget import by_budget
from lorakit.lab.sweep import Run

ALPHA = 16  # the same for every rank, as in the paper, so that the update is scaled by 16 / r
QV = ("q", "v")
ALL = ("q", "k", "v", "o", "mlp")
CHOOSE = 2  # seeds that choose a learning rate
HEADLINE = 5  # seeds that report
SMOLLM2_ADAPTER = "smollm2-r{r}-lr{lr:g}-seed{seed}"  # on all projections: chapter 06 trains it, 08 looks inside
RATES = tuple(float(f"{digit}e{power}") for power in range(-6, 2) for digit in (1, 3))  # half a decade apart
# The validation metric that chooses a learning rate.
METRIC = {
    "text_to_sql": "validation_execution", "python": "validation_bits_per_byte", "e2e": "validation_loss",
    "ticket_triage": "validation_all", "sst2": "validation_accuracy",
    **dict.fromkeys(("law", "medicine", "code"), "validation_bits_per_byte"),
}  # fmt: skip
# What two seeds cannot tell apart: the standard deviation of a mean over two, as the recorded sweeps have it at rates
# that are not too high for a setting.
NOISE = {"validation_execution": 0.015, "validation_bits_per_byte": 0.015,
         "validation_loss": 0.005, "validation_all": 0.01, "validation_accuracy": 0.01}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """A recorded sweep.

    `wanted` gives the runs that belong to it, seen the records so far; it is asked again until it wants nothing new.
    """

    name: str
    what: str
    wanted: Callable[[Sequence[dict]], list[Run]]
    keep: Callable[[Run], str | None] = lambda run: None  # the name in data/adapters that a run's adapter is kept by


def tuned(settings: Iterable[Run], rows: Sequence[dict], report: int = HEADLINE) -> list[Run]:
    """The runs that a fair comparison of `settings` wants, seen the records `rows` of those that are done.

    A setting's own lr is where the `search` for its rate begins; `report` seeds then have the rate that it found.
    """
    wanted = []
    for setting in settings:
        runs, lr = search(setting, rows)
        wanted += runs if lr is None else [*runs, *_at_rate(setting, lr, report)]
    return list(dict.fromkeys(wanted))


def search(setting: Run, rows: Sequence[dict], choose: int = CHOOSE) -> tuple[list[Run], float | None]:
    """The runs that the search for a setting's learning rate wants, and the rate once they are all in `rows`.

    It begins with the setting's own lr, one of RATES; see `open_rates`.
    """
    costs = {Run.of(row): _cost(row) for row in rows}

    def cost(lr: float) -> float | None:
        runs = _at_rate(setting, lr, choose)
        return sum(costs[run] for run in runs) / len(runs) if set(runs) <= costs.keys() else None

    rates, best = open_rates(setting.lr, cost, NOISE[METRIC[setting.task]])
    return [run for lr in rates for run in _at_rate(setting, lr, choose)], best


def open_rates(
    start: float, cost: Callable[[float], float | None], noise: float
) -> tuple[Sequence[float], float | None]:
    """The learning rates to try, and the best once `cost` knows all of theirs (it gives None where it does not).

    From `start` and its neighbours on, until the best rate, and all that `noise` cannot tell from it, have worse ones
    on both sides.
    """
    at = RATES.index(start)
    low, high = by_budget((at, at + 1), (at - 1, at + 2), (at - 1, at + 2))
    while True:
        rates = RATES[low:high]
        costs = [cost(lr) for lr in rates]
        if None in costs:
            return rates, None
        near = [place for place, one in enumerate(costs) if one <= min(costs) + noise]
        wider = max(0, low - (near[0] == 0)), min(len(RATES), high + (near[-1] == len(costs) - 1))
        if wider == (low, high) or len(rates) == 1:
            return rates, rates[costs.index(min(costs))]
        low, high = wider


def _at_rate(setting: Run, lr: float, seeds: int) -> list[Run]:
    return [replace(setting, lr=lr, seed=seed) for seed in range(by_budget(1, seeds, seeds))]


def _cost(row: dict) -> float:
    """The validation metric that chooses, turned so that less is better; a run that diverged is worse than any."""
    if "metrics" not in row:
        return math.inf
    metric = METRIC[row["run"]["task"]].removeprefix("validation_")
    value = row["metrics"]["validation"][metric]
    return value if metric in records.LOWER_IS_BETTER else -value


def steps(classroom: int) -> int:
    """Steps of a run: the class's number, a tenth for the tests, four times as many for a GPU."""
    return by_budget(max(2, classroom // 10), classroom, 4 * classroom)


def seeds() -> tuple[int, ...]:
    return by_budget((0,), (0, 1, 2), (0, 1, 2, 3, 4))


def lora(r: int, lr: float, targets=QV, **more) -> Run:
    return Run(**{"method": "lora", "r": r, "alpha": ALPHA, "targets": targets, "lr": lr, "steps": steps(100), **more})


def full(lr: float, **more) -> Run:
    return Run(**{"method": "full", "lr": lr, "steps": steps(100), **more})
