"""What a rank sweep says: each rank at its own best learning rate and at a shared one, beside full fine-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorakit.chapters.experiments import shared_lr
from lorakit.lab.old_records import Summary, best_lr, select, summarise, value

# Hu et al. 2021, Table 6: GPT-3 175B on WikiSQL, adapters on q and v; full fine-tuning from Table 4.
PAPER = {1: 73.4, 2: 73.3, 4: 73.7, 8: 73.8, 64: 73.5}
PAPER_FULL = 73.8


@dataclass(frozen=True)
class Measure:
    """How a task's headline metric is named, shown and compared."""

    name: str  # in the records
    label: str
    unit: str  # behind a number that is shown
    factor: float  # from the record's number to the one that is shown
    lower: bool  # is better

    def of(self, row: dict, split: str = "test") -> float:
        return self.factor * value(row, f"{split}.{self.name}")

    def summaries(self, rows: Sequence[dict], by: Sequence[str], split: str = "test") -> dict[tuple, Summary]:
        """By key, in the unit that is shown."""
        f = self.factor
        return {
            s.key: Summary(s.key, f * s.mean, f * s.low, f * s.high, f * s.std, s.n)
            for s in summarise(rows, by, f"{split}.{self.name}")
        }

    def gain(self, worse: float, better: float) -> float:
        """How much better `better` is, positive if it is."""
        return worse - better if self.lower else better - worse


MEASURES = {
    "text_to_sql": Measure("execution", "test answers right (%)", " %", 100, False),
    "python": Measure("bits_per_byte", "bits per byte (lower is better)", "", 1, True),
}


@dataclass(frozen=True)
class RankSweep:
    """What a rank sweep says: each rank at its own best learning rate and at the shared one; full fine-tuning, base.

    Rates are chosen on validation at seed 0; every Summary is of the test split over the seeds.
    """

    task: str
    own_lr: dict[int, float]
    shared_lr: float
    own: dict[int, Summary]
    shared: dict[int, Summary]
    full: Summary
    full_lr: float
    base: float
    parameters: dict[int, int]
    rows: list[dict]

    @classmethod
    def of(cls, rows: list[dict], base_rows: list[dict]) -> "RankSweep":
        task = rows[0]["run"]["task"]
        measure, metric = MEASURES[task], f"validation.{MEASURES[task].name}"
        ours, full = select(rows, method="lora"), select(rows, method="full")
        own_lr = {r: lr for (r,), lr in best_lr(select(ours, seed=0), ("r",), metric).items()}
        shared = shared_lr(rows)
        (full_lr,) = best_lr(select(full, seed=0), ("method",), metric).values()
        at_shared = measure.summaries(select(ours, lr=shared), ("r",))
        return cls(
            task=task,
            own_lr=own_lr,
            shared_lr=shared,
            own={r: measure.summaries(select(ours, r=r, lr=lr), ("r",))[r,] for r, lr in own_lr.items()},
            shared={r: found for (r,), found in at_shared.items()},
            full=measure.summaries(select(full, lr=full_lr), ("method",))["full",],
            full_lr=full_lr,
            base=measure.of(select(base_rows, task=task)[0]),
            parameters={row["run"]["r"]: row["trainable"] for row in ours},
            rows=rows,
        )

    @property
    def measure(self) -> Measure:
        return MEASURES[self.task]

    def share(self, r: int, which: str = "own") -> float:
        """Of full fine-tuning's gain over the base, the part that rank r reaches, 1.0 = all of it."""
        gain = self.measure.gain
        return gain(self.base, getattr(self, which)[r].mean) / gain(self.base, self.full.mean)

    def verdict(self, which: str = "own") -> str:
        """What the sweep says about rank, in words: is the step from the lowest to the highest beyond the seeds?"""
        found, m = getattr(self, which), self.measure
        low, high = found[min(found)], found[max(found)]
        first, last = min(found), max(found)
        gain = m.gain(low.mean, high.mean)
        digits = 1 if m.factor == 100 else 2
        unit = " points" if m.factor == 100 else " bits per byte"
        apart = high.low > low.high or low.low > high.high
        if not apart:
            return f"r = {first} and r = {last} do not differ by more than seeds do"
        return f"r = {last} is {abs(gain):.{digits}f}{unit} {'better' if gain > 0 else 'worse'} than r = {first}"
