"""The picture of a block shows its weights' sizes, and strips as thin as the rank says."""

import pytest
from matplotlib.colors import to_rgba

from lorakit.chapters.inside_gpt2.plots import block_picture
from lorakit.show.style import ORANGE


@pytest.mark.parametrize(("d", "r"), [(256, 8), (768, 1), (256, 64)])
def test_adapters_are_drawn_to_scale(d, r):
    patches = [p for p in block_picture(d, r).axes[0].patches if p.get_facecolor() == to_rgba(ORANGE)]
    assert len(patches) == 4  # A and B of q and of v
    assert {round(min(p.get_width(), p.get_height()) * d, 6) for p in patches} == {r}
    assert {max(p.get_width(), p.get_height()) for p in patches} == {1}
