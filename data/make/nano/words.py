"""Words and values: the raw material of every generated document.

Breadth is the point. A model learns to *copy* from its context only where memorising does not pay, so most
names are made from syllables and are new nearly every time.
"""

import random
import tomllib
import zlib
from pathlib import Path

# Words by kind, such as LISTS["colour"]; and the parts of syllables.
LISTS = {
    kind: words.split()
    for kind, words in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()
}
CODAS = ["", "", "", "n", "r", "l", "s", "m", "nd", "rn", "th", "ck", "x", "lt", "sk", "t", "ne", "ve"]
SPLITS = ("train",) * 7 + ("validation",) + ("test",) * 2


def split_of(value) -> str:
    """Which split of text-to-SQL a value belongs to: a fixed 7 : 1 : 2 division of all possible values."""
    return SPLITS[zlib.crc32(str(value).encode()) % 10]


def synth(rng: random.Random, low: int = 1, high: int = 3) -> str:
    """A made-up capitalised name of `low` to `high` syllables: "Korvan", "Sheltia"."""
    parts = [rng.choice(LISTS["onset"]) + rng.choice(LISTS["vowel"]) for _ in range(rng.randint(low, high))]
    return ("".join(parts) + rng.choice(CODAS)).capitalize()


def name(rng):
    return synth(rng, 2, 3) if rng.random() < 0.85 else rng.choice(LISTS["first"])


def person(rng):
    first = rng.choice(LISTS["first"]) if rng.random() < 0.6 else synth(rng, 1, 2)
    return f"{first} {synth(rng, 1, 2)}" if rng.random() < 0.4 else first


def place(rng):
    if rng.random() < 0.3:
        return rng.choice(LISTS["place"])
    word = synth(rng, 1, 3)
    return f"{rng.choice(['New', 'Port', 'Lake', 'East', 'Mount'])} {word}" if rng.random() < 0.15 else word


def country(rng):
    return rng.choice(LISTS["country"]) if rng.random() < 0.6 else synth(rng, 2, 3)


def title(rng):
    if rng.random() < 0.5:
        return synth(rng, 2, 3)
    return f"{rng.choice(LISTS['colour']).capitalize()} {synth(rng, 1, 2)}"


def code(rng):
    return "".join(rng.choice("ABCDEFGHKLMNPRSTVWXZ") for _ in range(rng.randint(1, 2))) + str(rng.randint(1, 999))


def number(rng):
    """A whole number of varied length; short ones are commoner."""
    digits = rng.choice((1, 2, 2, 2, 3, 3, 4))
    return rng.randint(10 ** (digits - 1), 10**digits - 1)


def year(rng):
    return rng.randint(1850, 2025)


def small(rng):
    return rng.randint(2, 99)


def from_list(kind):
    return lambda rng: rng.choice(LISTS[kind])


LISTED = ("colour", "genre", "material", "status", "animal", "food", "job", "month", "day")
VALUE_KINDS = {
    "name": name, "person": person, "place": place, "country": country, "title": title, "code": code,
    **{kind: from_list(kind) for kind in LISTED},
    "number": number, "year": year, "small": small,
}  # fmt: skip
NUMERIC = {"number", "year", "small"}


def value(rng, kind, splits=("train",)):
    """A value of the kind from one of the splits ("train", "validation", "test")."""
    make = VALUE_KINDS[kind]
    while split_of(drawn := make(rng)) not in splits:
        pass
    return drawn
