"""What a rank sweep says: each rank at its own best learning rate and at a shared one, beside full fine-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lorakit.chapters.rank_and_alpha.experiments import shared_lr
from lorakit.lab import records

# Hu et al. 2021, Table 6: GPT-3 175B on WikiSQL, adapters on q and v; full fine-tuning from Table 4.
PAPER = {1: 73.4, 2: 73.3, 4: 73.7, 8: 73.8, 64: 73.5, "full": 73.8}


@dataclass(frozen=True)
class Measure:
    """How a task's headline metric is named, shown and compared."""

    name: str  # in the records
    label: str
    unit: str  # behind a number that is shown
    points: str  # the unit of a difference
    digits: int
    factor: float  # from the record's number to the one that is shown
    sign: int  # -1 where lower is better

    def of(self, runs: pd.DataFrame, split: str = "test") -> pd.Series:
        """The metric of every run, in the unit that is shown."""
        return self.factor * runs[f"{split}_{self.name}"]


MEASURES = {
    "text_to_sql": Measure("execution", "test answers right (%)", " %", "points", 1, 100, 1),
    "python": Measure("bits_per_byte", "bits per byte (lower is better)", "", "bits per byte", 2, 1, -1),
}


def measure_of(runs: pd.DataFrame) -> Measure:
    """The measure of the one task that these runs are of. Raises ValueError for several tasks, or bases."""
    if len(runs[["task", "base"]].drop_duplicates()) > 1:
        raise ValueError("give the records of one task and one base: others cannot share an axis")
    return MEASURES[runs["task"].iloc[0]]


def over_seeds(runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Of the test metric, in the unit that is shown: mean, std (n - 1), min, max and count, for each combination."""
    return measure_of(runs).of(runs).groupby([runs[name] for name in by]).agg(["mean", "std", "min", "max", "count"])


def at_own_lr(runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """`over_seeds` at the learning rate, "lr", that validation prefers at seed 0 for each combination of `by`."""
    best = records.best_lr(runs.query("seed == 0"), by, f"validation_{measure_of(runs).name}")
    at_best = runs.merge(best.reset_index(), on=[*by, "lr"])
    return over_seeds(at_best, [*by, "lr"]).reset_index("lr")


@dataclass(frozen=True)
class RankSweep:
    """What a rank sweep says; rates are chosen on validation at seed 0, numbers are of the test split.

    own, shared  by rank r: lr; mean, std, min, max, count over the seeds; at the rank's own rate, at the shared one.
                 `own` also has the trained parameters, and share: of full fine-tuning's gain over the base, 1.0 = all
    full         what `own` has, of full fine-tuning at its own rate
    base         the score before training
    """

    measure: Measure
    runs: pd.DataFrame
    own: pd.DataFrame
    shared: pd.DataFrame
    full: pd.Series
    base: float

    @classmethod
    def of(cls, runs: pd.DataFrame, bases: pd.DataFrame) -> "RankSweep":
        measure, lora = measure_of(runs), runs.query("method == 'lora'")
        same = ["task", "base"]
        base = measure.of(bases.merge(runs[same].drop_duplicates(), on=same)).item()
        by_rank = at_own_lr(runs, ["method", "r"])  # full fine-tuning has r = 0
        by_rank["parameters"] = runs.groupby(["method", "r"])["trainable"].first()
        own, full = by_rank.loc["lora"].copy(), by_rank.loc["full", 0].copy()
        own["share"], full["share"] = (own["mean"] - base) / (full["mean"] - base), 1.0
        shared = over_seeds(lora[lora["lr"] == shared_lr(runs)], ["r", "lr"]).reset_index("lr")
        return cls(measure, runs, own, shared, full, base)

    @property
    def table(self) -> pd.DataFrame:
        """`own`, and full fine-tuning as the last row."""
        return pd.concat([self.own, self.full.to_frame("full").T]).astype({"count": int, "parameters": int})

    def verdict(self) -> str:
        """What the sweep says about rank, in words: is the step from the lowest to the highest beyond the seeds?"""
        low, high = self.own.iloc[0], self.own.iloc[-1]
        if low["min"] <= high["max"] and high["min"] <= low["max"]:
            return f"r = {low.name} and r = {high.name} do not differ by more than seeds do"
        gain, m = self.measure.sign * (high["mean"] - low["mean"]), self.measure
        better = "better" if gain > 0 else "worse"
        return f"r = {high.name} is {abs(gain):.{m.digits}f} {m.points} {better} than r = {low.name}"
