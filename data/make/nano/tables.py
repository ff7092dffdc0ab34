"""Random small tables: from the domains that the course uses, or from nouns of WordNet, so that headers vary."""

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path

from data.make.nano.words import NUMERIC, value

LISTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
DOMAINS = LISTS["domains"]  # name of a row's thing: its columns with their kinds, as `parse` reads them
NUMBER_COLUMNS = LISTS["columns"]["number"].split()
TEXT_COLUMNS = {kind: names.split() for kind, names in LISTS["columns"]["text"].items()}


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple  # the first column is the key: what a row is called by
    kinds: tuple  # per column, a key of words.VALUE_KINDS
    rows: tuple  # of tuples

    def header(self) -> str:
        return f"table: {self.name} ({', '.join(self.columns)})"

    def is_number(self, column) -> bool:
        return self.kinds[self.columns.index(column)] in NUMERIC


def parse(spec: str) -> list[tuple[str, str]]:
    return [tuple(column.split(":")) for column in spec.split()]


def choose_columns(rng: random.Random, columns, width):
    """The key and `width` - 1 of the others, in a random order after the key."""
    return columns[:1] + rng.sample(columns[1:], min(width, len(columns)) - 1)


def noun_schema(rng: random.Random, nouns, width):
    """A table that nobody has thought of: noun names, or usual columns under an unusual table name."""
    used, columns = set(), []
    for i in range(width):
        numeric = i > 0 and rng.random() < 0.5
        kind = rng.choice(("number", "small", "year")) if numeric else rng.choice(list(TEXT_COLUMNS))
        if i == 0:
            kind = rng.choice(("name", "place", "person", "title", "code"))
        column = rng.choice(NUMBER_COLUMNS if numeric else TEXT_COLUMNS[kind])
        if i == 0 and rng.random() < 0.5:
            column = rng.choice(("name", "title"))
        elif rng.random() < 0.35:
            column = rng.choice(nouns)
        if column not in used and "-" not in column:
            used.add(column)
            columns.append((column, kind))
    return columns


def fill(rng: random.Random, name, columns, rows, splits=("train",)) -> Table:
    """Rows for a schema: keys and numbers distinct within a column, other text from a few values so that it repeats."""
    lists = []
    for i, (_, kind) in enumerate(columns):
        numeric = kind in NUMERIC
        wanted = rows if i == 0 or numeric else max(2, rows // 2)
        pool = []
        for _ in range(200):
            if len(pool) == wanted:
                break
            if (drawn := value(rng, kind, splits)) not in pool:
                pool.append(drawn)
        picked = pool if len(pool) >= rows else pool + [rng.choice(pool) for _ in range(rows - len(pool))]
        rng.shuffle(picked)
        lists.append(picked[:rows])
    return Table(name, tuple(c for c, _ in columns), tuple(k for _, k in columns), tuple(zip(*lists, strict=True)))


def random_table(rng: random.Random, nouns, rows=None) -> Table:
    """A table for pretraining: half from the domains, half made of nouns."""
    width = rng.randint(2, 6)
    if rng.random() < 0.45:
        name = rng.choice(list(DOMAINS))
        columns = choose_columns(rng, parse(DOMAINS[name]), width)
    else:
        name = rng.choice(nouns) if rng.random() < 0.7 else rng.choice(list(DOMAINS))
        columns = noun_schema(rng, nouns, width)
    return fill(rng, name, columns, rows or rng.randint(2, 4))
