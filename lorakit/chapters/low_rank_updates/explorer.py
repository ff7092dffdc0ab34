"""Cut a fine-tuned model's update to rank k with a slider: its accuracy, and what it answers."""

import textwrap
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import nn

from lorakit.lab.evaluate import evaluate
from lorakit.lab.tasks.task import Example, Task
from lorakit.show.explorer import Choice, Explorer, Slider, Steps
from lorakit.show.sql_view import mark, question_of, result_lines, shorten
from lorakit.show.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED


@dataclass(frozen=True)
class Cut:
    """What a model answers when something in it is cut to each rank: `answers[i][j]`: rank i, example j."""

    ranks: tuple[int, ...]
    accuracy: tuple[float, ...]  # 0..1, by execution
    answers: tuple[tuple[str, ...], ...]
    examples: tuple[Example, ...]

    def __str__(self) -> str:
        return "  ".join(f"{k}: {share:.0%}" for k, share in zip(self.ranks, self.accuracy, strict=True))


def cut_to(
    at_rank: Callable[[int], AbstractContextManager],
    ranks: Sequence[int],
    model: nn.Module,
    tokenizer,
    task: Task,
    limit: int = 48,
) -> Cut:
    """Evaluate the first `limit` test questions inside `at_rank(k)`, for example `update_at_rank`, for each k."""
    found = []
    for k in ranks:
        with at_rank(k):
            found.append(evaluate(model, tokenizer, task, "test", limit=limit))
    return Cut(
        ranks=tuple(ranks),
        accuracy=tuple(result[task.metric] for result in found),
        answers=tuple(tuple(result["answers"]) for result in found),
        examples=tuple(task.test[:limit]),
    )


class TruncationExplorer(Explorer):
    """See `truncation_explorer`."""

    size = (10, 3.8)

    def __init__(self, cuts: dict[str, Cut], title: str, questions: list[int]):
        self.cuts, self.questions = cuts, questions
        first = next(iter(cuts.values()))
        self.ranks = first.ranks
        controls = {
            "k": Steps("k", self.ranks, 1 if 1 in self.ranks else self.ranks[0]),
            "keep": Choice("keep", tuple(cuts), next(iter(cuts))),
            "question": Slider("question", 1, len(questions), 1),
        }
        super().__init__(title, controls)

    def compute(self, k: int, keep: str, question: int) -> dict:
        cut, i, j = self.cuts[keep], self.ranks.index(k), self.questions[question - 1]
        example, sql = cut.examples[j], cut.answers[i][j]
        return {
            "k": k,
            "keep": keep,
            "accuracy": cut.accuracy[i],
            "question": question_of(example),
            "sql": shorten(sql, 150),
            "mark": mark(sql, example),
            "result": "; ".join(result_lines(sql, example)),
        }

    def draw(self, figure, data):
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
        places = range(len(self.ranks))  # evenly spaced: 0 has no place on a logarithmic axis
        looks = zip((BLUE, GREEN, RED, PURPLE), ("o-", "s--", "D:", "^-."), strict=True)
        for (name, cut), (colour, line) in zip(self.cuts.items(), looks, strict=False):
            left.plot(places, [100 * share for share in cut.accuracy], line, color=colour, markersize=5, label=name)
        left.set_xticks(places, list(map(str, self.ranks)))
        left.set(xlabel="k", ylabel="answers right (%)", ylim=(-4, 104))
        left.grid(True)
        left.legend(fontsize=11, loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=1, borderaxespad=0.2)
        (self.dot,) = left.plot([], [], "o", color=ORANGE, markersize=14, alpha=0.85)
        right.set_axis_off()
        right.spines[:].set_visible(False)  # an explorer draws every visible frame over what moves
        right.set(xlim=(0, 1), ylim=(0, 1))
        for y, label in ((1.0, "the question"), (0.65, "what the model writes"), (0.24, "what that gives")):
            right.text(0, y, label, va="top", fontsize=12, color=GREY)
        self.asked = right.text(0, 0.92, "", va="top", fontsize=14, linespacing=1.3)
        self.written = right.text(0, 0.57, "", va="top", fontsize=14, family="DejaVu Sans Mono", linespacing=1.3)
        self.got = right.text(0, 0.16, "", va="top", fontsize=14, weight="bold")
        self.move(data)
        return [self.dot, self.asked, self.written, self.got]

    def move(self, data):
        self.dot.set_data([self.ranks.index(data["k"])], [100 * data["accuracy"]])
        self.asked.set_text(textwrap.fill(data["question"], 50))
        lines = textwrap.wrap(data["sql"], 44) or ["(nothing)"]
        self.written.set_text("\n".join(lines[:3] if len(lines) <= 3 else [*lines[:2], lines[2][:43] + "…"]))
        self.got.set_text(f"{data['mark']}  " + shorten(data["result"].removeprefix("✗ "), 44))
        for text, colour in ((self.written, BLUE), (self.got, "#00664B" if data["mark"] == "✓" else "#A34700")):
            text.set_color(colour)

    def describe(self, data):
        share = f"{data['accuracy']:.0%} of {len(next(iter(self.cuts.values())).examples)} held-out questions right"
        return f"k = {data['k']}, keep {data['keep']}: {share}\n{data['mark']} {data['sql']}"


def truncation_explorer(
    cuts: dict[str, Cut], title: str = "How much of the update does the job need?", questions: int = 8
) -> TruncationExplorer:
    """Widget: a slider for k, over answers worked out beforehand by `cut_to`; `cuts` maps what is kept to them.

    All, at most four, must have the same ranks and examples (ValueError). Of the questions it offers those whose
    answers change most over the first cut's ranks; first those that it answers right at the highest.
    """
    first, *others = cuts.values()
    if any(cut.ranks != first.ranks or cut.examples != first.examples for cut in others):
        raise ValueError("the cuts must have the same ranks and the same examples")
    columns = list(zip(*first.answers, strict=True))  # one tuple of answers per question
    order = sorted(
        range(len(columns)),
        key=lambda j: (mark(columns[j][-1], first.examples[j]) == "✗", -len(set(columns[j])), j),
    )
    return TruncationExplorer(cuts, title, order[:questions])
