"""English for queries. One grammar, four sets of wordings: for pretraining, for training, and two that are held out,
one for validation and one for the test.

A question is a head ("what is the {c}"), a subject and its conditions. Placeholders: c column, t table, v value,
a the column of a condition.
"""

import random

from data.make.nano.queries import Query
from data.make.nano.tables import Table

HEADS = {
    "train": {
        "select": ["what is the {c}", "show the {c}", "give the {c}", "list the {c}", "return the {c}", "find the {c}",
                   "what {c} do we have", "print the {c}"],
        "count": ["how many {t} are there", "count the {t}", "what is the number of {t}", "how many {t} do we have"],
        "max": ["what is the highest {c}", "what is the largest {c}", "find the maximum {c}", "give the greatest {c}"],
        "min": ["what is the lowest {c}", "what is the smallest {c}", "find the minimum {c}", "give the least {c}"],
        "avg": ["what is the average {c}", "find the mean {c}", "give the average {c}"],
        "sum": ["what is the total {c}", "find the sum of {c}", "add up the {c}"],
    },
    "pretrain": {
        "select": ["tell us the {c}", "look up the {c}", "get the {c}", "say the {c}", "we want the {c}",
                   "read out the {c}", "the {c}", "please fetch the {c}", "could we see the {c}", "display every {c}",
                   "write down the {c}"],
        "count": ["number of {t}", "get the count of {t}", "tell us how many {t} exist", "the total number of {t}",
                  "say how many {t} there are", "please count all {t}"],
        "max": ["the top {c}", "get the biggest {c}", "tell us the maximum {c}", "how high is the {c} at most",
                "the highest {c}", "look up the largest {c}"],
        "min": ["the bottom {c}", "get the smallest {c}", "tell us the minimum {c}", "how low is the {c} at least",
                "the lowest {c}", "look up the least {c}"],
        "avg": ["the mean {c}", "get the average {c}", "tell us the mean of {c}", "how much is the {c} on average",
                "look up the average {c}"],
        "sum": ["the total {c}", "get the sum of all {c}", "tell us the total {c}", "how much is the {c} in total",
                "look up the total of {c}"],
    },
    "test": {
        "select": ["tell me the {c}", "i want to know the {c}", "can you give me the {c}", "i need the {c}",
                   "name the {c}"],
        "count": ["tell me how many {t} there are", "i want the number of {t}", "can you count the {t}"],
        "max": ["tell me the highest {c}", "i need the maximum {c}", "can you find the largest {c}"],
        "min": ["tell me the lowest {c}", "i need the minimum {c}", "can you find the smallest {c}"],
        "avg": ["tell me the average {c}", "i need the mean {c}", "can you work out the average {c}"],
        "sum": ["tell me the total {c}", "i need the sum of {c}", "can you add up the {c}"],
    },
    "validation": {
        "select": ["could i have the {c}", "may we know the {c}", "i wish to see the {c}", "we need the {c}",
                   "i am after the {c}", "please say the {c}"],
        "count": ["could i have the number of {t}", "help me count the {t}", "i wish to know how many {t} there are"],
        "max": ["could i have the highest {c}", "we need the maximum {c}", "may we know the largest {c}"],
        "min": ["could i have the lowest {c}", "we need the minimum {c}", "may we know the smallest {c}"],
        "avg": ["could i have the average {c}", "we need the mean {c}", "may we know the average {c}"],
        "sum": ["could i have the total {c}", "we need the sum of {c}", "may we know the total {c}"],
    },
}  # fmt: skip
# Pretraining also puts any of these before any of those: what matters is then the noun phrase, not the opening.
OPENERS = """could you show|could we have|would you list|we would like to see|let us know|please find|help us find|
i would like to see|may i have|you could tell us|let me see|do you know|who knows|i am looking for|we are after|give us|
can we see|i have to know|show me|my question is|i would love to have|someone asked for|try to find|
bring up""".replace("\n", "").split("|")
NOUN_PHRASES = {
    "select": ["the {c}", "the {c}", "every {c}", "each {c}", "any {c}"],
    "count": ["the number of {t}", "the count of {t}", "how many {t} there are", "how many {t} we have"],
    "max": ["the highest {c}", "the largest {c}", "the maximum {c}", "the greatest {c}", "the biggest {c}",
            "the top {c}"],
    "min": ["the lowest {c}", "the smallest {c}", "the minimum {c}", "the least {c}", "the bottom {c}"],
    "avg": ["the average {c}", "the mean {c}", "the mean of {c}"],
    "sum": ["the total {c}", "the sum of {c}", "the total of all {c}"],
}  # fmt: skip
# {x} is the comparison with its value: "Rome", "more than 5".
CONDITIONS = {
    "train": ["whose {a} is {x}", "with {a} {x}", "where the {a} is {x}", "that have {a} {x}", "where {a} is {x}"],
    "pretrain": ["which have {a} {x}", "if {a} is {x}", "when the {a} is {x}", "{a} {x}", "limited to {a} {x}",
                 "in which {a} is {x}", "showing {a} {x}", "{a} being {x}", "provided the {a} is {x}", "given {a} {x}",
                 "as long as the {a} is {x}"],
    "test": ["having {a} {x}", "for which the {a} is {x}", "such that {a} is {x}"],
    "validation": ["in case {a} is {x}", "if its {a} is {x}", "which are of {a} {x}"],
}  # fmt: skip
COMPARE = {
    "train": {">": ["more than", "above", "greater than", "over"], "<": ["less than", "below", "smaller than", "under"],
              "=": ["", "", "", "equal to"]},
    "pretrain": {">": ["higher than", "beyond", "exceeding", "bigger than", "larger than", ">"],
                 "<": ["lower than", "fewer than", "short of", "no more than", "<"],
                 "=": ["", "exactly", "the same as", "="]},
    "test": {">": ["higher than", "larger than", "exceeding"], "<": ["lower than", "fewer than"],
             "=": ["", "", "exactly"]},
    "validation": {">": ["bigger than", "beyond"], "<": ["short of", "lower than"], "=": ["", "", "the same as"]},
}  # fmt: skip
KEY_SUBJECT = {
    "train": ["of {v}", "for {v}"],
    "pretrain": ["belonging to {v}", "of {v}", "for {v}", "of the {t} {v}", "in the row of {v}"],
    "test": ["of the {t} called {v}", "of the {t} named {v}"],
    "validation": ["of {v}, the {t}", "of the one called {v}"],
}
ORDERS = {  # h head, s subject; the held-out orders put the subject first
    "train": ["{h} {s}"], "pretrain": ["{h} {s}", "{h} {s}", "for {s}: {h}"],
    "test": ["{h} {s}", "{h} {s}", "for {s}, {h}"],
    "validation": ["{h} {s}", "{h} {s}", "of {s}, {h}"],
}  # fmt: skip


def plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else noun + "s"


def condition_text(rng: random.Random, c, style) -> str:
    compare = rng.choice(COMPARE[style][c.sign])
    return rng.choice(CONDITIONS[style]).format(a=c.column.replace("_", " "), x=f"{compare} {c.value}".strip())


def question(rng: random.Random, q: Query, table: Table, styles=("train",)) -> str:
    """The query asked in English; each part takes its wording from one of `styles`."""

    def pick(wordings):
        return rng.choice(wordings[rng.choice(styles)])

    things, column = plural(q.table.replace("_", " ")), q.column.replace("_", " ")
    head = rng.choice(HEADS[rng.choice(styles)][q.op])
    if "pretrain" in styles and rng.random() < 0.4:
        head = f"{rng.choice(OPENERS)} {rng.choice(NOUN_PHRASES[q.op])}"
    head = head.format(c=column, t=things)
    rest = list(q.where)
    key = next((c for c in rest if c.column == table.columns[0]), None)
    subject = ""
    if key and q.op == "select" and rng.random() < 0.6:
        rest.remove(key)
        subject = pick(KEY_SUBJECT).format(v=key.value, t=q.table.replace("_", " "))
    elif rest and q.op != "count":
        subject = f"{rng.choice(('of', 'of', 'for', 'among'))} {rng.choice(('', 'the ', 'all '))}{things}"
    clauses = [condition_text(rng, c, rng.choice(styles)) for c in rest]
    subject = f"{subject} {' and '.join(clauses)}".strip()
    order = pick(ORDERS)
    if order != "{h} {s}" and (not rest or q.op == "count" or subject.startswith("for ")):
        order = "{h} {s}"
    if order != "{h} {s}":
        subject = subject.removeprefix("of ").removeprefix("among ")
    text = order.format(h=head, s=subject).strip()
    return text + rng.choice(("?", "?", "")) if rng.random() < 0.9 else text + "."
