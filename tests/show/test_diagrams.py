"""The picture of W0, B and A is to scale."""

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


@pytest.mark.parametrize("r", [0, 9])
def test_impossible_ranks_are_refused(r):
    with pytest.raises(ValueError, match=f"r must be between 1 and 6 .* got {r}"):
        lora_diagram(6, 8, r)
