"""Sweeps as figures, and the widget over them: recorded points with their seeds, the nearest one, one trained live."""

import math
from dataclasses import asdict

import pytest

from lorakit.chapters.rank_and_alpha import plots as sweep_plots
from lorakit.chapters.rank_and_alpha.explorer import distance, groups, plain_alpha, sweep_explorer
from lorakit.chapters.rank_and_alpha.rank_sweep import MEASURES, RankSweep
from lorakit.lab.sweep import Run
from lorakit.show.style import png

QV = ("q", "v")


def record(score, task="text_to_sql", **fields):
    """A record as `run_one` makes it: validation a tenth better than test, `score` in the record's own unit."""
    run = asdict(Run(**{"task": task, "method": "lora", "targets": QV, "alpha": 16, "lr": 1e-2, **fields}))
    name = MEASURES[task].name
    splits = {"validation": {name: score, "loss": 1.0}, "test": {name: score, "loss": 1.0}}
    return {"run": run, "metrics": splits, "trainable": 4096 * run["r"] or 4_000_000, "seconds": 1.0}


def rank_rows(gain=0.0, task="text_to_sql", base=0.7):
    """Three ranks at two learning rates; `gain` is what a fourfold rank adds. The smaller rate is worse by 0.1."""
    sign = -1 if task == "python" else 1
    rows = []
    for seed in range(3):
        for i, r in enumerate((1, 4, 16)):
            for lr, off in ((1e-2, 0.0), (1e-3, 0.1)):
                rows.append(record(base + sign * (gain * i - off) + 0.01 * seed, task, r=r, lr=lr, seed=seed))
        rows.append(record(base + sign * 0.2, task, method="full", r=0, alpha=0, targets=(), lr=1e-3, seed=seed))
    return rows


def base_rows():
    return [record(0.0, method="full", lr=0.0), record(5.0, "python", method="full", lr=0.0)]


@pytest.fixture
def explorer():
    matrices = [record(0.5, r=4, targets=("mlp",), lr=3e-3)]
    return sweep_explorer(rank_rows(0.05) + matrices, "All runs", steps=1, limit=2)


def test_rates_are_chosen_on_validation_and_shares_counted_from_the_base():
    sweep = RankSweep.of(rank_rows(0.05, "python", base=3.0), base_rows())
    assert sweep.own_lr == {1: 1e-2, 4: 1e-2, 16: 1e-2} and sweep.shared_lr == 1e-2 and sweep.full_lr == 1e-3
    assert (sweep.own[4].n, sweep.full.n) == (3, 3)
    assert sweep.share(16) == pytest.approx((5.0 - 2.91) / (5.0 - 2.8))


@pytest.mark.parametrize(
    ("gain", "task", "words"),
    [
        (0.0, "text_to_sql", "do not differ by more than seeds do"),
        (0.05, "text_to_sql", "r = 16 is 10.0 points better than r = 1"),
        (-0.05, "text_to_sql", "r = 16 is 10.0 points worse than r = 1"),
        (0.25, "python", "r = 16 is 0.50 bits per byte better than r = 1"),
        (-0.25, "python", "r = 16 is 0.50 bits per byte worse than r = 1"),
    ],
)
def test_a_title_says_what_the_rows_say(gain, task, words):
    sweep = RankSweep.of(rank_rows(gain, task, base=0.7 if task == "text_to_sql" else 3.0), base_rows())
    assert words in sweep_plots.rank_figure(sweep).describe()


def test_figures_are_made_from_rows_alone():
    grid = [record(min(a * lr, 0.5), r=8, alpha=a, lr=lr) for a in (1, 10) for lr in (0.001, 0.01)]
    rules = [record(0.5 + (0.1 + 0.1 * use) * (r == 64), r=r, use_rslora=use) for r in (4, 64) for use in (False, True)]
    matrices = [record(0.5, r=20, targets=("q",)), record(0.6, r=4, targets=("mlp",))]
    sweep = RankSweep.of(rank_rows(0.02), base_rows())
    titles = {
        "Best for text-to-SQL at this budget: mlp": sweep_plots.matrices_figure(matrices),
        "1 of 4 pairs come within 6 points of the best": sweep_plots.heat_map(grid),
        "up to 0 points apart": sweep_plots.collapse_figure(grid),
        "More rank gains 10 points with alpha / r, 20 with alpha / √r": sweep_plots.rslora_figure(rules),
        "Rank 1 reaches 7": sweep_plots.share_figure([sweep], ["SQL"]),
    }
    for words, figure in titles.items():
        assert words in figure.describe()
        assert png(figure).startswith(b"\x89PNG")


def test_the_widest_gap_is_among_runs_of_one_product():
    found = {(1, 0.1): 10.0, (10, 0.01): 14.0, (1, 0.01): 50.0, (10, 0.001): 51.0, (10, 0.1): 90.0}
    assert sweep_plots.widest_gap(found) == pytest.approx((0.1, 4.0))


def test_rslora_is_placed_by_the_alpha_that_it_amounts_to():
    run = Run(r=64, alpha=16, use_rslora=True)
    assert plain_alpha(run) / run.r == pytest.approx(16 / math.sqrt(64))
    assert plain_alpha(Run(r=64, alpha=16)) == 16


def test_a_run_that_two_sweeps_share_counts_once():
    rows = rank_rows()
    assert {key: len(runs) for key, runs in groups(rows + rows).items()} == {k: 3 for k in groups(rows)}


def test_distance_counts_doublings():
    key = (8, 16, QV, 1e-2, 100)
    assert distance(key, r=8, alpha=16, targets=QV, lr=1e-2) == 0
    assert distance(key, r=32, alpha=8, targets=QV, lr=1e-2) == pytest.approx(3)
    assert distance(key, r=8, alpha=16, targets=("q",), lr=1e-2) > distance(key, r=16, alpha=16, targets=QV, lr=1e-2)


def test_a_recorded_point_shows_its_seeds_and_another_one_its_nearest(explorer):
    explorer.set(r=4, lr="0.01", targets="q, v")
    assert explorer.data["scores"] == pytest.approx([75.0, 76.0, 77.0])
    assert str(explorer).startswith("All runs\nrecorded: r = 4, alpha = 16, q, v, learning rate 0.01, 100 steps")
    assert "76.0 % (3 seeds, 75.0 to 77.0)" in str(explorer)
    explorer.set(targets="mlp")
    assert explorer.data["key"] == (4, 16, ("mlp",), 3e-3, 100)
    assert "not recorded; the nearest" in str(explorer)


def test_a_control_moves_the_picture_and_back_gives_the_same(explorer):
    pytest.importorskip("ipywidgets")
    before, back = explorer.png(), explorer.values["r"]
    explorer.control("r").value = 16
    assert explorer.data["asked"]["r"] == 16 and explorer.png() != before
    explorer.set(r=back)
    assert explorer.png() == before and len(before) < 80_000


def test_the_button_trains_the_chosen_point_and_adds_a_star(explorer):
    pytest.importorskip("ipywidgets")
    explorer.set(r=1, lr="0.01")
    _ = explorer.widget
    picture = explorer.png()
    explorer.button.click()
    (live,) = explorer.data["live"]
    assert (live[0].r, live[0].targets, live[0].lr, live[0].steps) == (1, QV, 1e-2, 1)
    assert "★ trained here" in str(explorer) and explorer.png() != picture
    assert explorer.button.disabled is False and "train" in explorer.button.description


def test_records_of_two_tasks_are_refused():
    with pytest.raises(ValueError, match="one task"):
        sweep_explorer(rank_rows() + rank_rows(task="python", base=3.0))
