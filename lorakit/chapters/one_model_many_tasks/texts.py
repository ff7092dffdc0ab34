"""Texts in several styles side by side, each in its adapter's colour, as a table or as lines."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from lorakit.show.style import BLUE, GREEN, GREY, RED

COLOURS = {"law": BLUE, "medicine": GREEN, "code": RED, "base": GREY}
OTHER = "#444444"


@dataclass(frozen=True)
class Texts:
    """Rows of (adapter, prompt, continuation); shows the adapter's name in its colour and the prompt in grey."""

    rows: tuple[tuple[str, str, str], ...]
    title: str = ""

    def __str__(self) -> str:
        width = max((len(name) for name, _, _ in self.rows), default=0)
        gap = "\n" + " " * (width + 2)
        lines = [
            f"{name:{width}}  " + f"{prompt}{_joined(text)}".replace("\n", gap) for name, prompt, text in self.rows
        ]
        return "\n".join(([self.title] if self.title else []) + lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        title = f"<div style='font-size:16px'><b>{html.escape(self.title)}</b></div>" if self.title else ""
        rows = "".join(_row(*row) for row in self.rows)
        return f"{title}<table style='border-collapse:collapse;max-width:860px'>{rows}</table>"


def texts(names: Sequence[str | None], prompts: Sequence[str], written: Sequence[str], title: str = "") -> Texts:
    """A row for each text; a name of None is the base. What was `written` is joined to its prompt as it stands."""
    rows = tuple((name or "base", *pair) for name, *pair in zip(names, prompts, written, strict=True))
    return Texts(rows, title)


def samples(tasks: dict, number: int = 1) -> Texts:
    """The first training texts of each task, as they are learnt from."""
    rows = [(name, e.prompt, e.answer) for name, task in tasks.items() for e in task.train[:number]]
    return Texts(tuple(rows))


def _row(name: str, prompt: str, text: str) -> str:
    colour = COLOURS.get(name, OTHER)
    cell = "padding:6px 12px;vertical-align:top;text-align:left;font-size:15px;line-height:1.4"
    font = "white-space:pre-wrap;font-family:monospace;font-size:14px" if "\n" in text else "white-space:pre-wrap"
    return (
        f"<tr style='background:none'><td style='{cell};border-left:6px solid {colour};color:{colour}'>"
        f"<b>{html.escape(name)}</b></td>"
        f"<td style='{cell}'><span style='color:{GREY}'>{html.escape(prompt)}</span>"
        f"<span style='{font}'>{html.escape(_joined(text))}</span></td></tr>"
    )


def _joined(text: str) -> str:
    """Code begins on a line of its own, words after a blank."""
    if text.startswith((" ", "\n")) or not text:
        return text
    return ("\n" if text.startswith(("def ", "class ")) else " ") + text
