"""Cut a fine-tuned model's update to rank k with a slider: its accuracy, and what it answers."""

import pandas as pd

from lorakit.lab.tasks.task import Task
from lorakit.show.answers_explorer import Answered, AnswersExplorer


def truncation_explorer(cuts: dict[str, dict[int, dict]], task: Task) -> AnswersExplorer:
    """Widget: a slider for k; `cuts` has, by what is kept, what `lab.evaluate` found on the test split at each k.

    All, at most four, have the same ranks, 1 among them, and the same questions.
    """
    answered = {kept: _answered(found, task) for kept, found in cuts.items()}
    title, full = "How much of the update does the job need?", max(next(iter(cuts.values())))
    return AnswersExplorer(("k", "k", "k = {}"), answered, title, start=1, right=full)


def _answered(found: dict[int, dict], task: Task) -> Answered:
    accuracy = pd.Series({k: scores[task.metric] for k, scores in found.items()})
    answers = {k: tuple(scores["answers"]) for k, scores in found.items()}
    return Answered(accuracy, answers, tuple(task.test[: len(next(iter(answers.values())))]))
