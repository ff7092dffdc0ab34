"""A question about a table as data, and the many notations it can be written in."""

import json
import random
from dataclasses import dataclass

from data.make.nano.tables import Table

AGGREGATES = ("count", "max", "min", "avg", "sum")


@dataclass(frozen=True)
class Condition:
    column: str
    sign: str  # "=", "<" or ">"
    value: object

    def holds(self, value) -> bool:
        return {"=": value == self.value, "<": value < self.value, ">": value > self.value}[self.sign]


@dataclass(frozen=True)
class Query:
    table: str
    op: str  # "select" or one of AGGREGATES
    column: str  # what is selected or aggregated; "*" for count
    where: tuple = ()

    def run(self, table: Table) -> list:
        """The answer over the table's rows, as a sorted list (one value for an aggregate)."""
        at = table.columns.index
        rows = [r for r in table.rows if all(c.holds(r[at(c.column)]) for c in self.where)]
        if self.op == "count":
            return [len(rows)]
        values = [r[at(self.column)] for r in rows]
        if self.op == "select" or not values:
            return sorted(values)
        return [{"max": max, "min": min, "sum": sum, "avg": lambda v: sum(v) / len(v)}[self.op](values)]


def quote(value) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def to_sql(q: Query) -> str:
    target = q.column if q.op == "select" else f"{q.op.upper()}({q.column})"
    where = " AND ".join(f"{c.column} {c.sign} {quote(c.value)}" for c in q.where)
    return f"SELECT {target} FROM {q.table}" + (f" WHERE {where}" if where else "")


def to_json(q: Query) -> str:
    out = {"table": q.table, "get": q.column if q.op == "select" else f"{q.op} {q.column}".replace(" *", "")}
    for c in q.where:
        out[c.column if c.sign == "=" else f"{c.column} {c.sign}"] = c.value
    return json.dumps(out)


def to_nested(q: Query) -> str:
    where = [[c.column, c.sign, c.value] for c in q.where]
    return json.dumps({"op": q.op, "column": q.column, "from": q.table, "where": where})


def to_keywords(q: Query) -> str:
    words = [] if q.op == "select" else [q.op]
    words += [q.column] if q.column != "*" else []
    for c in q.where:
        words += [c.column] + ([] if c.sign == "=" else [c.sign]) + [str(c.value)]
    return ", ".join(words)


def to_pandas(q: Query) -> str:
    where = " & ".join(f"({q.table}.{c.column} {'==' if c.sign == '=' else c.sign} {quote(c.value)})" for c in q.where)
    frame = f"{q.table}[{where}]" if where else q.table
    if q.op == "count":
        return f"len({frame})"
    return f"{frame}.{q.column}" + {"select": "", "avg": ".mean()"}.get(q.op, f".{q.op}()")


def to_function(q: Query) -> str:
    where = [f"{c.column}={quote(c.value)}" if c.sign == "=" else f"{c.column} {c.sign} {c.value}" for c in q.where]
    verb = "get" if q.op == "select" else q.op
    return f"{verb}({', '.join([q.table] + ([q.column] if q.column != '*' else []) + where)})"


def to_filter(q: Query) -> str:
    return " and ".join(f"{c.column} {c.sign} {quote(c.value)}" for c in q.where) or "all"


def to_steps(q: Query) -> str:
    sign = {"=": "is", "<": "is below", ">": "is above"}
    steps = [f"open {q.table}"] + [f"keep {c.column} {sign[c.sign]} {c.value}" for c in q.where]
    last = {"select": "read", "count": "count rows", "max": "take largest", "min": "take smallest",
            "avg": "take mean", "sum": "add up"}[q.op]  # fmt: skip
    return "; ".join([*steps, last + (f" {q.column}" if q.column != "*" else "")])


def to_lisp(q: Query) -> str:
    body = q.table
    for c in q.where:
        body = f"({c.sign} {c.column} {quote(c.value)} {body})"
    return f"({q.op} {q.column} {body})"


def to_tags(q: Query) -> str:
    where = "".join(f"<{c.column} is={quote(c.sign)}>{c.value}</{c.column}>" for c in q.where)
    return f"<{q.table}><{q.op}>{q.column}</{q.op}>{where}</{q.table}>"


def to_pipe(q: Query) -> str:
    parts = [q.table] + [f"where {c.column} {c.sign} {quote(c.value)}" for c in q.where]
    return " | ".join([*parts, f"{q.op} {q.column}"])


def to_columns(q: Query) -> str:
    used = [q.column] * (q.column != "*") + [c.column for c in q.where]
    return ", ".join(dict.fromkeys(used)) or "none"


def to_values(q: Query) -> str:
    return ", ".join(quote(c.value) for c in q.where) or "none"


def to_kind(q: Query) -> str:
    return f"{q.op} of {q.column}, {len(q.where)} conditions"


# What may follow an English question in the pretraining text: everything but SQL.
ANSWERS = {
    "json": to_json, "query": to_nested, "keywords": to_keywords, "pandas": to_pandas, "function": to_function,
    "filter": to_filter, "steps": to_steps, "lisp": to_lisp, "tags": to_tags, "pipe": to_pipe,
    "columns": to_columns, "values": to_values, "kind": to_kind,
}  # fmt: skip
# Notations that hold the whole query, so that the question or the SQL can be told from them.
FORMAL = ("json", "query", "pandas", "function", "lisp", "tags", "pipe")


def random_query(rng: random.Random, table: Table, conditions=(0, 1, 1, 1, 2, 2)) -> Query:
    """A query over the table whose conditions mention values that stand in it and whose answer is not empty."""
    numeric = [c for c in table.columns[1:] if table.is_number(c)]
    op = rng.choice(("select", "select", "select", "count", rng.choice(("max", "min", "avg", "sum"))))
    if op in ("max", "min", "avg", "sum") and not numeric:
        op = "select"
    column = "*" if op == "count" else rng.choice(table.columns if op == "select" else numeric)
    row = rng.choice(table.rows)  # it meets every condition, so the answer is never empty
    free = [c for c in table.columns if c != column]
    if op in AGGREGATES and len(free) > 1:
        free = [c for c in free if c != table.columns[0]]  # one row's maximum is no question
    count = min(rng.choice(conditions) or (op == "select"), len(free))
    where = []
    for chosen in sorted(rng.sample(free, count), key=lambda _: rng.random()):
        here = row[table.columns.index(chosen)]
        sign = rng.choice("=<>") if table.is_number(chosen) else "="
        where.append(Condition(chosen, sign, here if sign == "=" else nearby(rng, here, sign)))
    where.sort(key=lambda c: c.column != table.columns[0])  # the key first, as a question names it first
    return Query(table.name, op, column, tuple(where))


def nearby(rng, value, sign):
    """A number that `value` is above (for ">") or below (for "<"), sometimes a round one."""
    gap = rng.randint(1, max(1, abs(value) // 4))
    limit = value - gap if sign == ">" else value + gap
    rounded = limit - limit % 10 if sign == ">" else limit + (-limit) % 10
    return rounded if rng.random() < 0.4 else limit
