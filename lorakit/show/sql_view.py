"""Text-to-SQL to look at: the question alone, whether an answer is right, and what it gives."""

import html
import sqlite3
from dataclasses import dataclass

from lorakit.lab.tasks.task import Example
from lorakit.lab.tasks.text_to_sql import run_sql, same_result


def question_of(example: Example) -> str:
    """The question alone, out of the prompt."""
    return example.prompt.split("question: ")[1].split("\n")[0]


def mark(sql: str, example: Example) -> str:
    """ "✓" if the SQL's result is the right one, else "✗"."""
    return "✓" if same_result(sql, example) else "✗"


def result_lines(sql: str, example: Example) -> list[str]:
    """The rows of a query as text, one line each, or one line that begins with "✗" and says what is wrong with it."""
    try:
        rows = run_sql(sql, example.info)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        return [f"✗ {error}"]
    return [", ".join(map(str, row)) for row in rows] or ["(no rows)"]


def shorten(text: str, most: int = 90) -> str:
    """On one line, cut with … where it is longer than `most` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


RIGHT, WRONG = "#00664B", "#A34700"
CELL = "text-align:left;font-size:15px;padding:3px 12px 3px 0;vertical-align:top"


@dataclass(frozen=True)
class Grid:
    """A small table: prints aligned, renders as HTML; cells that begin with ✓ are green, with ✗ red."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    code: bool = False  # set the title as code

    def __str__(self) -> str:
        widths = [max(len(row[i]) for row in (self.columns, *self.rows)) for i in range(len(self.columns))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in (self.columns, *self.rows)]
        return "\n".join([self.title] * bool(self.title) + [line.rstrip() for line in lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='{CELL}'>{html.escape(c)}</th>" for c in self.columns)
        body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in self.rows)
        font = "font-family:monospace;color:#0072B2;font-weight:bold" if self.code else "font-weight:bold"
        title = f"<div style='font-size:15px;{font}'>{html.escape(self.title)}</div>" if self.title else ""
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    ink = {"✓": RIGHT, "✗": WRONG}.get(text[:1])
    style = CELL + (f";color:{ink};font-weight:bold" if ink else "")
    return f"<td style='{style}'>{html.escape(text)}</td>"
