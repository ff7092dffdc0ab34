"""Cut a fine-tuned model's update to rank k with a slider: its accuracy, and what it answers."""

from lorakit.lab.tasks.task import Task
from lorakit.show.answers_explorer import Answered, AnswersExplorer


def truncation_explorer(cuts: dict[str, dict[int, dict]], task: Task) -> AnswersExplorer:
    """Widget: a slider for k; `cuts` has, by what is kept, what `lab.evaluate` found on the test split at each k.

    All, at most four, have the same ranks, 1 among them, and the same questions.
    """
    answered = {kept: Answered(task, found) for kept, found in cuts.items()}
    title, full = "How much of the update does the job need?", max(next(iter(cuts.values())))
    return AnswersExplorer(("k", "k", "k = {}"), answered, title, start=1, right=full)
