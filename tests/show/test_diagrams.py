"""The picture of W0, A and B: heights are to scale, and it says what it counts."""

import pytest

from lorakit.show.diagrams import lora_diagram


def heights(fig):
    """Name → (height on the left, height on the right) of every shape drawn."""
    corners = {patch.get_label(): patch.get_xy() for patch in fig.axes[0].patches}
    return {name: (xy[1][1] - xy[0][1], xy[2][1] - xy[3][1]) for name, xy in corners.items()}


@pytest.mark.parametrize(("d", "k", "r"), [(768, 768, 8), (768, 3072, 8), (3072, 768, 64), (6, 8, 2), (5, 5, 5)])
def test_a_shape_is_as_tall_as_what_enters_and_leaves_it(d, k, r):
    drawn, one_entry = heights(lora_diagram(d, k, r)), 1 / max(d, k)
    for name, sides in {"W₀": (k, d), "A": (k, r), "neck": (r, r), "B": (r, d)}.items():
        assert drawn[name] == pytest.approx([side * one_entry for side in sides])


def test_values_are_counted():
    fig = lora_diagram(768, 768, 8)
    assert fig.describe() == "Figure: Beside 589,824 frozen values, LoRA trains 12,288: 2.1%"
    labels = {text.get_text() for text in fig.axes[0].texts}
    assert {"x", "h", "W₀", "A", "B", "8 × 768", "768 × 8", "trained", "768 × 768, frozen"} <= labels


@pytest.mark.parametrize("r", [0, 9])
def test_impossible_ranks_are_refused(r):
    with pytest.raises(ValueError, match=f"r must be between 1 and 6 .* got {r}"):
        lora_diagram(6, 8, r)
