"""The picker of what to adapt."""

from lorakit.chapters.inside_gpt2.explorer import TargetPicker


def test_it_says_what_to_do_when_nothing_is_chosen():
    assert "tick a target" in str(TargetPicker().set(q=False, v=False))
