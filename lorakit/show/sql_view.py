"""Text-to-SQL to look at: the question alone, whether an answer is right, and what it gives."""

import sqlite3

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
