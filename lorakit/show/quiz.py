"""Multiple-choice questions that explain every answer, right or wrong; a folded list where no kernel runs."""

import random
from dataclasses import dataclass

from lorakit.show.exercises import code_spans
from lorakit.show.scores import first_choices, keep_choice

QUIZZES: dict[str, "Quiz"] = {}


@dataclass(frozen=True)
class Question:
    """One question: `answer` is the index of the right choice; `explanations` has one sentence or two per choice."""

    text: str
    choices: tuple[str, ...]
    answer: int
    explanations: tuple[str, ...]

    def __post_init__(self):
        object.__setattr__(self, "choices", tuple(self.choices))
        object.__setattr__(self, "explanations", tuple(self.explanations))
        if len(self.choices) < 2 or len(set(self.choices)) < len(self.choices):
            raise ValueError(f"at least two different choices are needed: {self.text}")
        if not 0 <= self.answer < len(self.choices):
            raise ValueError(f"answer must index one of {len(self.choices)} choices, got {self.answer}: {self.text}")
        if len(self.explanations) != len(self.choices):
            raise ValueError(f"one explanation for each of {len(self.choices)} choices is needed: {self.text}")

    def mixed(self) -> "Question":
        """The same question with its choices in an order that depends on its words alone: no place is favoured."""
        order = list(range(len(self.choices)))
        random.Random(self.text).shuffle(order)
        choices, explanations = (tuple(x[i] for i in order) for x in (self.choices, self.explanations))
        return Question(self.text, choices, order.index(self.answer), explanations)


class Quiz:
    """`Quiz("03", [Question(…), …])` as a cell's last line shows the quiz.

    The text may hold `code` between backticks and maths as Unicode. `.score` counts the questions answered right at the
    first try, which the workbook keeps over restarts; `.choose(question, choice)` answers from code, as a click does.
    """

    def __init__(self, chapter: str, questions: list[Question], mix: bool = True):
        self.chapter = chapter
        self.questions = [q.mixed() if mix else q for q in questions]
        self.first: dict[int, int] = {}  # question → the choice first made
        self._widgets = None
        QUIZZES[chapter] = self

    @property
    def score(self) -> int:
        """Questions answered right at the first try."""
        return sum(choice == self.questions[i].answer for i, choice in self.first.items())

    def choose(self, question: int, choice: int) -> str:
        """Answer question number `question` (from 0) with `choice` (from 0): the feedback, in words."""
        q = self.questions[question]
        if not 0 <= choice < len(q.choices):
            raise ValueError(f"choice must be 0 to {len(q.choices) - 1}, got {choice}")
        if question not in self.first:
            self.first[question] = choice
            keep_choice(self.chapter, q.text, q.choices[choice], choice == q.answer)
        return ("✓ Right. " if choice == q.answer else "✗ Not quite. ") + q.explanations[choice]

    def recall(self) -> None:
        """Take up the first choices that the workbook has kept; they count, and one may still try the others."""
        kept = first_choices(self.chapter)
        for i, q in enumerate(self.questions):
            if kept.get(q.text) in q.choices:
                self.first.setdefault(i, q.choices.index(kept[q.text]))

    def summary(self) -> str:
        total = len(self.questions)
        if len(self.first) < total:
            return f"{len(self.first)} of {total} answered"
        return f"{self.score} of {total} right at the first try"

    # -- live

    @property
    def widget(self):
        """The ipywidget; ImportError says how to install ipywidgets if it is missing."""
        if self._widgets is None:
            try:
                import ipywidgets as w
            except ImportError as error:
                raise ImportError("the live quiz needs ipywidgets: pip install ipywidgets, then restart") from error
            self.recall()
            rows, radios = [w.HTML("<b style='font-size:16px'>Check yourself</b>")], []
            for i, q in enumerate(self.questions):
                options = [(choice.replace("`", ""), c) for c, choice in enumerate(q.choices)]
                radio = w.RadioButtons(options=options, value=None, layout=w.Layout(width="auto", max_width="760px"))
                feedback = w.HTML()
                radio.observe(lambda change, i=i, f=feedback: self._answered(i, change["new"], f), "value")
                heading = w.HTML(
                    f"<div style='font-size:15px;max-width:760px'><b>{i + 1}.</b> {code_spans(q.text)}</div>"
                )
                rows += [heading, radio, feedback]
                radios.append(radio)
            score = w.HTML(self.summary())
            self._widgets = {"box": w.VBox([*rows, score]), "radios": radios, "score": score}
        return self._widgets["box"]

    def radio(self, question: int):
        """The radio buttons of one question, for tests: assigning `.value` acts as a click."""
        _ = self.widget
        return self._widgets["radios"][question]

    def _answered(self, question: int, choice: int | None, feedback) -> None:
        if choice is None:
            return
        text = self.choose(question, choice)
        right = choice == self.questions[question].answer
        ink, paper = ("#00664B", "#E6F5F0") if right else ("#A34700", "#FDF0E6")
        style = (
            f"border-left:5px solid {ink};background:{paper};color:#111;padding:6px 12px;font-size:15px;max-width:740px"
        )
        feedback.value = f"<div style='{style};line-height:1.45' role='status'>{code_spans(text)}</div>"
        self._widgets["score"].value = f"<i>{self.summary()}</i>"

    # -- on a page without a kernel

    def _repr_html_(self) -> str:
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
