"""Text-to-SQL as tables: the rows that a question is about, what a query gives on them, and answers side by side."""

import pandas as pd

from lorakit.lab.tasks.task import Example
from lorakit.show.sql_view import mark, question_of, result_lines, shorten
from lorakit.show.tables import Words


def table_of(example: Example) -> pd.DataFrame:
    """The table that a text-to-SQL question is about; its name stands in the corner."""
    info = example.info
    return pd.DataFrame(info["rows"], columns=info["columns"]).rename_axis(columns=f"table {info['table']}")


def run_on_table(sql: str, example: Example) -> Words:
    """The rows that `sql` gives on the example's table, under the query; SQLite's error where it is no valid one."""
    return Words({sql.strip(): result_lines(sql, example)})


def side_by_side(examples: list[Example], **answers: list[str]) -> Words:
    """Each question, and beside it what each of `answers` (name=list of SQL) says: ✓ where the result is right."""
    rows = [
        (question_of(example), name, mark(texts[i], example), shorten(texts[i]))
        for i, example in enumerate(examples)
        for name, texts in answers.items()
    ]
    return Words(rows, columns=["question", "model", "", "SQL"]).set_index(["question", "model"])
