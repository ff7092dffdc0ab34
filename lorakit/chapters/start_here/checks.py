"""Checks and quiz of chapter 00."""

import sqlite3

import torch

from lorakit.lab.tasks.task import Example
from lorakit.lab.tasks.text_to_sql import normal, run_sql
from lorakit.show.exercises import check, check_examples, expect
from lorakit.show.quiz import read_quiz

CITIES = Example(
    prompt="table: city (name, country, population)\nquestion: which city has more than 3000000 people?\nsql:",
    answer=" SELECT name FROM city WHERE population > 3000000",
    info={
        "table": "city",
        "columns": ["name", "country", "population"],
        "types": ["text", "text", "number"],
        "rows": [
            ["Rome", "Italy", 2750000],
            ["Madrid", "Spain", 3280000],
            ["Lisbon", "Portugal", 548000],
            ["Naples", "Italy", 914000],
        ],
    },
)


@check(
    "00.1",
    "another query, the same rows",
    right="SELECT name FROM city WHERE country = 'Spain'",
    wrong={
        "that is the reference itself": "select name  from city where population > 3000000;",
        "SQLite refuses it": "SELECT names FROM city WHERE population > 3000000",
        "other rows": "SELECT name FROM city WHERE country = 'Italy'",
        "no rows": "SELECT name FROM city WHERE country = 'spain'",
        "put it between quotes": 3280000,
    },
    done="right: on this table both give Madrid. Execution accuracy counts results, and so it may be lucky",
)
def same_rows(answer):
    expect(isinstance(answer, str), "SQL is a text: put it between quotes")
    expect(normal(answer) != normal(CITIES.answer), "that is the reference itself: find one that is written otherwise")
    try:
        rows = run_sql(answer, CITIES.info)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        expect(False, f"SQLite refuses it: {error}")
    expect(rows, "it gives no rows (texts are compared letter by letter, capitals too)")
    right = run_sql(CITIES.answer, CITIES.info)
    expect(sorted(rows, key=str) == sorted(right, key=str), f"it gives other rows: {rows} instead of {right}")


at_strength = check_examples(
    "00.2",
    "the weight at a strength",
    right=lambda W, B, A, scaling, strength: W + strength * scaling * (B @ A),
    inputs=lambda: [(torch.randn(6, 5), torch.randn(6, 2), torch.randn(2, 5), 2.0, 0.5)],
    wrong={
        "your function returns None: is the `return` missing?": lambda W, B, A, scaling, strength: None,
        "A comes first in your product, but B (d, r) times A (r, k) has the shape of W": (
            lambda W, B, A, scaling, strength: W + strength * scaling * (A @ B)
        ),
        "the scaling is missing: multiply `B @ A` by it": lambda W, B, A, scaling, strength: W + strength * (B @ A),
        "the strength is missing: multiply `B @ A` by it too": lambda W, B, A, scaling, strength: W + scaling * (B @ A),
        "W itself stays as it is: the strength multiplies the update alone": (
            lambda W, B, A, scaling, strength: strength * (W + scaling * (B @ A))
        ),
        "W is missing: the update is added to it": lambda W, B, A, scaling, strength: strength * scaling * (B @ A),
    },
    formula="W + strength · scaling · B A",
    done="right: the strength multiplies the update alone, so 0 is the base and 1 the fine-tuned model",
)

adapter_bytes = check_examples(
    "00.3",
    "the size of an adapter",
    right=lambda layers, d, r: layers * 2 * (r * d + d * r) * 2,
    inputs=[(96, 12288, 4), (12, 768, 8), (1, 16, 1)],
    wrong={
        "half of it: two targets, two matrices each, two bytes a value; one of these twos is missing": (
            lambda layers, d, r: layers * 2 * (r * d) * 2
        ),
        "a quarter of it: two targets, two matrices each, two bytes a value": lambda layers, d, r: layers * r * d * 2,
        "twice too much: in fp16 a value takes two bytes, not four": lambda layers, d, r: layers * 4 * r * d * 4,
        "one layer only: multiply by `layers`": lambda layers, d, r: 2 * (r * d + d * r) * 2,
        "without the r: A is r × d, not d × d": lambda layers, d, r: layers * 4 * d * d * 2,
    },
    done="right: 37.7 MB for GPT-3 175B, whose own weights take 350 GB. The paper rounds it to 35 MB",
)


quiz = read_quiz("00", __file__)
