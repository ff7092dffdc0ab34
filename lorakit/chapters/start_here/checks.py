"""Checks and quiz of chapter 00."""

import sqlite3

import torch

from lorakit.lab.tasks.task import Example
from lorakit.lab.tasks.text_to_sql import normal, run_sql
from lorakit.show.exercises import check, check_examples, expect
from lorakit.show.quiz import Question, Quiz

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


quiz = Quiz(
    "00",
    [
        Question(
            "After `lk.set_adapter(model, None)` the model cannot answer the questions any more. Why?",
            (
                "What it learnt lies in A and B alone, and they are switched off",
                "Training A and B made the base forget what it knew about SQL",
                "`None` deletes A and B, and they must be loaded from the file again",
            ),
            0,
            (
                "The base's weights never changed: without B A it is the model it was, bit for bit.",
                "It forgot nothing: none of its weights changed. It never could answer these questions.",
                "It is still in memory: `lk.set_adapter(model, 'sql')` brings it back in microseconds.",
            ),
        ),
        Question(
            "Right after `lk.inject`, before any training, the outputs were those of the base, bit for bit. How?",
            (
                "A and B are drawn so small that rounding hides them",
                "B starts at zero, so B A is exactly zero",
                "The adapter is switched off until the first step",
            ),
            1,
            (
                "A is drawn at an ordinary size, and B is exactly zero: there is nothing for rounding to hide.",
                "A is random, B is zero: training starts exactly from the pretrained model. Chapter 03 takes it apart.",
                "It is on, and it computes. What it adds is exactly zero.",
            ),
        ),
        Question(
            "What does `lk.merge` change?",
            (
                "W₀ is overwritten, and without its file the base cannot be had back",
                "B A is stored in place of A and B, so the adapter's file gets smaller",
                "Each layer computes with one matrix, W₀ + s B A, at the base's speed",
            ),
            2,
            (
                "lorakit keeps W₀: after `lk.unmerge` the outputs were those from before, bit for bit.",
                "The file is not touched. And B A written out is d × k: larger than A and B together, not smaller.",
                "The same outputs up to rounding, and no extra work, as chapter 09 measures.",
            ),
        ),
    ],
)
