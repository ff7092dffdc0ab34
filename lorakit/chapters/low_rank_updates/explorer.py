"""Cut a fine-tuned model's update to rank k with a slider: its accuracy, and what it answers."""

from lorakit.show.answers_explorer import Answered, AnswersExplorer


def truncation_explorer(
    cuts: dict[str, Answered], title: str = "How much of the update does the job need?"
) -> AnswersExplorer:
    """Widget: a slider for k, over answers worked out beforehand by `answer_at`; `cuts` maps what is kept to them.

    All, at most four, must have the same ranks and examples (ValueError).
    """
    ranks = list(next(iter(cuts.values())).answers)
    start = 1 if 1 in ranks else ranks[0]
    return AnswersExplorer(("k", "k", "k = {}"), cuts, title, start=start, right=ranks[-1])
