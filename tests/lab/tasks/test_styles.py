"""Texts in three styles: what is held out of each."""

import pytest

from lorakit.core.errors import LoRAError
from lorakit.lab.tasks import TASKS
from lorakit.lab.tasks.styles import HELD_OUT, STYLES, style_task


def test_the_test_says_how_far_from_training_each_text_is():
    for task in (TASKS[style]() for style in STYLES):
        kinds = [example.info["held_out"] for example in task.test]
        assert kinds == [kind for kind in HELD_OUT for _ in range(100)]
        assert [e.info["held_out"] for e in task.validation] == ["combinations"] * 100 + ["words"] * 100


def test_unknown_names_are_refused_with_what_there_is():
    with pytest.raises(LoRAError, match="style must be one of law, medicine, code, got 'poetry'"):
        style_task("poetry")
