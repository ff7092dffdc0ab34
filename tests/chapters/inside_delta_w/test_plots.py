"""Chapter 08's pictures show the numbers given."""

import pandas as pd
import pytest
import torch

from lorakit.chapters.inside_delta_w.plots import energy_curves, first_direction, gain_curves, shared_marks


def labels(fig):
    return [text.get_text() for text in fig.axes[0].get_legend().get_texts()]


def test_lines_and_marks_show_the_numbers_given():
    s = torch.tensor([3.0, 2.0, 1.0, 0.5])
    fig = energy_curves({"ΔW": [s, s / 2], "W": [s[:2]]}, "A finding")
    assert len(fig.axes[0].lines) == 3 and labels(fig) == ["ΔW", "W"]
    assert fig.axes[0].lines[0].get_ydata()[-1] == pytest.approx(1)
    pairs = {"same": [[0.9, 0.7], [0.8, 0.6]], "other": [[0.1, 0.0]]}
    shared = pd.concat({name: pd.DataFrame(rows, columns=["inputs", "outputs"]) for name, rows in pairs.items()})
    fig = shared_marks(shared, 0.004, "A finding")
    assert fig.axes[0].lines[0].get_xydata().tolist() == [[0.9, 0.12], [0.8, 0.12], [0.1, 1.12]]
    assert labels(fig) == ["inputs", "outputs", "chance"]
    gains = {"sql": pd.DataFrame([[0.5, 1.0], [0.6, 1.0]], columns=[1, 64]), "python": pd.DataFrame([[0.2, 1.0]])}
    fig = gain_curves(gains, "A finding")
    assert fig.axes[0].lines[1].get_ydata() == pytest.approx([60, 100]) and labels(fig) == ["sql", "python"]
    fig = first_direction({"q": [0.2, 0.9], "v": [0.3, 0.4]}, 1 / 8, "A finding")
    assert fig.axes[0].lines[0].get_ydata() == pytest.approx([20, 90]) and labels(fig)[-1] == "all directions equal"
