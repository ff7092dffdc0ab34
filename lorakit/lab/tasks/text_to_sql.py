"""Text-to-SQL: load the examples, and score SQL by running it."""

import re
import sqlite3
import time
from collections import Counter

from lorakit.lab.places import DATA
from lorakit.lab.tasks.sources import bundled
from lorakit.lab.tasks.task import Example, Task

FOLDER = DATA / "tasks" / "text_to_sql"
SECONDS = 0.5  # a query over eight rows takes microseconds; a hostile one is stopped
MAX_ROWS = 100
# What a query may do: read, and call functions that return something short. No writing, attaching or pragmas.
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
FUNCTIONS = {"count", "max", "min", "avg", "sum", "total", "abs", "round", "lower", "upper", "length", "like"}


def text_to_sql() -> Task:
    """The bundled task: 4,000 / 500 / 500 questions, metric "execution", 0..1.

    Raises LoRAError where the files are missing or unreadable.
    """
    splits = {}
    for split in ("train", "validation", "test"):
        rows = bundled(FOLDER / f"{split}.jsonl", "data.make.text_to_sql")
        splits[split] = [Example(row["prompt"], row["answer"], row["info"]) for row in rows]
    return Task(name="text_to_sql", metric="execution", scorer=score, max_new_tokens=48, **splits)


def score(answers: list[str], examples: list[Example]) -> dict[str, float]:
    """The share of answers whose result is right: "execution"."""
    right = [same_result(answer, example) for answer, example in zip(answers, examples, strict=True)]
    return {"execution": sum(right) / len(right) if right else 0.0}


def same_result(predicted: str, example: Example) -> bool:
    """Whether the predicted SQL gives the gold one's rows; in its order only where the gold one sorts.

    SQL that fails, writes, takes too long or returns too much is wrong.
    """
    try:
        got = run_sql(predicted, example.info)
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return False
    right = run_sql(example.answer, example.info)
    if re.search(r"\border\s+by\b", example.answer, re.IGNORECASE):
        return got == right
    return Counter(got) == Counter(right)


def run_sql(sql: str, info: dict) -> list[tuple]:
    """The rows that one SELECT gives over the example's table, in memory and read-only.

    Raises sqlite3.Error for SQL that is wrong, forbidden or too slow, ValueError for too many rows.
    """
    database = sqlite3.connect(":memory:")
    try:
        types = {"number": "NUMERIC", "text": "TEXT"}
        columns = ", ".join(f'"{c}" {types[t]}' for c, t in zip(info["columns"], info["types"], strict=True))
        database.execute(f'CREATE TABLE "{info["table"]}" ({columns})')
        marks = ", ".join("?" * len(info["columns"]))
        database.executemany(f'INSERT INTO "{info["table"]}" VALUES ({marks})', info["rows"])
        database.set_authorizer(_authorize)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
        # Without this, "name" = "Rome" would quietly compare with a text instead of failing on an unknown column.
        if hasattr(sqlite3, "SQLITE_DBCONFIG_DQS_DML") and hasattr(database, "setconfig"):
            database.setconfig(sqlite3.SQLITE_DBCONFIG_DQS_DML, False)
        end = time.monotonic() + SECONDS
        database.set_progress_handler(lambda: time.monotonic() > end, 1000)
        rows = database.execute(sql).fetchmany(MAX_ROWS + 1)
    finally:
        database.close()
    if len(rows) > MAX_ROWS:
        raise ValueError(f"more than {MAX_ROWS} rows")
    return [tuple(round(v, 6) if isinstance(v, float) else v for v in row) for row in rows]


def _authorize(action, first, second, *_):
    allowed = action in ALLOWED and (action != sqlite3.SQLITE_FUNCTION or str(second).lower() in FUNCTIONS)
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
