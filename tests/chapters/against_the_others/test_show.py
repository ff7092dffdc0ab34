"""Chapter 07's pictures and widget draw the rows they are given; their titles say no more than the rows do."""

from itertools import pairwise

import pytest

from lorakit.chapters.against_the_others.explorer import COSTS, RivalsExplorer, facts
from lorakit.chapters.against_the_others.plots import PANELS, apart, rivals_figure, spread_figure, two_tasks_figure
from lorakit.chapters.against_the_others.table import of_kinds, rivals_table, scores
from lorakit.chapters.against_the_others.token_view import context_figure, dropped_figure
from lorakit.lab.kinds import KINDS
from tests.support import rivals_rows


@pytest.fixture(scope="module")
def runs():
    return of_kinds(rivals_rows.runs())


@pytest.fixture(scope="module")
def table(runs):
    return rivals_table(runs, rivals_rows.costs())


def test_one_panel_for_each_measure_with_the_best_on_top_and_a_title_that_counts(table):
    fig = rivals_figure(table)
    assert fig.describe() == "Figure: Test accuracy beside LoRA's seeds: 1 above, 2 level, 6 below"
    assert len(fig.axes) == len(PANELS)
    names = [text.get_text() for text in fig.axes[0].get_yticklabels()]
    assert names[-1] == "Houlsby adapters" and names[0] == "student" and len(names) == len(KINDS)
    dots = [line.get_xdata()[0] for line in fig.axes[0].get_lines() if len(line.get_xdata()) == 1]
    assert dots == sorted(dots) and dots[-1] == pytest.approx(81)
    (away,) = fig.axes[0].texts  # too far off to be drawn to scale
    assert away.get_text() == "← 1.0" and len(dots) == len(KINDS) - 1


def test_spread_shows_every_run_and_names_the_width(runs):
    fig = spread_figure(runs, ["lora", "prefix"])
    assert "Points between seeds: LoRA, r = 8: 2.0; prefix: 2.0" in fig.describe()
    other, best = (line for line in fig.axes[1].get_lines() if line.get_marker() == "o")
    assert list(other.get_xdata()) == [0.001] and list(other.get_ydata()) == pytest.approx([55])
    assert list(best.get_xdata()) == [0.01] * 3 and list(best.get_ydata()) == pytest.approx([44, 45, 46])


def test_two_tasks_are_set_against_each_other(table, runs):
    python = scores(runs[~runs["key"].str.contains("distill")]) / 30  # bits per byte: the more, the worse
    fig = two_tasks_figure(table, python)
    assert "among 8 methods: number 2 on SQL, number 7 on Python" in fig.describe()
    assert fig.axes[0].get_xlim()[0] > fig.axes[0].get_xlim()[1]  # better is to the right
    assert len(fig.axes[0].texts) == 8


@pytest.fixture(scope="module")
def explorer(table):
    return RivalsExplorer(table)


def test_the_explorer_has_every_cost_and_split(explorer, table):
    for label, name in COSTS.items():
        explorer.set(cost=label)
        assert explorer.data["points"]["x"].equals(table[name].rename("x"))
    explorer.set(split="validation (known wordings)")
    assert explorer.data["points"]["y"]["prefix"] == pytest.approx(90)
    explorer.set(split="test (new wordings)")


def test_the_explorer_puts_dots_where_the_numbers_are(explorer):
    explorer.set(cost="memory of a training step")
    at = {key: artists[2].get_xdata()[0] for key, artists in explorer.artists.items()}
    assert at["full"] == max(at.values()) <= 1 and min(at.values()) >= 0
    heights = {key: artists[2].get_ydata()[0] for key, artists in explorer.artists.items()}
    assert heights["houlsby"] == pytest.approx(81)
    student = explorer.artists["distill"]
    assert student[2].get_marker() == "v" and student[3].get_text() == "student (1.0)"
    assert student[2].get_ydata()[0] == explorer.limits[0] > 20
    ticks = {t.get_text(): t.get_position()[0] for t in explorer.ticks if t.get_text()}
    assert len(ticks) >= 3 and ticks["200"] == pytest.approx(at["full"])


def test_a_chosen_method_is_told_in_words(explorer, table):
    explorer.set(method="prefix + MLP")
    words = str(explorer)
    assert "300,000 numbers train" in words and "32,768 are kept" in words and "below LoRA's seeds" in words
    assert "240 positions" in words and "keeps every bit" in words
    assert "is changed" in facts(table, "full") and "is not what answers" in facts(table, "distill")
    assert "LoRA's seeds" not in facts(table, "lora") and "(95.2 % of the base)" in facts(table, "full")


def test_labels_keep_apart_and_in_order():
    places = {"a": 78.0, "b": 78.2, "c": 78.1, "d": 40.0, "e": 99.5, "f": 99.6}
    found = apart(places, 4, 30, 100)
    order = sorted(places, key=places.get)
    heights = [found[key] for key in order]
    assert all(high - low >= 4 - 1e-9 for low, high in pairwise(heights))
    assert found["d"] == 40 and max(heights) <= 100 and found["c"] == pytest.approx(78.1)


def test_a_prompt_is_lost_when_its_answer_has_no_room():
    assert "160 is the first that costs" in context_figure([20, 55], [0, 16, 160, 192], 48, 256).describe()
    assert "No prompt is lost" in context_figure([20, 55], [0, 16], 48, 256).describe()
    fig = context_figure([50, 60, 70], [0, 1], answer=10, context=80)
    assert [text.get_text() for text in fig.axes[0].texts] == ["all fit", "1 of 3 lost"]  # 70 + 10 just fits
    widths = [patch.get_width() for patch in fig.axes[0].patches]
    assert widths == [0, 70, 10, 0, 1, 69, 10, 0]  # the bar is always the whole context


def test_tokens_are_shaded_by_the_block_that_dropped_them():
    fig = dropped_figure(["one", " two", "\n", "three"], [2, None, 3, 2], 4)
    (ax,) = fig.axes
    drawn = [text.get_text() for text in ax.texts]
    assert drawn == ["one", "·two", "⏎", "three"] and "1 of 4 tokens" in fig.describe()
    colours = [patch.get_facecolor() for patch in ax.patches]
    assert colours[0] == colours[3] != colours[2] and colours[1] == (1, 1, 1, 1)
    assert ax.patches[3].get_y() > ax.patches[0].get_y()  # a new line behind the ⏎
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before block 2", "before block 3", "kept"]
