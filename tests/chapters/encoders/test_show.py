"""The appendix's picture and widget: their numbers, without and with ipywidgets."""

import pytest

from lorakit.chapters.encoders.explorer import chance_explorer
from lorakit.chapters.encoders.plots import methods_figure, reported
from lorakit.lab import old_records as records


def test_the_standard_error_is_the_formula_s_and_falls_with_the_root_of_n():
    explorer = chance_explorer(0.832)
    assert explorer.data["errors"][0] == pytest.approx(100 * (0.832 * 0.168 / 1821) ** 0.5)
    few, many = explorer.compute(200, 0.9), explorer.compute(20000, 0.9)
    assert few["errors"][0] == pytest.approx(10 * many["errors"][0])
    assert few["wrong"] > 0.3 > 0.02 > many["wrong"]


def test_moving_a_control_moves_the_curves():
    pytest.importorskip("ipywidgets")
    explorer = chance_explorer()
    before = explorer.live_png()
    explorer.control("n").value = 64
    assert explorer.data["n"] == 64 and explorer.live_png() != before
    assert "64 sentences" in str(explorer)


def test_each_method_is_reported_at_the_rate_that_dev_chose_over_three_seeds():
    runs = reported(records.load("sst2"))
    assert set(runs) == {"head", "bitfit", "lora", "full"}
    for rows in runs.values():
        assert sorted(row["run"]["seed"] for row in rows) == [0, 1, 2]
        assert len({row["run"]["lr"] for row in rows}) == 1


def test_the_title_says_what_the_dots_show():
    rows = records.load("sst2")
    lora = [100 * records.value(row, "test.accuracy") for row in reported(rows)["lora"]]
    fig = methods_figure(rows)
    assert f"LoRA {sum(lora) / 3:.1f} %" in fig.describe()
    drawn = [tuple(line.get_xdata()) for line in fig.axes[0].lines]
    assert tuple(lora) in drawn
