"""Turn something in a model up and down: how many of its SQL answers are right at each setting, and how they read."""

import textwrap
from dataclasses import dataclass

import pandas as pd

from lorakit.lab.tasks.task import Task
from lorakit.show.explorer import Choice, Explorer, Steps
from lorakit.show.sql_view import mark, question_of, result_lines, shorten
from lorakit.show.style import BLUE, GREEN, GREY, MARKS, ORANGE, PURPLE, RED


@dataclass(frozen=True)
class Answered:
    """What a model answers to the first test questions of a task, at each setting of something."""

    task: Task
    found: dict[object, dict]  # setting → what `lab.evaluate` found

    @property
    def accuracy(self) -> pd.Series:
        """Setting → the share of right answers, 0 to 1."""
        return pd.Series({setting: scores[self.task.metric] for setting, scores in self.found.items()})

    def __str__(self) -> str:
        return "  ".join(f"{setting}: {share:.0%}" for setting, share in self.accuracy.items())


class AnswersExplorer(Explorer):
    """A slider over answers worked out beforehand: how many are right, and how one question's reads.

    knob    the slider's name, the axis' label, and a setting in words: ("k", "k", "k = {}")
    curves  at most four, by what a menu `keep` calls them; all with the same settings and questions
    start   the setting that the slider begins at
    right   the questions offered are the eight whose answers change most over the first curve, after those that it
            does not answer right at this setting have been put last
    """

    size = (10, 3.8)

    def __init__(self, knob: tuple[str, str, str], curves: dict[str, Answered], title: str, *, start, right):
        self.knob, self.curves = knob, curves
        first, *others = curves.values()
        self.settings, self.examples = tuple(first.found), first.task.test[: len(first.found[start]["answers"])]
        self.questions = self.telling(first, right)[:8]
        controls = {knob[0]: Steps(knob[0], self.settings, start)}
        if others:
            controls["keep"] = Choice("keep", tuple(curves), next(iter(curves)))
        super().__init__(title, controls | {"question": Steps("question", range(1, len(self.questions) + 1), 1)})

    def compute(self, question: int, keep: str | None = None, **knob) -> dict:
        (setting,) = knob.values()
        curve = self.curves[keep] if keep else next(iter(self.curves.values()))
        j = self.questions[question - 1]
        example, sql = self.examples[j], curve.found[setting]["answers"][j]
        return {
            "setting": self.knob[2].format(setting) + (f", keep {keep}" if keep else ""),
            "place": self.settings.index(setting),
            "accuracy": curve.accuracy[setting],
            "question": question_of(example),
            "sql": shorten(sql, 150),
            "mark": mark(sql, example),
            "result": "; ".join(result_lines(sql, example)),
        }

    def draw(self, figure, data):
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
        places = range(len(self.settings))  # evenly spaced: a rank of 0 has no place on a logarithmic axis
        looks = zip((BLUE, GREEN, RED, PURPLE), ("o-", "s--", "D:", "^-."), strict=True)
        for (name, curve), (colour, line) in zip(self.curves.items(), looks, strict=False):
            left.plot(places, 100 * curve.accuracy.to_numpy(), line, color=colour, markersize=5, label=name)
        left.set_xticks(places, list(map(str, self.settings)))
        left.set(xlabel=self.knob[1], ylabel="answers right (%)", ylim=(-4, 104))
        left.grid(True)
        if len(self.curves) > 1:
            left.legend(fontsize=11, loc="lower center", bbox_to_anchor=(0.45, 1.0), borderaxespad=0.2)
        (self.dot,) = left.plot([], [], "o", color=ORANGE, markersize=14, alpha=0.85)
        right.set_axis_off()
        right.spines[:].set_visible(False)  # an explorer draws every visible frame over what moves
        right.set(xlim=(0, 1), ylim=(0, 1))
        for y, label in ((1.0, "the question"), (0.66, "what the model writes"), (0.24, "what that gives")):
            right.text(0, y, label, va="top", fontsize=12, color=GREY)
        code = dict(family="DejaVu Sans Mono", color=BLUE)
        self.asked = right.text(0, 0.92, "", va="top", fontsize=14, linespacing=1.3)
        self.written = right.text(0, 0.58, "", va="top", fontsize=14, linespacing=1.3, **code)
        self.got = right.text(0, 0.16, "", va="top", fontsize=14, weight="bold")
        self.move(data)
        return [self.dot, self.asked, self.written, self.got]

    def move(self, data):
        self.dot.set_data([data["place"]], [100 * data["accuracy"]])
        self.asked.set_text(textwrap.fill(data["question"], 50))
        self.written.set_text(textwrap.fill(data["sql"] or "(nothing)", 44, max_lines=3, placeholder=" …"))
        self.got.set_text(f"{data['mark']}  " + shorten(data["result"].removeprefix("✗ "), 44))
        self.got.set_color(MARKS[data["mark"]][0])

    def describe(self, data):
        share = f"{data['accuracy']:.0%} of {len(self.examples)} held-out questions right"
        return f"{data['setting']}: {share}\n{data['mark']} {data['sql']}"

    def telling(self, curve: Answered, right) -> list[int]:
        """The examples' numbers: first those that are right at the setting `right`, and whose answers change most."""
        answers = pd.DataFrame({setting: scores["answers"] for setting, scores in curve.found.items()})
        marks = map(mark, answers[right], self.examples)
        order = pd.DataFrame({"wrong": [m == "✗" for m in marks], "changes": -answers.nunique(axis=1)})
        return order.sort_values(["wrong", "changes"], kind="stable").index.tolist()
