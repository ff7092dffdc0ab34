"""Turn the update up and down: what a fine-tuned model answers at each strength of its adapter."""

from torch import nn

import lorakit as lk
from lorakit.lab.evaluate import evaluate
from lorakit.lab.tasks.task import Task
from lorakit.show.answers_explorer import Answered, AnswersExplorer


def sweep_strength(model: nn.Module, tokenizer, task: Task, strengths, limit: int = 64) -> Answered:
    """Evaluate the first `limit` test questions at each strength of the active adapter, which ends at 1 again."""
    found = {}
    try:
        for strength in strengths:
            lk.set_scale(model, strength)
            found[strength] = evaluate(model, tokenizer, task, limit=limit)
    finally:
        lk.set_scale(model, 1.0)
    return Answered(task, found)


def strength_explorer(sweep: Answered) -> AnswersExplorer:
    """Widget: a slider for the adapter's strength, over answers worked out by `sweep_strength`, 1 among them."""
    knob = ("strength", "strength (0: the base, 1: as trained)", "strength {:g}")
    return AnswersExplorer(knob, {"": sweep}, "How much of the update do you need?", start=1, right=1)
