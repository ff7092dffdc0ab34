"""Sweeps as figures, and the widget over them: recorded points with their seeds, the nearest one, one trained live."""

from dataclasses import asdict

import pandas as pd
import pytest

from lorakit.chapters.rank_and_alpha.explorer import SweepExplorer
from lorakit.chapters.rank_and_alpha.rank_sweep import MEASURES, RankSweep
from lorakit.lab import records
from lorakit.lab.sweep import Run
from tests.support.tiny_sweep import shrink


def record(score, task="text_to_sql", **fields):
    """A record as `run_one` makes it, `score` in the record's own unit on both splits."""
    run = asdict(
        Run(**{"task": task, "method": "lora", "targets": ("q", "v"), "alpha": 16, "lr": 1e-2, "steps": 1, **fields})
    )
    scores = {MEASURES[task].name: score, "loss": 1.0}
    metrics = {"validation": scores, "test": scores, "last_loss": 1.0}
    return {"run": run, "metrics": metrics, "trainable": 4096 * run["r"] or 4_000_000, "seconds": 1.0}


def full(score, task="text_to_sql", lr=1e-3, seed=0):
    return record(score, task, method="full", alpha=0, targets=(), lr=lr, seed=seed)


def rank_runs(gain=0.0, task="text_to_sql", base=0.7):
    """Three ranks at two learning rates; `gain` is what a fourfold rank adds. The smaller rate is worse by 0.1."""
    sign = MEASURES[task].sign
    rows = []
    for seed in range(3):
        for i, r in enumerate((1, 4, 16)):
            for lr, off in ((1e-2, 0.0), (1e-3, 0.1)):
                rows.append(record(base + sign * (gain * i - off) + 0.01 * seed, task, r=r, lr=lr, seed=seed))
        rows.append(full(base + sign * 0.2, task, seed=seed))
    return records.frame(rows)


BASES = records.frame([full(0.0, lr=0.0), full(5.0, "python", lr=0.0)])


@pytest.fixture
def explorer():
    matrices = records.frame([record(0.5, r=4, targets=("mlp",), lr=3e-3)])
    return SweepExplorer(pd.concat([rank_runs(0.05), matrices]), "All runs")


def test_each_setting_is_shown_at_the_rate_that_validation_chose():
    sweep = RankSweep.of(rank_runs(0.05, "python", base=3.0), BASES)
    assert sweep.lora.loc["q, v"]["lr"].to_dict() == {1: 1e-2, 4: 1e-2, 16: 1e-2}
    assert (sweep.lora.loc[("q, v", 4), "seeds"], sweep.full["seeds"], sweep.full["lr"]) == (3, 3, 1e-3)
    assert sweep.lora.loc[("q, v", 16), "mean"] == pytest.approx(2.91) and sweep.base == 5.0
    assert list(sweep.table.index) == ["q, v, r = 1", "q, v, r = 4", "q, v, r = 16", "full"]


@pytest.mark.parametrize(
    ("gain", "task", "words"),
    [
        (0.0, "text_to_sql", "0.0 points worse than q, v r = 1 (-2.3 to +2.3, within chance)"),
        (0.05, "text_to_sql", "10.0 points better than q, v r = 1 (+7.7 to +12.3)"),
        (-0.05, "text_to_sql", "10.0 points worse than q, v r = 1 (-12.3 to -7.7)"),
        (0.25, "python", "0.50 bits per byte better than q, v r = 1 (+0.48 to +0.52)"),
        (-0.25, "python", "0.50 bits per byte worse than q, v r = 1 (-0.52 to -0.48)"),
    ],
)
def test_a_comparison_says_what_the_runs_say_and_whether_it_may_be_chance(gain, task, words):
    sweep = RankSweep.of(rank_runs(gain, task, base=0.7 if task == "text_to_sql" else 3.0), BASES)
    assert sweep.compare(("q, v", 16), ("q, v", 1)) == f"q, v r = 16 is {words}"


def test_a_recorded_point_shows_its_seeds_and_another_one_its_nearest(explorer):
    explorer.set(r=4, lr="0.01", targets="q, v")
    assert explorer.data["runs"]["score"].tolist() == pytest.approx([75.0, 76.0, 77.0])
    assert str(explorer).startswith("All runs\nrecorded: r = 4, alpha = 16, q, v, learning rate 0.01, 1 steps")
    assert "76.0 (3 seeds, 75.0 to 77.0)" in str(explorer)
    explorer.set(targets="mlp")
    assert "not recorded; the nearest: r = 4, alpha = 16, mlp, learning rate 0.003, 1 steps" in str(explorer)


def test_an_alpha_that_no_record_has_can_be_trained_and_a_broken_run_does_not_eat_the_axis(explorer):
    explorer.set(r=4, lr="0.01", targets="q, v", alpha="64")
    assert "not recorded; the nearest: r = 4, alpha = 16" in str(explorer) and explorer.run().alpha == 64
    broken = records.frame([record(0.0, r=4, lr=1.0)])
    low, high = SweepExplorer(pd.concat([rank_runs(0.05), broken]), "All runs").window
    assert 0 < low < 70 and 82 < high < 100  # every setting at its own rate is shown, the broken one is not


def test_the_button_trains_the_chosen_point_and_adds_a_star(explorer, monkeypatch, make_tiny, tiny_tokenizer):
    pytest.importorskip("ipywidgets")
    shrink(monkeypatch, make_tiny, tiny_tokenizer)
    explorer.set(r=1, lr="0.01")
    _ = explorer.widget
    picture = explorer.png()
    explorer.button.click()
    ((run, _),) = explorer.data["live"]
    assert (run.r, run.targets, run.lr, run.steps, run.scored) == (1, ("q", "v"), 1e-2, 1, 100)
    assert "★ trained here" in str(explorer) and explorer.png() != picture
    assert explorer.button.disabled is False and "train" in explorer.button.description
    monkeypatch.setattr("lorakit.chapters.rank_and_alpha.explorer.run_one", lambda run: {"diverged": "the loss is nan"})
    explorer.button.click()
    assert "the loss is nan" in explorer.widget.children[-1].value and not explorer.button.disabled
