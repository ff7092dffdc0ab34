"""Text-to-SQL to look at: the table, a query run on it, and answers side by side."""

import html
import sqlite3
from dataclasses import dataclass

from lorakit.lab.tasks.task import Example
from lorakit.lab.tasks.text_to_sql import run_sql, same_result

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


def table_of(example: Example) -> Grid:
    """The table that a text-to-SQL question is about."""
    info = example.info
    return Grid(tuple(info["columns"]), tuple(tuple(map(str, row)) for row in info["rows"]), f"table {info['table']}")


def run_on_table(sql: str, example: Example) -> Grid:
    """The rows that `sql` gives on the example's table; SQLite's error message where it is no valid query."""
    return Grid(("result",), tuple((line,) for line in result_lines(sql, example)), sql.strip(), code=True)


def result_lines(sql: str, example: Example) -> list[str]:
    """The rows of a query as text, one line each, or one line that begins with "✗" and says what is wrong with it."""
    try:
        rows = run_sql(sql, example.info)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        return [f"✗ {error}"]
    return [", ".join(map(str, row)) for row in rows] or ["(no rows)"]


@dataclass(frozen=True)
class Answers:
    """Questions with what each model wrote: rows (question, [(model, mark, SQL), …])."""

    rows: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...]

    def __str__(self) -> str:
        width = max((len(name) for _, given in self.rows for name, _, _ in given), default=0)
        lines = [
            [question, *(f"  {name:{width}} {m} {sql}" for name, m, sql in given)] for question, given in self.rows
        ]
        return "\n".join(line for block in lines for line in block)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        body, code = "", "font-family:monospace;font-size:14px"
        for question, given in self.rows:
            above = "border-top:1px solid #BBB;padding-top:6px"
            body += f"<tr><td colspan='3' style='{CELL};{above}'><b>{html.escape(question)}</b></td></tr>"
            for name, m, sql in given:
                body += f"<tr><td style='{CELL}'>{html.escape(name)}</td>{_cell(m)}"
                body += f"<td style='{CELL};{code}'>{html.escape(sql)}</td></tr>"
        return f"<table>{body}</table>"


def side_by_side(examples: list[Example], **answers: list[str]) -> Answers:
    """Each question, and under it what each of `answers` (name=list of SQL) says: ✓ where the result is right."""
    rows = []
    for i, example in enumerate(examples):
        given = tuple((name, mark(texts[i], example), shorten(texts[i])) for name, texts in answers.items())
        rows.append((question_of(example), given))
    return Answers(tuple(rows))


def mark(sql: str, example: Example) -> str:
    """ "✓" if the SQL's result is the right one, else "✗"."""
    return "✓" if same_result(sql, example) else "✗"


def question_of(example: Example) -> str:
    """The question alone, out of the prompt."""
    return example.prompt.split("question: ")[1].split("\n")[0]


def shorten(text: str, most: int = 90) -> str:
    """On one line, cut with … where it is longer than `most` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _cell(text: str) -> str:
    ink = {"✓": RIGHT, "✗": WRONG}.get(text[:1])
    style = CELL + (f";color:{ink};font-weight:bold" if ink else "")
    return f"<td style='{style}'>{html.escape(text)}</td>"
