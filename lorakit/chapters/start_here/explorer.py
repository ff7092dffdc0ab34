"""Turn the update up and down: what a fine-tuned model answers at each strength of its adapter."""

from contextlib import contextmanager

from torch import nn

import lorakit as lk
from lorakit.lab.tasks.task import Task
from lorakit.show.answers_explorer import Answered, AnswersExplorer, answer_at


def sweep_strength(model: nn.Module, tokenizer, task: Task, strengths, limit: int = 64) -> Answered:
    """Evaluate the first `limit` test questions at each strength of the active adapter, which ends at 1 again."""

    @contextmanager
    def strength(value: float):
        lk.set_scale(model, value)
        try:
            yield
        finally:
            lk.set_scale(model, 1.0)

    return answer_at(strength, strengths, model, tokenizer, task, limit)


def strength_explorer(sweep: Answered) -> AnswersExplorer:
    """Widget: a slider for the adapter's strength, over answers worked out beforehand by `sweep_strength`."""
    strengths = list(sweep.answers)
    trained = 1.0 if 1.0 in strengths else strengths[-1]
    knob = ("strength", "strength (0: the base, 1: as trained)", "strength {:g}")
    title = "How much of the update do you need?"
    return AnswersExplorer(knob, {"": sweep}, title, start=trained, right=trained)
