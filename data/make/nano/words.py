"""Words and values: the raw material of every generated document.

Breadth is the point. A model learns to *copy* from its context only where memorising does not pay, so most
names are made from syllables and are new nearly every time.
"""

# ruff: noqa: SIM905 - word lists read best as plain text

import random
import zlib

ONSETS = "b br c ch cl d dr f fl g gl gr h j k kr l m n p pl qu r s sh sk sl st t th tr v w y z".split()
VOWELS = "a e i o u a e i o ai ea ia io ou ay ee".split()
CODAS = ["", "", "", "n", "r", "l", "s", "m", "nd", "rn", "th", "ck", "x", "lt", "sk", "t", "ne", "ve"]
FIRST = """Anna Ben Carla David Elena Felix Grace Hugo Irene Jonas Karin Leo Maria Nina Oscar Paula Quinn Rosa
Simon Tara Uma Victor Wendy Xavier Yara Zoe Adam Bella Carlos Diana Erik Fatima George Hannah Ivan Julia Kenji
Laura Miguel Nora Omar Petra Rahul Sofia Tom Ursula Vera Walter Yusuf Zara""".split()
PLACES = """Rome Paris Lima Oslo Cairo Delhi Quito Berlin Madrid Lisbon Vienna Athens Tokyo Seoul Dublin London
Boston Denver Austin Geneva Naples Lyon Porto Bergen Malmo Krakow Prague Sofia Tunis Accra Lagos Nairobi Hanoi
Manila Jakarta Perth Sydney Toronto Havana Bogota Santiago Dallas Chicago Seattle Milan Turin Leeds York""".split()
COUNTRIES = """France Spain Italy Germany Poland Norway Sweden Finland Denmark Greece Turkey Egypt Kenya Ghana
Nigeria Morocco India China Japan Korea Vietnam Thailand Peru Chile Brazil Mexico Canada Cuba Ireland Austria
Hungary Romania Portugal Belgium Iceland Israel Iran Iraq Jordan Nepal""".split()
COLOURS = """red blue green black white yellow brown orange purple grey pink silver gold violet cream navy teal
beige crimson olive scarlet amber bronze coral ivory lilac maroon indigo""".split()
GENRES = """drama comedy horror fantasy mystery romance western history science jazz rock folk opera blues pop
classical poetry travel cooking sport crime adventure biography war music family action satire""".split()
MATERIALS = """steel wood glass paper cotton wool silk iron copper stone clay leather plastic rubber marble tin
linen brick bamboo granite wax chalk lead zinc nylon felt velvet cork
ceramic oak slate pine""".split()
STATUSES = """open closed pending active late ready sold paid new used lost broken empty full busy free hidden
public private draft final failed passed cancelled shipped returned approved blocked""".split()
ANIMALS = """dog cat horse cow sheep goat pig hen duck goose eagle owl hawk robin salmon trout shark whale seal
otter fox wolf bear deer rabbit mouse lizard frog snake bee""".split()
FOODS = """bread rice soup cheese apple pear lemon onion tomato potato carrot bean corn fish beef lamb chicken
noodle salad cake pie honey butter milk tea coffee juice olive grape plum
sugar melon berry squid pasta steak ham""".split()
JOBS = """teacher nurse doctor lawyer farmer baker pilot driver cook clerk painter writer singer actor judge
guard sailor miner tailor editor banker dentist chemist engineer manager plumber waiter surgeon
weaver grocer roofer""".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()


SPLITS = ("train",) * 7 + ("validation",) + ("test",) * 2


def split_of(value) -> str:
    """Which split of text-to-SQL a value belongs to: a fixed 7 : 1 : 2 division of all possible values."""
    return SPLITS[zlib.crc32(str(value).encode()) % 10]


def synth(rng: random.Random, low: int = 1, high: int = 3) -> str:
    """A made-up capitalised name of `low` to `high` syllables: "Korvan", "Sheltia"."""
    parts = [rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(rng.randint(low, high))]
    return ("".join(parts) + rng.choice(CODAS)).capitalize()


def name(rng):
    return synth(rng, 2, 3) if rng.random() < 0.85 else rng.choice(FIRST)


def person(rng):
    first = rng.choice(FIRST) if rng.random() < 0.6 else synth(rng, 1, 2)
    return f"{first} {synth(rng, 1, 2)}" if rng.random() < 0.4 else first


def place(rng):
    if rng.random() < 0.3:
        return rng.choice(PLACES)
    word = synth(rng, 1, 3)
    return f"{rng.choice(['New', 'Port', 'Lake', 'East', 'Mount'])} {word}" if rng.random() < 0.15 else word


def country(rng):
    return rng.choice(COUNTRIES) if rng.random() < 0.6 else synth(rng, 2, 3)


def title(rng):
    if rng.random() < 0.5:
        return synth(rng, 2, 3)
    return f"{rng.choice(COLOURS).capitalize()} {synth(rng, 1, 2)}"


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


def from_list(words):
    return lambda rng: rng.choice(words)


VALUE_KINDS = {
    "name": name, "person": person, "place": place, "country": country, "title": title, "code": code,
    "colour": from_list(COLOURS), "genre": from_list(GENRES), "material": from_list(MATERIALS),
    "status": from_list(STATUSES), "animal": from_list(ANIMALS), "food": from_list(FOODS),
    "job": from_list(JOBS), "month": from_list(MONTHS), "day": from_list(WEEKDAYS),
    "number": number, "year": year, "small": small,
}  # fmt: skip
NUMERIC = {"number", "year", "small"}


def value(rng, kind, splits=("train",)):
    """A value of the kind from one of the splits ("train", "validation", "test")."""
    make = VALUE_KINDS[kind]
    while split_of(drawn := make(rng)) not in splits:
        pass
    return drawn
