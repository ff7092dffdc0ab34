"""Heat maps of φ: one panel an entry, one scale for all."""

import pytest
import torch

from lorakit.chapters.inside_delta_w.plots import energy_curves, first_direction, gain_curves, heat_maps, shared_marks


@pytest.mark.parametrize("columns", [["q"], ["q", "v", "random"]])
def test_one_panel_for_each_entry_on_one_scale(columns):
    rows = {side: {name: torch.rand(3, 5) for name in columns} for side in "AB"}
    fig = heat_maps(rows, "A finding", top=0.5)
    images = [ax.images[0] for ax in fig.axes if ax.images]
    assert len(images) == 2 * len(columns) and {image.get_clim() for image in images} == {(0, 0.5)}
    assert [ax.get_title(loc="left") for ax in fig.axes[: len(columns)]] == columns


def test_tables_of_one_row_and_counting_from_zero():
    fig = heat_maps({"A": {"q": torch.rand(1, 4)}}, "A finding", first=0)
    assert fig.axes[0].get_xticks().tolist() == [0, 3] and fig.axes[0].get_yticks().tolist() == [0]


def labels(fig):
    return [text.get_text() for text in fig.axes[0].get_legend().get_texts()]


def test_energy_has_a_line_for_each_spectrum_and_a_label_for_each_group():
    s = torch.tensor([3.0, 2.0, 1.0, 0.5])
    fig = energy_curves({"ΔW": [s, s / 2], "W": [s[:2]]}, "A finding")
    assert len(fig.axes[0].lines) == 3 and labels(fig) == ["ΔW", "W"]
    assert fig.axes[0].lines[0].get_ydata()[-1] == pytest.approx(1)


def test_marks_gains_and_layers_show_the_numbers_given():
    fig = shared_marks({"same": ([0.9, 0.8], [0.7]), "other": ([0.1], [0.0])}, 0.004, "A finding")
    assert fig.axes[0].lines[0].get_xdata().tolist() == [0.9, 0.8] and labels(fig) == ["inputs", "outputs", "chance"]
    fig = gain_curves({"sql": [[0.5, 1.0], [0.6, 1.0]], "python": [[0.2, 1.0]]}, (1, 64), "A finding")
    assert fig.axes[0].lines[1].get_ydata() == pytest.approx([60, 100]) and labels(fig) == ["sql", "python"]
    fig = first_direction({"q": [0.2, 0.9], "v": [0.3, 0.4]}, 1 / 8, "A finding")
    assert fig.axes[0].lines[0].get_ydata() == pytest.approx([20, 90]) and labels(fig)[-1] == "all directions equal"
