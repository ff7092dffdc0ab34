"""The generated documents, one small function per family. `write(rng, nouns, PAIRED)` gives one document's text.

PAIRED families put a request and its structured answer side by side; UNPAIRED ones hold structure alone. No family
puts SQL after an English request: that pair is what the course adapts to.
"""

import json
import random

from data.make.nano import words
from data.make.nano.phrases import question
from data.make.nano.queries import ANSWERS, FORMAL, random_query, to_sql
from data.make.nano.tables import random_table

STYLES = ("train", "pretrain", "pretrain")


def write(rng: random.Random, nouns, families) -> str:
    family = rng.choices([f for _, f in families], [w for w, _ in families])[0]
    return family(rng, nouns)


# Queries


def ask(rng, table, query):
    text = question(rng, query, table, STYLES)
    return text[0].upper() + text[1:] if rng.random() < 0.1 else text


def table_and_query(rng, nouns):
    table = random_table(rng, nouns)
    return table, random_query(rng, table)


def with_header(rng, table, *lines, share=0.9):
    return "\n".join([table.header(), *lines] if rng.random() < share else lines)


def question_to_answer(rng, nouns):
    """A question about a table, then one or two notations of what is asked."""
    table, query = table_and_query(rng, nouns)
    cues = rng.sample(list(ANSWERS), rng.choice((1, 1, 2)))
    asked = f"question: {ask(rng, table, query)}"
    return with_header(rng, table, asked, *(f"{cue}: {ANSWERS[cue](query)}" for cue in cues))


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
    table, query = table_and_query(rng, nouns)
    if rng.random() < 0.5:
        cue = rng.choice(list(ANSWERS))
        told = f"{cue}: {ANSWERS[cue](query)}"
    else:
        told = f"{rng.choice(('question', 'words', 'question'))}: {ask(rng, table, query)}"
    return with_header(rng, table, f"sql: {to_sql(query)}", told)


def notation_to_sql(rng, nouns):
    """A formal notation turned into SQL: never English."""
    table, query = table_and_query(rng, nouns)
    cue = rng.choice(FORMAL)
    return with_header(rng, table, f"{cue}: {ANSWERS[cue](query)}", f"sql: {to_sql(query)}")


def notation_to_question(rng, nouns):
    table, query = table_and_query(rng, nouns)
    cue = rng.choice([*FORMAL, "keywords", "steps"])
    return with_header(rng, table, f"{cue}: {ANSWERS[cue](query)}", f"question: {ask(rng, table, query)}")


def paraphrase(rng, nouns):
    table, query = table_and_query(rng, nouns)
    first, second = ask(rng, table, query), ask(rng, table, query)
    return with_header(rng, table, f"question: {first}", f"paraphrase: {second}")


def sql_alone(rng, nouns):
    """Queries after a table's header, and nothing else."""
    table = random_table(rng, nouns)
    queries = [f"sql: {to_sql(random_query(rng, table))}" for _ in range(rng.randint(1, 3))]
    return with_header(rng, table, *queries, share=0.8)


def notation_alone(rng, nouns):
    table = random_table(rng, nouns)
    cue = rng.choice(FORMAL)
    return "\n".join(f"{cue}: {ANSWERS[cue](random_query(rng, table))}" for _ in range(2))


def questions_alone(rng, nouns):
    table, query = table_and_query(rng, nouns)
    return with_header(rng, table, f"question: {ask(rng, table, query)}", share=0.5)


# Tables and rows


def json_alone(rng, nouns):
    table = random_table(rng, nouns, rows=rng.randint(1, 3))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return "json: " + (json.dumps(rows[0]) if len(rows) == 1 else json.dumps(rows))


def table_alone(rng, nouns):
    table = random_table(rng, nouns)
    rows = [rng.choice((", ", " | ")).join(map(str, row)) for row in table.rows]
    return "\n".join([table.header(), *rows])


def lookup(rng, nouns):
    """Rows of a table, then cells read from it."""
    table = random_table(rng, nouns)
    lines = [table.header()] + [", ".join(map(str, row)) for row in table.rows]
    for row in rng.sample(table.rows, min(2, len(table.rows))):
        at = rng.randrange(1, len(table.columns)) if len(table.columns) > 1 else 0
        lines.append(f"{table.columns[at].replace('_', ' ')} of {row[0]}: {row[at]}")
    return "\n".join(lines)


def row_to_json(rng, nouns):
    table = random_table(rng, nouns, rows=1)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    lines, as_json = [f"{k}: {v}" for k, v in row.items()], f"json: {json.dumps(row)}"
    return "\n".join([*lines, as_json] if rng.random() < 0.5 else [as_json, *lines])


def row_to_sentence(rng, nouns):
    table = random_table(rng, nouns, rows=1)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    first, *others = row
    facts = " and ".join(f"its {k} is {row[k]}" for k in others) or "it has no more to it"
    text = f"text: the {table.name} {row[first]}: {facts}."
    told = f"keywords: {', '.join(map(str, row.values()))}" if rng.random() < 0.6 else f"json: {json.dumps(row)}"
    return f"{text}\n{told}"


# Lists, copies, numbers


def some_values(rng, low=3, high=7):
    make = words.VALUE_KINDS[rng.choice(list(words.VALUE_KINDS))]
    return [make(rng) for _ in range(rng.randint(low, high))]


def lists(rng, nouns):
    """A list, and the same list changed: copied, reversed, sorted, its first, its last, its length."""
    items = some_values(rng) if rng.random() < 0.6 else rng.sample(nouns, rng.randint(3, 7))
    changes = [("copy", items), ("reverse", items[::-1]), ("sorted", sorted(items)), ("first", items[:1])]
    changes += [("last", items[-1:]), ("length", [len(items)]), ("quoted", [f"'{i}'" for i in items])]
    change, out = rng.choice(changes)
    return f"list: {', '.join(map(str, items))}\n{change}: {', '.join(map(str, out))}"


def repeat(rng, nouns):
    """Strange phrases said twice: nothing but copying can foresee the second time."""
    phrase = " ".join(str(x) for x in rng.sample(nouns, 3) + some_values(rng, 2, 4))
    quoted = f"'{phrase}'" if rng.random() < 0.5 else phrase
    return f"text: {phrase}\n{rng.choice(('again', 'copy', 'quote', 'echo'))}: {quoted}"


def key_values(rng, nouns):
    keys = rng.sample(nouns, rng.randint(3, 6))
    pairs = {k: some_values(rng, 1, 1)[0] for k in keys}
    style = rng.choice(("{} = {}", "{}: {}", "{} -> {}", "{} is {}"))
    asked = rng.sample(keys, 2)
    return "\n".join([style.format(k, v) for k, v in pairs.items()] + [f"value of {k}? {pairs[k]}" for k in asked])


def compare(rng, nouns):
    a, b = words.number(rng), words.number(rng)
    if rng.random() < 0.5:
        return f"compare: {a} and {b}\nlarger: {max(a, b)}\nsmaller: {min(a, b)}"
    a, b = rng.randint(0, 60), rng.randint(0, 39)
    return f"add: {a} and {b}\nsum: {a + b}"


def dates(rng, nouns):
    d, m, y = rng.randint(1, 28), rng.randint(1, 12), words.year(rng)
    month = words.LISTS["month"][m - 1]
    return f"date: {rng.choice((f'{d} {month} {y}', f'{month} {d}, {y}'))}\niso: {y}-{m:02}-{d:02}"


def sentence_keywords(rng, nouns):
    things, who = rng.sample(nouns, 3), words.person(rng)
    did = rng.choice(("took", "sold", "saw", "lost", "found", "made"))
    text = f"{who} {did} the {things[0]} and the {things[1]} near the {things[2]}"
    return f"text: {text}.\nkeywords: {', '.join([who, *things])}"


# Restaurants, tickets, styles


def restaurant(rng):
    facts = {
        "name": rng.choice((words.title, words.name))(rng), "type": rng.choice(words.LISTS["eatery"]),
        "food": rng.choice(words.LISTS["cuisine"]),
        "price": rng.choice(("cheap", "moderate", "high", "under 20", "more than 30")),
        "area": rng.choice(("centre", "riverside", "city", "suburbs", "harbour")),
        "rating": rng.choice(("low", "average", "high", "5 out of 5", "3 out of 5")),
        "family": rng.choice(("yes", "no")), "near": words.name(rng),
    }  # fmt: skip
    kept = ["name", *rng.sample(list(facts)[1:], rng.randint(2, 5))]
    return {k: facts[k] for k in kept}


def in_brackets(facts):
    return ", ".join(f"{k}[{v}]" for k, v in facts.items())


def attributes(rng, nouns):
    """Restaurant facts in three notations, one turned into another."""
    facts = restaurant(rng)
    forms = {"attributes": in_brackets(facts), "json": json.dumps(facts),
             "list": "; ".join(f"{k} = {v}" for k, v in facts.items()),
             "values": ", ".join(facts.values())}  # fmt: skip
    a, b = rng.sample(list(forms), 2)
    return f"{a}: {forms[a]}\n{b}: {forms[b]}" if a != "values" else f"{b}: {forms[b]}"


def review(rng):
    """Sentences about a place to eat, with the facts they tell."""
    facts = restaurant(rng)
    near = f" near {facts['near']}" if "near" in facts else ""
    said = [f"{facts['name']} is a {facts.get('type', 'place')}{near}"]
    tell = {"food": "it serves {} food", "price": "prices are {}", "area": "it lies in the {}",
            "rating": "guests rate it {}", "family": "bringing children: {}"}  # fmt: skip
    said += [tell[k].format(v) for k, v in facts.items() if k in tell]
    return ". ".join(s[0].upper() + s[1:] for s in said) + ".", facts


def text_to_attributes(rng, nouns):
    text, facts = review(rng)
    told = f"attributes: {in_brackets(facts)}" if rng.random() < 0.6 else f"json: {json.dumps(facts)}"
    return f"text: {text}\n{told}"


def review_alone(rng, nouns):
    return review(rng)[0]


TROUBLES = """the {n} does not start|my {n} is broken|I cannot open the {n}|the {n} shows error {d}|please reset my {n}|
the {n} is very slow today|I was charged twice for the {n}|the {n} has not arrived|where do I find the {n}|
the {n} stopped working after the update|I would like to return the {n}""".replace("\n", "").split("|")


def ticket(rng, nouns):
    """A support ticket as it comes in, and sometimes a form with fields: text and form are never one pair."""
    trouble = rng.choice(TROUBLES).format(n=rng.choice(nouns), d=words.number(rng))
    if rng.random() < 0.5:
        closing = rng.choice(("thank you", "please help", "regards", "it is urgent"))
        return f"ticket: hello, {trouble}. {closing}, {words.person(rng)}"
    fields = {"id": words.code(rng), "customer": words.person(rng), "product": rng.choice(nouns),
              "priority": rng.choice(("low", "medium", "high", "urgent")),
              "status": rng.choice(words.LISTS["status"])}  # fmt: skip
    lines = "\n".join(f"{k}: {v}" for k, v in fields.items())
    return lines if rng.random() < 0.5 else f"{lines}\njson: {json.dumps(fields)}"


def styles(rng, nouns):
    """A line that sounds like a contract, a clinic or a program."""
    a, b, c = rng.sample(nouns, 3)
    who, n = words.person(rng), words.small(rng)
    return rng.choice((
        f"The party of the first part, {who}, shall deliver the {a} within {n} days, "
        f"failing which the {b} shall be void.",
        f"Subject to clause {n}, the {a} is hereby assigned to {who} together with every {b} and {c} thereof.",
        f"Patient {who}, aged {n}, presents with pain in the {a}. No sign of {b}. Advised rest and {c}.",
        f"Take {n} mg of {a} twice a day. Stop if {b} occurs and see Doctor {who}.",
        f"def {a}({b}):\n    {c} = {b} + {n}\n    return {c}",
        f"for {a[0]} in range({n}):\n    print({a[0]}, {b})",
        f"if {a} > {n}:\n    {b} = {c}\nelse:\n    {b} = None",
    ))  # fmt: skip


# (weight, family)
PAIRED = [
    (9, question_to_answer), (4, questions_to_one_notation), (3, sql_to_question), (2, notation_to_sql),
    (2, notation_to_question), (2, paraphrase), (1.5, lookup), (1, row_to_json), (1, row_to_sentence), (1.5, lists),
    (1, repeat), (1, key_values), (0.4, compare), (0.4, dates), (0.8, attributes), (0.8, text_to_attributes),
    (0.6, sentence_keywords),
]  # fmt: skip
UNPAIRED = [(4, sql_alone), (2, json_alone), (2, table_alone), (1, notation_alone), (2, questions_alone), (0.7, ticket),
            (0.7, styles), (0.7, review_alone)]  # fmt: skip
