"""The generated documents, one small function per family. `write(rng, nouns)` gives one document's text.

PAIRED families put a request and its structured answer side by side; UNPAIRED ones hold structure alone. No family
puts SQL after an English request: that pair is what the course adapts to (tests/test_nano_corpus.py proves it).
"""

import json
import random

from data.make.nano.more_families import MORE_PAIRED, MORE_UNPAIRED
from data.make.nano.phrases import question
from data.make.nano.queries import ANSWERS, FORMAL, random_query, to_sql
from data.make.nano.tables import random_table

STYLES = ("train", "pretrain", "pretrain")


def ask(rng, table, query):
    text = question(rng, query, table, STYLES)
    return text[0].upper() + text[1:] if rng.random() < 0.1 else text


def with_header(rng, table, body, share=0.9):
    return f"{table.header()}\n{body}" if rng.random() < share else body


def question_to_answer(rng: random.Random, nouns):
    """A question about a table, then one or two notations of what is asked."""
    table = random_table(rng, nouns)
    query = random_query(rng, table)
    cues = rng.sample(list(ANSWERS), rng.choice((1, 1, 2)))
    lines = [f"question: {ask(rng, table, query)}"] + [f"{cue}: {ANSWERS[cue](query)}" for cue in cues]
    return with_header(rng, table, "\n".join(lines))


def questions_to_one_notation(rng, nouns):
    """Several questions about one table, each with its answer in the same notation."""
    table, cue = random_table(rng, nouns), rng.choice(list(ANSWERS))
    lines = [table.header()]
    for _ in range(rng.randint(2, 3)):
        query = random_query(rng, table)
        lines += [f"question: {ask(rng, table, query)}", f"{cue}: {ANSWERS[cue](query)}"]
    return "\n".join(lines)


def sql_to_question(rng, nouns):
    """SQL told in words, or turned into another notation."""
    table = random_table(rng, nouns)
    query = random_query(rng, table)
    lines = [f"sql: {to_sql(query)}"]
    if rng.random() < 0.5:
        cue = rng.choice(list(ANSWERS))
        lines.append(f"{cue}: {ANSWERS[cue](query)}")
    else:
        lines.append(f"{rng.choice(('question', 'words', 'question'))}: {ask(rng, table, query)}")
    return with_header(rng, table, "\n".join(lines))


def notation_to_sql(rng, nouns):
    """A formal notation turned into SQL: never English."""
    table = random_table(rng, nouns)
    query = random_query(rng, table)
    cue = rng.choice(FORMAL)
    return with_header(rng, table, f"{cue}: {ANSWERS[cue](query)}\nsql: {to_sql(query)}")


def notation_to_question(rng, nouns):
    table = random_table(rng, nouns)
    query = random_query(rng, table)
    cue = rng.choice([*FORMAL, "keywords", "steps"])
    return with_header(rng, table, f"{cue}: {ANSWERS[cue](query)}\nquestion: {ask(rng, table, query)}")


def paraphrase(rng, nouns):
    table = random_table(rng, nouns)
    query = random_query(rng, table)
    first, second = ask(rng, table, query), ask(rng, table, query)
    return with_header(rng, table, f"question: {first}\nparaphrase: {second}")


def sql_alone(rng, nouns):
    """Queries after a table's header, and nothing else."""
    table = random_table(rng, nouns)
    lines = [f"sql: {to_sql(random_query(rng, table))}" for _ in range(rng.randint(1, 3))]
    return with_header(rng, table, "\n".join(lines), 0.8)


def json_alone(rng, nouns):
    table = random_table(rng, nouns, rows=rng.randint(1, 3))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return "json: " + (json.dumps(rows[0]) if len(rows) == 1 else json.dumps(rows))


def table_alone(rng, nouns):
    table = random_table(rng, nouns)
    rows = [rng.choice((", ", " | ")).join(map(str, row)) for row in table.rows]
    return "\n".join([table.header(), *rows])


def notation_alone(rng, nouns):
    table = random_table(rng, nouns)
    cue = rng.choice(FORMAL)
    return "\n".join(f"{cue}: {ANSWERS[cue](random_query(rng, table))}" for _ in range(2))


def questions_alone(rng, nouns):
    table = random_table(rng, nouns)
    return with_header(rng, table, f"question: {ask(rng, table, random_query(rng, table))}", 0.5)


# (weight, family)
PAIRED = [(9, question_to_answer), (4, questions_to_one_notation), (3, sql_to_question), (2, notation_to_sql),
          (2, notation_to_question), (2, paraphrase), *MORE_PAIRED]  # fmt: skip
UNPAIRED = [
    (4, sql_alone),
    (2, json_alone),
    (2, table_alone),
    (1, notation_alone),
    (2, questions_alone),
    *MORE_UNPAIRED,
]


def write(rng: random.Random, nouns, families) -> str:
    family = rng.choices([f for _, f in families], [w for w, _ in families])[0]
    return family(rng, nouns)
