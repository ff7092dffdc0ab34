"""Cut a fine-tuned model's update to rank k with a slider: its accuracy, and what it answers."""

import pandas as pd

from lorakit.lab.tasks.task import Task
from lorakit.show.answers_explorer import Answered, AnswersExplorer


def truncation_explorer(
    cuts: dict[str, dict[int, dict]], task: Task, title: str = "How much of the update does the job need?"
) -> AnswersExplorer:
    """Widget: a slider for k; `cuts` has, by what is kept, what `lab.evaluate` found on the test split at each k.

    All, at most four, must have the same ranks and numbers of questions (ValueError).
    """
    answered = {kept: _answered(found, task) for kept, found in cuts.items()}
    ranks = list(next(iter(cuts.values())))
    start = 1 if 1 in ranks else ranks[0]
    return AnswersExplorer(("k", "k", "k = {}"), answered, title, start=start, right=ranks[-1])


def _answered(found: dict[int, dict], task: Task) -> Answered:
    accuracy = pd.Series({k: scores[task.metric] for k, scores in found.items()})
    answers = {k: tuple(scores["answers"]) for k, scores in found.items()}
    return Answered(accuracy, answers, tuple(task.test[: len(next(iter(answers.values())))]))
