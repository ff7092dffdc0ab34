"""The picker counts the slices, or the fused projection in their place."""

import pytest

from lorakit.chapters.inside_gpt2.explorer import TARGETS, TargetPicker


@pytest.mark.parametrize(
    ("model", "targets", "counted"),
    [
        ("gpt2", ["q", "v", "mlp"], ["c_attn", "mlp"]),
        ("gpt2", ["o"], ["o"]),
        ("GPT-3 175B", ["q", "v"], ["q", "v"]),  # keeps q, k and v apart
    ],
)
def test_fusing_replaces_the_slices_where_there_is_a_fused_projection(model, targets, counted):
    data = TargetPicker(model).set(fused=True, **{target: target in targets for target in TARGETS}).data
    assert list(data["counts"]) == counted and data["no c_attn"] == (model != "gpt2")


def test_it_says_what_to_do_when_nothing_is_chosen():
    assert "tick a target" in str(TargetPicker().set(q=False, v=False))
