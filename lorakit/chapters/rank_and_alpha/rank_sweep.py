"""What a rank sweep says: each rank and placement at its own learning rate, beside full fine-tuning."""

from dataclasses import dataclass

import pandas as pd

from lorakit.chapters.compare import PLACES, difference, reported

# Hu et al. 2021, Table 6: GPT-3 175B on WikiSQL, adapters on q and v; full fine-tuning from Table 4.
PAPER = {1: 73.4, 2: 73.3, 4: 73.7, 8: 73.8, 64: 73.5, "full": 73.8}


@dataclass(frozen=True)
class Measure:
    """How a task's headline metric is named, shown and compared."""

    name: str  # in the records
    label: str
    points: str  # the unit of a difference
    digits: int
    factor: float  # from the record's number to the one that is shown
    sign: int  # -1 where lower is better

    def of(self, runs: pd.DataFrame, split: str = "test") -> pd.Series:
        """The metric of every run, in the unit that is shown."""
        return self.factor * runs[f"{split}_{self.name}"]


MEASURES = {
    "text_to_sql": Measure("execution", "test answers right (%)", "points", 1, 100, 1),
    "python": Measure("bits_per_byte", "bits per byte (lower is better)", "bits per byte", 2, 1, -1),
}


def measure_of(runs: pd.DataFrame) -> Measure:
    """The measure of the one task that these runs are of."""
    return MEASURES[runs["task"].iloc[0]]


def scores(best: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Of runs that are each at its setting's own rate (`compare.reported`), a row for each combination of `by`.

    lr, parameters (trained), and of the test metric mean, low, high over so many seeds.
    """
    groups = best.assign(score=measure_of(best).of(best)).groupby(by)
    score = groups["score"].agg(mean="mean", low="min", high="max", seeds="count")
    return groups.agg(lr=("lr", "first"), parameters=("trainable", "first")).join(score)


@dataclass(frozen=True)
class RankSweep:
    """What a rank sweep says, on the test split, in the unit that is shown.

    best   the runs at each setting's own rate: see `compare.reported`
    lora   a row for each (place, r), "q, v" or "all-linear" or "MLP": see `scores`
    full   the same of full fine-tuning
    base   the score before training
    """

    measure: Measure
    runs: pd.DataFrame
    best: pd.DataFrame
    lora: pd.DataFrame
    full: pd.Series
    base: float

    @classmethod
    def of(cls, runs: pd.DataFrame, bases: pd.DataFrame) -> "RankSweep":
        measure, same = measure_of(runs), ["task", "base"]
        base = measure.of(bases.merge(runs[same].drop_duplicates(), on=same)).item()
        best = reported(runs.assign(place=runs["targets"].map(PLACES)))
        found = scores(best, ["method", "place", "r"])
        return cls(measure, runs, best, found.loc["lora"], found.loc["full"].iloc[0], base)

    @property
    def table(self) -> pd.DataFrame:
        """`lora`, and full fine-tuning as the last row."""
        rows = {f"{place}, r = {r}": row for (place, r), row in self.lora.iterrows()} | {"full": self.full}
        return pd.DataFrame(rows).T.astype({"seeds": int, "parameters": int})

    def gain(self, one: tuple[str, int] | str, other: tuple[str, int] | str) -> tuple[float, float, float]:
        """How much better one (place, r), or "full", is than another, and the 95 % interval, in the unit that is shown.

        See `compare.difference`.
        """
        m = self.measure
        first, second = (one, other) if m.sign > 0 else (other, one)
        found = difference(self._runs(first), self._runs(second), f"test_{m.name}")
        return tuple(m.factor * value for value in found)

    def _runs(self, which) -> pd.DataFrame:
        place, r = (PLACES[""], 0) if which == "full" else which
        return self.best[(self.best["place"] == place) & (self.best["r"] == r)]

    def compare(self, one, other) -> str:
        """In words: does the difference between two settings exceed chance?"""
        mean, low, high = self.gain(one, other)
        names = [which if which == "full" else f"{which[0]} r = {which[1]}" for which in (one, other)]
        m = self.measure
        words = "better" if mean > 0 else "worse"
        sure = "" if low > 0 or high < 0 else ", within chance"
        between = f"{low:+.{m.digits}f} to {high:+.{m.digits}f}{sure}"
        return f"{names[0]} is {abs(mean):.{m.digits}f} {m.points} {words} than {names[1]} ({between})"


def pretrained(runs: pd.DataFrame) -> tuple[pd.DataFrame, dict[tuple[str, int], pd.DataFrame]]:
    """SmolLM2's settings, each at the rate that one seed chose and a second one shares (see experiments.smollm2).

    A row for each (place, r), full fine-tuning first: lr, trained parameters, right answers (%; mean, low, high), the
    test loss; and the runs by (place, r).
    """
    runs = runs[runs["lr"] > 0].assign(place=runs["targets"].map(PLACES), score=100 * runs["test_execution"])
    setting = ["place", "r"]
    chosen = runs[runs.groupby([*setting, "lr"])["seed"].transform("nunique") > 1].groupby(setting)
    table = chosen.agg(lr=("lr", "first"), parameters=("trainable", "first"), right=("score", "mean"),
                       low=("score", "min"), high=("score", "max"), loss=("test_loss", "mean"))  # fmt: skip
    return table.sort_values("parameters", ascending=False), dict(list(chosen))
