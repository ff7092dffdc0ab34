"""The appendix's picture and widget: their numbers, without and with ipywidgets."""

import pytest

from lorakit.chapters.encoders.explorer import chance_explorer
from lorakit.chapters.encoders.plots import methods_figure, reported
from lorakit.lab import records


def test_the_standard_error_is_the_formula_s_and_falls_with_the_root_of_n():
    explorer = chance_explorer(0.832)
    assert explorer.data["errors"][0] == pytest.approx(100 * (0.832 * 0.168 / 1821) ** 0.5)
    few, many = explorer.compute(200, 0.9), explorer.compute(20000, 0.9)
    assert few["errors"][0] == pytest.approx(10 * many["errors"][0])
    assert few["wrong"] > 0.3 > 0.02 > many["wrong"]
    before = explorer.live_png()
    assert "64 sentences" in str(explorer.set(n=64)) and explorer.live_png() != before


def test_each_method_is_reported_at_the_rate_that_dev_chose_over_three_seeds():
    runs = reported(records.load("sst2"))
    seeds = runs.groupby("method", sort=False)["seed"].agg(sorted)
    assert seeds.to_dict() == dict.fromkeys(["head", "bitfit", "lora", "full"], [0, 1, 2])
    assert (runs.groupby("method")["lr"].nunique() == 1).all()


def test_the_title_says_what_the_dots_show():
    runs = records.load("sst2")
    lora = 100 * reported(runs).query("method == 'lora'")["test_accuracy"]
    fig = methods_figure(runs)
    assert f"LoRA {lora.mean():.1f} %" in fig.describe()
    assert tuple(lora) in [tuple(line.get_xdata()) for line in fig.axes[0].lines]
