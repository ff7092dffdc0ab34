"""Turn the update up and down: what a fine-tuned model answers at each strength of its adapter."""

import textwrap
from dataclasses import dataclass

from torch import nn

import lorakit as lk
from lorakit.lab.evaluate import evaluate
from lorakit.lab.tasks.task import Example, Task
from lorakit.show.explorer import Explorer, Slider, Steps
from lorakit.show.sql_view import mark, question_of, result_lines, shorten
from lorakit.show.style import BLUE, GREY, ORANGE

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


@dataclass(frozen=True)
class Sweep:
    """What a model answers at every strength: `answers[i][j]` is that of strength i to example j."""

    strengths: tuple[float, ...]
    accuracy: tuple[float, ...]  # 0..1, by execution
    answers: tuple[tuple[str, ...], ...]
    examples: tuple[Example, ...]


def sweep_strength(model: nn.Module, tokenizer, task: Task, strengths=STRENGTHS, limit: int = 64) -> Sweep:
    """Evaluate the first `limit` test questions at each strength of the active adapter, which ends at 1 again."""
    found = []
    try:
        for strength in strengths:
            lk.set_scale(model, strength)
            found.append(evaluate(model, tokenizer, task, "test", limit=limit))
    finally:
        lk.set_scale(model, 1.0)
    return Sweep(
        strengths=tuple(strengths),
        accuracy=tuple(result[task.metric] for result in found),
        answers=tuple(tuple(result["answers"]) for result in found),
        examples=tuple(task.test[:limit]),
    )


class StrengthExplorer(Explorer):
    """See `strength_explorer`."""

    size = (10, 3.8)

    def __init__(self, sweep: Sweep, title: str, questions: list[int]):
        self.sweep, self.questions = sweep, questions
        controls = {
            "strength": Steps("strength", sweep.strengths, 1.0 if 1.0 in sweep.strengths else sweep.strengths[-1]),
            "question": Slider("question", 1, len(questions), 1),
        }
        super().__init__(title, controls)

    def compute(self, strength: float, question: int) -> dict:
        i, j = self.sweep.strengths.index(strength), self.questions[question - 1]
        example, sql = self.sweep.examples[j], self.sweep.answers[i][j]
        return {
            "strength": strength,
            "accuracy": self.sweep.accuracy[i],
            "question": question_of(example),
            "sql": shorten(sql, 150),
            "mark": mark(sql, example),
            "result": "; ".join(result_lines(sql, example)),
        }

    def draw(self, figure, data):
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
        percent = [100 * share for share in self.sweep.accuracy]
        left.plot(self.sweep.strengths, percent, "o-", color=GREY)
        left.set(xlabel="strength (0: the base, 1: as trained)", ylabel="answers right (%)", ylim=(-4, 104))
        left.grid(True)
        (self.dot,) = left.plot([], [], "o", color=ORANGE, markersize=15)
        right.set_axis_off()
        right.spines[:].set_visible(False)  # an explorer draws every visible frame over what moves
        right.set(xlim=(0, 1), ylim=(0, 1))
        for y, label in ((1.0, "the question"), (0.68, "what the model writes"), (0.26, "what that gives")):
            right.text(0, y, label, va="top", fontsize=12, color=GREY)
        self.asked = right.text(0, 0.92, "", va="top", fontsize=14, linespacing=1.3)
        self.written = right.text(0, 0.60, "", va="top", fontsize=14, family="DejaVu Sans Mono", linespacing=1.3)
        self.got = right.text(0, 0.18, "", va="top", fontsize=14, weight="bold")
        self.move(data)
        return [self.dot, self.asked, self.written, self.got]

    def move(self, data):
        self.dot.set_data([data["strength"]], [100 * data["accuracy"]])
        self.asked.set_text(textwrap.fill(data["question"], 50))
        self.written.set_text(textwrap.fill(data["sql"] or "(nothing)", 48))
        self.got.set_text(f"{data['mark']}  " + shorten(data["result"].removeprefix("✗ "), 46))
        for text, colour in ((self.written, BLUE), (self.got, "#00664B" if data["mark"] == "✓" else "#A34700")):
            text.set_color(colour)

    def describe(self, data):
        share = f"{data['accuracy']:.0%} of {len(self.sweep.examples)} held-out questions right"
        return f"strength {data['strength']:g}: {share}\n{data['mark']} {data['sql']}"


def strength_explorer(
    sweep: Sweep, title: str = "How much of the update do you need?", questions: int = 8
) -> StrengthExplorer:
    """Widget: a slider for the adapter's strength, over answers worked out beforehand by `sweep_strength`.

    Of the sweep's questions, it offers those whose answers change most; first those answered right at strength 1.
    """
    columns = list(zip(*sweep.answers, strict=True))  # one tuple of answers per question
    start = sweep.strengths.index(1.0) if 1.0 in sweep.strengths else -1
    order = sorted(
        range(len(columns)),
        key=lambda j: (mark(columns[j][start], sweep.examples[j]) == "✗", -len(set(columns[j])), j),
    )
    return StrengthExplorer(sweep, title, order[:questions])
