"""The picture of W0, B and A is to scale and says what it counts."""

import pytest
from matplotlib.patches import Rectangle

from lorakit.show.diagrams import lora_diagram


def matrices(fig):
    """Name → (height, width) of every matrix drawn."""
    drawn = (patch for patch in fig.axes[0].patches if isinstance(patch, Rectangle))
    return {patch.get_label(): (patch.get_height(), patch.get_width()) for patch in drawn}


@pytest.mark.parametrize(("d", "k", "r"), [(768, 768, 8), (768, 3072, 8), (3072, 768, 64), (6, 8, 2), (5, 5, 5)])
def test_sides_are_in_proportion(d, k, r):
    drawn, one_entry = matrices(lora_diagram(d, k, r)), 1 / max(d, k)
    for name, shape in {"W₀": (d, k), "B": (d, r), "A": (r, k)}.items():
        assert drawn[name] == pytest.approx([side * one_entry for side in shape])


def test_values_are_counted():
    fig = lora_diagram(768, 768, 8)
    assert fig.describe() == "Figure: Beside 589,824 frozen values, LoRA trains 12,288: 2.1%"
    labels = {text.get_text() for text in fig.axes[0].texts}
    assert {"h", "W₀", "B", "A", "768 × 8\ntrained", "8 × 768\ntrained", "768 × 768\nfrozen"} <= labels


@pytest.mark.parametrize("r", [0, 9])
def test_impossible_ranks_are_refused(r):
    with pytest.raises(ValueError, match=f"r must be between 1 and 6 .* got {r}"):
        lora_diagram(6, 8, r)
