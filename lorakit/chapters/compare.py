"""Recorded runs compared: each setting at its own learning rate, and whether a difference exceeds chance."""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd

from lorakit.chapters.experiment import CHOOSE, METRIC
from lorakit.lab import records
from lorakit.lab.tasks import TASKS

# What two runs of one setting share; they may differ in learning rate and seed.
SETTING = ["task", "base", "method", "size", "hidden", "r", "alpha", "targets", "use_rslora", "d", "steps"]
SETTING += ["batch_size"]
# Where adapters sit, as records have it and as chapters say it.
PLACES = {"q+v": "q, v", "q+k+v+o+mlp": "all-linear", "mlp": "MLP", "": "every weight"}
T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31}  # Student's t, two-sided 95 %


def reported(runs: pd.DataFrame, by: Sequence[str] = SETTING) -> pd.DataFrame:
    """Of each setting the runs at the learning rate that the choosing seeds prefer on validation (`experiment.tuned`).

    Runs of one task, as `records.load` gives them; `by` are the columns that make a setting.
    """
    by = [name for name in by if name in runs]
    choosing = runs[runs["seed"] < CHOOSE]
    best = records.best_lr(choosing, by, METRIC[runs["task"].iloc[0]])
    return runs.merge(best.reset_index(), on=[*by, "lr"])


def difference(runs: pd.DataFrame, other: pd.DataFrame, metric: str) -> tuple[float, float, float]:
    """How much higher `metric` is over the seeds of `runs` than of `other`, and the 95 % interval: (mean, low, high).

    Where the records say which test answers were right: paired by question, and resampled over the seeds and over the
    wordings, since questions that are worded alike are right or wrong together. Otherwise over the seeds, by
    Student's t.
    """
    if "right" in runs and "right" in other and runs["right"].notna().all() and other["right"].notna().all():
        one, two = (_right(some) for some in (runs, other))  # (seeds, questions)
        sql = runs["task"].iloc[0] == "text_to_sql"  # of another task every example is worded in its own way
        group, names = pd.Series(wordings()[: one.shape[1]] if sql else range(one.shape[1])).factorize()
        member = np.eye(len(names))[group]  # (questions, wordings): 1 where a question is worded so
        random, gains = np.random.default_rng(0), []
        wording = random.integers(len(names), size=(10_000, len(names)))
        for each in (one, two):
            drawn = random.integers(len(each), size=(10_000, len(each)))
            shares = (drawn[..., None] == np.arange(len(each))).mean(axis=1)  # of each seed in a draw, (10,000, seeds)
            gains.append(np.take_along_axis(shares @ (each @ member), wording, axis=1).sum(axis=1))
        drawn = (gains[0] - gains[1]) / member.sum(axis=0)[wording].sum(axis=1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        return float(one.mean() - two.mean()), float(low), float(high)
    a, b = runs[metric], other[metric]
    mean = float(a.mean() - b.mean())
    if len(a) < 2 or len(b) < 2:
        return mean, -np.inf, np.inf
    error = T95.get(len(a) + len(b) - 2, 2.0) * float(a.var() / len(a) + b.var() / len(b)) ** 0.5
    return mean, mean - error, mean + error


def _right(runs: pd.DataFrame) -> np.ndarray:
    """Which seed has which test question right, (seeds, questions) of 0 and 1."""
    return np.array([[int(one) for one in right] for right in runs["right"]])


@cache
def wordings() -> list[str]:
    """How each test question of text-to-SQL begins."""
    asked = [example.prompt.split("question: ")[1] for example in TASKS["text_to_sql"]().test]
    return [" ".join(re.sub("^for .*?, ", "", question).split()[:3]) for question in asked]
