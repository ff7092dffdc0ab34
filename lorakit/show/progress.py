"""What of a chapter is done: its exercises and its quiz, as a table."""

import html
from dataclasses import dataclass

from lorakit.show.exercises import REGISTRY
from lorakit.show.quiz import QUIZZES


@dataclass(frozen=True)
class Progress:
    """Rows of (number, title, state), and how many are done."""

    rows: tuple[tuple[str, str, str], ...]

    @property
    def done(self) -> int:
        return sum(state in ("passed", "finished") for _, _, state in self.rows)

    def __str__(self) -> str:
        width = max((len(title) for _, title, _ in self.rows), default=0)
        lines = [f"{number:6} {title:{width}}  {state}" for number, title, state in self.rows]
        return "\n".join([f"{self.done} of {len(self.rows)} done", *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        marks = {"passed": "✓ passed", "finished": "✓ finished", "wrong": "✗ try again", "not done": "○ not done yet"}
        cells = "".join(
            "<tr>" + "".join(f"<td style='text-align:left;font-size:15px'>{html.escape(c)}</td>" for c in row) + "</tr>"
            for row in ((number, title, marks.get(state, state)) for number, title, state in self.rows)
        )
        return f"<b>{self.done} of {len(self.rows)} done</b><table>{cells}</table>"


def progress() -> Progress:
    """The exercises and quizzes of the chapters imported in this notebook, and how far you are; shows as a table."""
    rows = [(check.id, check.title, check.last.state if check.last else "not done") for check in REGISTRY.values()]
    for quiz in QUIZZES.values():
        state = "finished" if len(quiz.first) == len(quiz.questions) else quiz.summary()
        rows.append((quiz.chapter, "quiz", state))
    return Progress(tuple(sorted(rows, key=lambda row: (row[0][:2], row[1] == "quiz", row[0]))))
