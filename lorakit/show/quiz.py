"""Multiple-choice questions that explain every answer, right or wrong; a folded list where no kernel runs."""

import random
import re
from dataclasses import dataclass
from pathlib import Path

from lorakit.show.box import box, code_spans
from lorakit.show.scores import keep_choice, kept

QUIZZES: dict[str, "Quiz"] = {}  # of the chapters imported in this notebook, by the chapter's number


@dataclass(frozen=True)
class Question:
    """One question: `answer` is the index of the right choice; `explanations` has one sentence or two per choice."""

    text: str
    choices: tuple[str, ...]
    answer: int
    explanations: tuple[str, ...]


def read_quiz(chapter: str, beside: str) -> "Quiz":
    """The quiz in the file quiz.md of the folder that `beside` lies in. In it a question is

        ## What is `B` at step 0?

        - [ ] Gaussian
          Then the output would move before the first step.
        - [x] zero
          Then B A = 0: the output is the base's.

    one line each for the question, a choice ([x]: the right one) and, below a choice, what to tell whoever takes it.
    Choices are shown in an order that depends on the question's words alone, so that no place is favoured. Raises
    ValueError for a question without one right choice.
    """
    questions = []
    for block in re.split(r"^## ", Path(beside).with_name("quiz.md").read_text(encoding="utf-8"), flags=re.M)[1:]:
        text = block.partition("\n")[0]
        found = re.findall(r"^- \[([ x])\] (.+)\n  (.+)$", block, flags=re.M)
        random.Random(text).shuffle(found)
        right = [number for number, (mark, _, _) in enumerate(found) if mark == "x"]
        if len(right) != 1 or len(found) != block.count("\n- ["):
            raise ValueError(f"one right choice, and a line below each, are needed: {block}")
        _, choices, explanations = zip(*found, strict=True)
        questions.append(Question(text, choices, right[0], explanations))
    return Quiz(chapter, questions)


class Quiz:
    """`Quiz("03", [Question(…), …])` as a cell's last line shows the quiz.

    The text may hold `code` between backticks and maths as Unicode. `.score` counts the questions answered right at the
    first try, which the workbook keeps over restarts; `.choose(question, choice)` answers from code, as a click does.
    """

    def __init__(self, chapter: str, questions: list[Question]):
        self.chapter, self.questions = chapter, questions
        self.first: dict[int, int] = {}  # question → the choice first made
        self._widget = None
        QUIZZES[chapter] = self

    @property
    def score(self) -> int:
        """Questions answered right at the first try."""
        return sum(choice == self.questions[i].answer for i, choice in self.first.items())

    def choose(self, question: int, choice: int) -> str:
        """Answer question number `question` (from 0) with `choice` (from 0): the feedback, in words."""
        q = self.questions[question]
        if question not in self.first:
            self.first[question] = choice
            keep_choice(self.chapter, q.text, q.choices[choice], choice == q.answer)
        return ("✓ Right. " if choice == q.answer else "✗ Not quite. ") + q.explanations[choice]

    def recall(self) -> None:
        """Take up the first choices that the workbook has kept; they count, and one may still try the others."""
        chosen = kept("quizzes").get(self.chapter, {})
        for i, q in enumerate(self.questions):
            choice = chosen.get(q.text, {}).get("choice")
            if choice in q.choices:
                self.first.setdefault(i, q.choices.index(choice))

    def summary(self) -> str:
        total = len(self.questions)
        if len(self.first) < total:
            return f"{len(self.first)} of {total} answered"
        return f"{self.score} of {total} right at the first try"

    @property
    def widget(self):
        """The ipywidget: a heading, then each question's text, buttons and feedback, and the score."""
        if self._widget is None:
            import ipywidgets as w

            self.recall()
            rows, score = [w.HTML("<b style='font-size:16px'>Check yourself</b>")], w.HTML(self.summary())
            for i, q in enumerate(self.questions):
                text = f"<div style='font-size:15px;max-width:760px'><b>{i + 1}.</b> {code_spans(q.text)}</div>"
                options = [(choice.replace("`", ""), c) for c, choice in enumerate(q.choices)]
                radio = w.RadioButtons(options=options, value=None, layout=w.Layout(width="auto", max_width="760px"))
                feedback = w.HTML()

                def answered(change, i=i, feedback=feedback):
                    said = self.choose(i, change["new"])
                    feedback.value = box(said[0], said)
                    score.value = f"<i>{self.summary()}</i>"

                radio.observe(answered, "value")
                rows += [w.HTML(text), radio, feedback]
            self._widget = w.VBox([*rows, score])
        return self._widget

    def _repr_html_(self) -> str:
        """The page without a kernel: every question with its answer folded."""
        parts = ["<div><b>Check yourself</b><ol>"]
        for q in self.questions:
            choices = "".join(f"<li>{code_spans(choice)}</li>" for choice in q.choices)
            parts.append(f'<li>{code_spans(q.text)}<ol type="a">{choices}</ol>')
            parts.append("<details><summary>Answer</summary><ul>")
            for i, (choice, why) in enumerate(zip(q.choices, q.explanations, strict=True)):
                mark = "✓" if i == q.answer else "✗"
                parts.append(f"<li>{mark} <i>{code_spans(choice)}</i>: {code_spans(why)}</li>")
            parts.append("</ul></details></li>")
        return "".join(parts) + "</ol></div>"

    def __str__(self) -> str:
        lines = [f"Quiz {self.chapter}"]
        for i, q in enumerate(self.questions):
            lines.append(f"{i + 1}. {q.text}")
            lines += [f"   {'abcdefgh'[c]}) {choice}" for c, choice in enumerate(q.choices)]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": str(self), "text/html": self._repr_html_()}
        try:
            return self.widget._repr_mimebundle_() | bundle
        except ImportError:
            return bundle
