"""The picker counts the slices, or the fused projection in their place."""

import pytest

from lorakit.chapters.inside_gpt2.explorer import TARGETS, TargetPicker


@pytest.mark.parametrize(("targets", "counted"), [(["q", "v", "mlp"], ["c_attn", "mlp"]), (["o"], ["o"])])
def test_fusing_replaces_the_slices(targets, counted):
    data = TargetPicker("gpt2").set(fused=True, **{target: target in targets for target in TARGETS}).data
    assert list(data["counts"]) == counted


def test_it_says_what_to_do_when_nothing_is_chosen():
    assert "tick a target" in str(TargetPicker().set(q=False, v=False))
