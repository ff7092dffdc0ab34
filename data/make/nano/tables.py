"""Random small tables: from the domains that the course uses, or from nouns of WordNet, so that headers vary."""

# ruff: noqa: SIM905 - word lists read best as plain text

import random
from dataclasses import dataclass

from data.make.nano.words import NUMERIC, value

# name of a row's thing: its key column and kind, then other columns with theirs
DOMAINS = {
    "city": "name:place country:country population:number area:number mayor:person founded:year",
    "film": "title:title director:person year:year genre:genre length:small budget:number",
    "book": "title:title author:person pages:number year:year genre:genre price:small",
    "player": "name:person team:place goals:small age:small country:country height:number",
    "mountain": "name:name country:country height:number range:name climbers:small",
    "river": "name:name country:country length:number depth:small mouth:place",
    "ship": "name:name port:place captain:person crew:small speed:small built:year",
    "car": "model:title maker:name colour:colour price:number power:number doors:small",
    "animal": "name:name species:animal weight:number age:small food:food zoo:place",
    "plant": "name:name colour:colour height:small origin:country price:small",
    "school": "name:name city:place pupils:number teachers:small head:person",
    "student": "name:person course:job grade:small age:small city:place",
    "product": "name:title price:number stock:small material:material colour:colour weight:number",
    "invoice": "code:code client:person amount:number status:status year:year",
    "flight": "code:code origin:place destination:place seats:number delay:small price:number",
    "hotel": "name:title city:place rooms:number price:small manager:person stars:small",
    "song": "title:title singer:person length:number year:year genre:genre plays:number",
    "employee": "name:person job:job salary:number age:small city:place floor:small",
    "planet": "name:name mass:number moons:small colour:colour radius:number",
    "museum": "name:name city:place visitors:number rooms:small director:person opened:year",
    "bridge": "name:name city:place length:number built:year material:material height:small",
    "train": "code:code origin:place destination:place speed:small coaches:small driver:person",
    "recipe": "name:title minutes:small servings:small author:person main:food calories:number",
    "match": "winner:place loser:place score:small year:year referee:person crowd:number",
    "farm": "owner:person county:place crop:food animals:small land:number",
    "patient": "name:person doctor:person room:number age:small weight:small",
    "server": "host:code owner:person memory:number load:small status:status",
    "language": "name:name country:country speakers:number letters:small",
    "festival": "name:title city:place month:month visitors:number price:small",
    "painting": "title:title painter:person year:year width:small price:number museum:place",
}
NUMBER_COLUMNS = """price size age height weight length width score points rank cost total amount year count level speed
depth area budget salary votes goals wins losses stock pages rooms seats hours minutes days volume mass distance rate
rating index limit capacity power memory floor grade share profit debt income visitors members units""".split()
TEXT_COLUMNS = {
    "place": "city town port capital region venue origin destination stadium station village home base site".split(),
    "person": """author owner director captain coach manager doctor driver artist winner leader client
    singer host""".split(),
    "name": "team club brand company school group family series league maker label product model river".split(),
    "country": ["country", "nation", "state", "origin"], "colour": ["colour", "color", "shade", "paint"],
    "genre": ["genre", "type", "kind", "style", "category"], "status": ["status", "state", "condition"],
    "material": ["material", "fabric"], "animal": ["species", "animal", "pet"], "food": ["food", "dish", "crop"],
    "job": ["job", "role", "position", "title"], "code": ["code", "number", "id", "ref"], "month": ["month"],
    "day": ["day"], "title": ["song", "film", "book", "work"],
}  # fmt: skip


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
