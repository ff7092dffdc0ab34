"""Texts in three styles: what is held out of each."""

from lorakit.lab.tasks import TASKS
from lorakit.lab.tasks.styles import HELD_OUT, STYLES


def test_the_test_says_how_far_from_training_each_text_is():
    for task in (TASKS[style]() for style in STYLES):
        kinds = [example.info["held_out"] for example in task.test]
        assert kinds == [kind for kind in HELD_OUT for _ in range(100)]
        assert [e.info["held_out"] for e in task.validation] == ["combinations"] * 100 + ["words"] * 100
