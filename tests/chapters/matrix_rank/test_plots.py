"""Chapter 01's plots draw the numbers they are given."""

import pytest
import torch

from lorakit.chapters.matrix_rank import plots as rank_plots


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_error_by_cost_ends_at_the_price_of_full_rank_without_error():
    W = torch.randn(12, 10, generator=torch.Generator().manual_seed(0))
    (ax,) = rank_plots.error_by_cost("A title", {"W": W}).axes
    x, y = lines(ax)["W"].get_data()
    assert (x[0], y[0]) == (0, 1) and x[-1] == pytest.approx(100 * 220 / 120) and y[-1] == pytest.approx(0, abs=1e-6)


def test_loss_by_rank_marks_the_whole_model_and_break_even():
    (ax,) = rank_plots.loss_by_rank("A title", {0: 9.0, 1: 4.0, 4: 1.0, 10: 0.5}, (12, 10)).axes
    drawn = lines(ax)
    assert drawn["weights replaced by copies of rank r"].get_xdata().tolist() == [0, 1, 4, 10]
    assert set(drawn["the model as it is"].get_ydata()) == {0.5}
    assert drawn["break-even rank"].get_xdata()[0] == pytest.approx(120 / 22)
