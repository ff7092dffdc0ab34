"""Makes the text-to-SQL task: questions over small tables with the SQL that answers them.

    python -m data.make.text_to_sql          # writes data/tasks/text_to_sql/{train,validation,test}.jsonl

Values in a table come from a division of all possible values by hash, so the test's tables hold none that a
training table holds. The wordings of validation and test (lists of these names in data/make/nano/phrases.py) are in
neither the training questions nor the pretraining text nor each other; what is held out is the wording, not every word
in it. So validation can choose: with the wordings of training every method stands at 89 %.
"""

import json
import random
from dataclasses import replace

from data.make.nano.phrases import question
from data.make.nano.queries import AGGREGATES, Query, random_query, to_sql
from data.make.nano.tables import DOMAINS, Table, choose_columns, fill, parse
from data.make.nano.words import split_of
from lorakit.lab.tasks.text_to_sql import FOLDER

SIZES = {"train": 4000, "validation": 500, "test": 500}
# How often each is asked.
OPERATIONS = ("select",) * 10 + ("count",) * 4 + ("max", "max", "min", "min", "avg", "sum")
# Kinds with too few values to divide three ways.
TOO_FEW = ("month", "day")


def make_example(rng: random.Random, split: str) -> dict:
    """One line of a file: {"prompt", "answer", "info": {"table", "columns", "types", "rows"}}."""
    wanted = rng.choice(OPERATIONS)
    while True:
        name = rng.choice(list(DOMAINS))
        columns = [c for c in parse(DOMAINS[name]) if c[1] not in TOO_FEW]
        columns = choose_columns(rng, columns, rng.choice((3, 3, 4, 4, 5, 6)))
        table = fill(rng, name, columns, rng.randint(5, 8), (split,))
        query = random_query(rng, table, conditions=(0, 1, 1, 1, 1, 2, 2))
        if query.op != wanted or not telling(query, table):
            continue
        asked = question(rng, query, table, (split,))
        # A question without a value could turn up in two splits: such questions are divided by hash as values are.
        if query.where or split_of(table.header() + asked) == split:
            break
    types = ["number" if table.is_number(c) else "text" for c in table.columns]
    return {
        "prompt": f"{table.header()}\nquestion: {asked}\nsql:",
        "answer": f" {to_sql(query)}",
        "info": {"table": name, "columns": table.columns, "types": types, "rows": table.rows},
    }


def telling(query: Query, table: Table) -> bool:
    """Whether a wrong query would be found out: no small mistake gives the same answer on these rows."""
    right = query.run(table)
    if not right or len(right) > 5 or right == [0]:
        return False
    if query.op != "count" and query.where and len(replace(query, op="select").run(table)) == len(table.rows):
        return False  # the conditions leave nothing out
    return all(wrong.run(table) != right for wrong in mistakes(query, table))


def mistakes(query: Query, table: Table) -> list[Query]:
    """Queries one slip away: another column or aggregate, a dropped condition, a turned sign, another value."""
    wrong = []
    if query.op != "count":
        same = [c for c in table.columns if c != query.column and table.is_number(c) == table.is_number(query.column)]
        wrong += [replace(query, column=c) for c in same]
    if query.op in AGGREGATES and query.op != "count":
        wrong += [replace(query, op=op) for op in ("max", "min", "avg", "sum") if op != query.op]
    for i, condition in enumerate(query.where):
        others = query.where[:i] + query.where[i + 1 :]
        wrong.append(replace(query, where=others))
        for sign in "<>":
            if sign != condition.sign and table.is_number(condition.column) and query.op != "count":
                wrong.append(replace(query, where=(*others, replace(condition, sign=sign))))
    return wrong


def make_split(split: str, count: int) -> list[dict]:
    """`count` examples with different prompts, always the same."""
    rng = random.Random(f"text_to_sql/{split}/0")
    examples: dict[str, dict] = {}
    while len(examples) < count:
        example = make_example(rng, split)
        examples.setdefault(example["prompt"], example)
    return list(examples.values())


def lines(examples: list[dict]) -> str:
    return "".join(json.dumps(e, separators=(",", ":")) + "\n" for e in examples)


if __name__ == "__main__":
    for split, count in SIZES.items():
        (FOLDER / f"{split}.jsonl").write_text(lines(make_split(split, count)))
