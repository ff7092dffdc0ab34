"""The rules of a fair comparison, read off the records: open edges, seeds that choose, seeds that report."""

import math
from dataclasses import asdict

import pandas as pd
import pytest

from lorakit.chapters.choose_for_real.experiments import LENGTHS
from lorakit.chapters.compare import SETTING, difference, reported
from lorakit.chapters.experiment import ALPHA, METRIC, NOISE, search, tuned
from lorakit.lab import json_lines, records
from lorakit.lab.places import RESULTS
from lorakit.lab.sweep import Run

# The sweeps that compare settings, and how many seeds report in each: five for headlines, else three.
COMPARED = dict.fromkeys(("rank_python", "rank_text_to_sql", "rivals", "rivals_python"), 5)
COMPARED |= dict.fromkeys(("matrices_python", "matrices_text_to_sql", "variants", "tickets", "nano_early", "styles"), 3)
COMPARED |= dict.fromkeys(("sst2", "batches", "e2e", "students"), 3)
# Lengths of training that have the rate of another length.
OTHER_STEPS = {"tickets": LENGTHS, "students": (100,)}


def choosing_means(name: str) -> pd.DataFrame:
    """By setting and rate the mean validation metric over the two seeds that choose, less is better; inf: diverged."""
    other, rows = OTHER_STEPS.get(name, ()), json_lines.read(RESULTS / f"{name}.jsonl")
    metric = METRIC[rows[0]["run"]["task"]].removeprefix("validation_")
    sign = 1 if metric in records.LOWER_IS_BETTER else -1
    costs = [sign * row["metrics"]["validation"][metric] if "metrics" in row else math.inf for row in rows]
    runs = pd.DataFrame([row["run"] for row in rows]).assign(cost=costs)
    runs["targets"] = runs["targets"].str.join("+")
    choosing = runs[(runs["seed"] < 2) & ~runs["steps"].isin(other)]
    found = choosing.groupby([*SETTING, "lr"])["cost"].agg(["mean", "count"])
    assert (found["count"] == 2).all(), "every rate was tried by two seeds"
    return found["mean"]


@pytest.mark.parametrize("name", COMPARED)
def test_no_rate_within_noise_of_the_best_lies_at_an_edge(name):
    for _, means in choosing_means(name).groupby(SETTING):
        rates = means.droplevel(SETTING).sort_index()
        steps = [math.log10(b / a) for a, b in zip(rates.index, rates.index[1:], strict=False)]
        assert max(steps) <= 0.53, "half a decade or less between rates"
        near = rates[rates <= rates.min() + NOISE[METRIC[records.load(name)["task"].iloc[0]]]]
        assert rates.index[0] not in near.index and rates.index[-1] not in near.index, (_, rates)


@pytest.mark.parametrize("name", COMPARED)
def test_the_reported_rate_has_its_seeds(name):
    runs = reported(records.load(name))
    assert (runs.groupby(SETTING)["seed"].nunique() >= COMPARED[name]).all()


@pytest.mark.parametrize("name", COMPARED)
def test_alpha_is_the_same_for_everything_that_is_compared(name):
    assert set(records.load(name).query("r > 0")["alpha"]) <= {ALPHA}


# -- the search itself


def scored(run: Run, cost: float, **more) -> dict:
    metrics = {"validation": {"bits_per_byte": cost}, "test": {"bits_per_byte": cost}, "last_loss": 0.0}
    return {"run": asdict(run), "metrics": metrics, "trainable": 1, **more}


def run_all(setting: Run, cost) -> list[dict]:
    """What `tuned` asks for until it asks for nothing new, each run costing `cost(lr)`."""
    rows: list[dict] = []
    while missing := [run for run in tuned([setting], rows, report=5) if run not in {Run.of(row) for row in rows}]:
        rows += [scored(run, cost(run.lr)) for run in missing]
    return rows


SETTING_OF_PYTHON = Run(task="python", method="full", lr=1e-3)


@pytest.mark.parametrize("best", [1e-5, 1e-3, 3e-2])
def test_the_search_goes_on_until_the_best_rate_has_worse_ones_on_both_sides(monkeypatch, best):
    monkeypatch.setenv("LORAKIT_BUDGET", "class")
    rows = run_all(SETTING_OF_PYTHON, lambda lr: 2 + abs(math.log10(lr / best)))
    tried = sorted({row["run"]["lr"] for row in rows})
    assert tried[0] < best < tried[-1]
    assert search(SETTING_OF_PYTHON, rows)[1] == best
    assert {row["run"]["seed"] for row in rows if row["run"]["lr"] == best} == {0, 1, 2, 3, 4}
    assert set(reported(records.frame(rows))["lr"]) == {best}


def test_a_rate_within_noise_at_the_edge_is_no_result_and_a_diverged_one_is_the_worst(monkeypatch):
    monkeypatch.setenv("LORAKIT_BUDGET", "class")
    level = run_all(SETTING_OF_PYTHON, lambda lr: 2.0 if lr <= 1e-3 else 2.01 if lr <= 1e-2 else 3.0)
    assert max(row["run"]["lr"] for row in level) == 3e-2, "0.003 and 0.01 cannot be told from the best"
    rows = [scored(run, 2.0) for run in search(SETTING_OF_PYTHON, [])[0]]
    for row in rows:
        if row["run"]["lr"] > 1e-3:
            del row["metrics"]
            row["diverged"] = "inf"
    assert min(run.lr for run in search(SETTING_OF_PYTHON, rows)[0]) == 1e-4, "the open side is the other one"


def test_a_difference_is_paired_by_question_and_resampled_by_seed_and_wording():
    run = Run(task="text_to_sql", method="full")
    half = "10" * 250
    a = records.frame([scored(run, 0.5, right=half), scored(run, 0.5, right=half)])
    b = records.frame([scored(run, 0.4, right="1" + "0" * 499)])
    mean, low, high = difference(a, b, "test_execution")
    assert mean == pytest.approx(0.498) and 0.35 < low < mean < high < 0.65
    assert difference(a, a, "test_execution") == (0, 0, 0)
    apart = records.frame([scored(run, 1.0, right="1" * 500), scored(run, 0.0, right="0" * 500)])
    assert difference(apart, apart, "test_execution") == (0, -1, 1), "seeds that differ widen it"


def test_without_answers_a_difference_is_over_seeds():
    run = Run(task="python", method="full")
    one, other = ([scored(run, base + seed / 100) for seed in range(3)] for base in (2.0, 2.1))
    mean, low, high = difference(records.frame(one), records.frame(other), "test_bits_per_byte")
    assert mean == pytest.approx(-0.1) and high - mean == pytest.approx(2.78 * 0.01 * (2 / 3) ** 0.5)
    assert difference(records.frame(one[:1]), records.frame(other), "test_bits_per_byte")[1] == -math.inf
