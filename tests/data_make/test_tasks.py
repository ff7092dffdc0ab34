"""Text-to-SQL, tickets and styles: the bundled files are what the code writes, and what is held out is held out."""

import functools
import json
import random
from collections import Counter

import pytest

from data.make import text_to_sql as sql_questions
from data.make.nano.phrases import CONDITIONS, HEADS, OPENERS
from data.make.nano.queries import random_query, to_sql
from data.make.nano.tables import DOMAINS, fill, parse
from data.make.nano.words import split_of
from data.make.styles import write as styles
from data.make.tickets.write import SIZES, WORDS, lines, make_tickets
from lorakit.lab.places import DATA
from lorakit.lab.tasks.task import Example
from lorakit.lab.tasks.text_to_sql import same_result, text_to_sql
from lorakit.lab.tasks.tickets import FIELDS, FILE
from tests.support.figures import size

WRITTEN = {
    "styles/law": lambda: "".join(json.dumps(text) + "\n" for text in styles.make("law")),
    "styles/medicine": lambda: "".join(json.dumps(text) + "\n" for text in styles.make("medicine")),
    "styles/code": lambda: "".join(json.dumps(text) + "\n" for text in styles.make("code")),
    "tickets": lambda: lines(make_tickets()),
}
for split, count in {"train": 4000, "validation": 500, "test": 500}.items():  # first lines: all take half a minute
    made = functools.partial(sql_questions.make_split, split, size(50, count))
    WRITTEN[f"text_to_sql/{split}"] = lambda made=made: sql_questions.lines(made())


@pytest.mark.parametrize("name", WRITTEN)
def test_the_bundled_file_is_what_the_code_writes(name):
    written, bundled = WRITTEN[name](), (DATA / "tasks" / f"{name}.jsonl").read_text(encoding="utf-8")
    assert bundled.startswith(written) and (name.startswith("text_to_sql") or bundled == written)


@pytest.fixture(scope="module")
def questions():
    return text_to_sql()


def test_no_value_of_the_test_stands_in_a_training_table(questions):
    train, test = (
        {str(v) for e in examples for row in e.info["rows"] for v in row}
        for examples in (questions.train, questions.test)
    )
    assert not train & test
    assert {split_of(v) for v in test} == {"test"}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_held_out_wording_stands_in_no_other_split_and_not_in_pretraining(questions, split):
    heads = [h.split("{")[0] for listed in HEADS[split].values() for h in listed]
    joints = [c.split("{")[0] for c in CONDITIONS[split]]
    others = [e for other in ("train", "validation", "test") if other != split for e in questions.split(other)]
    asked = [e.prompt.split("question: ")[1] for e in others]
    told = [*OPENERS, *(h for listed in HEADS["pretrain"].values() for h in listed), *CONDITIONS["pretrain"]]
    text = "\n" + "\n".join(asked + told)
    assert not [h for h in heads if f"\n{h}" in text or f", {h}" in text]
    assert not [j for j in joints if f" {j}" in text or f"\n{j}" in text]


def test_one_slip_in_the_query_changes_the_result():
    rng, told = random.Random(3), 0
    for _ in range(200):
        table = fill(rng, "city", parse(DOMAINS["city"]), 6)
        query = random_query(rng, table)
        if sql_questions.telling(query, table):
            info = {"table": "city", "columns": table.columns, "rows": table.rows}
            info["types"] = ["number" if table.is_number(c) else "text" for c in table.columns]
            gold = Example("", to_sql(query), info)
            assert same_result(to_sql(query), gold)
            assert not any(same_result(to_sql(wrong), gold) for wrong in sql_questions.mistakes(query, table))
            told += 1
    assert told > 50


@pytest.fixture(scope="module")
def tickets():
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def test_no_ticket_stands_twice_and_each_kind_is_there_about_as_often(tickets):
    assert Counter(t["split"] for t in tickets) == SIZES
    assert len({t["text"] for t in tickets}) == len({t["id"] for t in tickets}) == len(tickets)
    kinds = ("products", "problems", "impacts", "tones")
    for field, known in zip((*FIELDS, "tone"), map(WORDS.get, kinds), strict=True):
        counts = Counter(t[field] for t in tickets)
        assert set(counts) == set(known)
        assert max(counts.values()) < 1.3 * min(counts.values())


def test_the_tone_does_not_tell_the_priority(tickets):
    angry = Counter(t["priority"] for t in tickets if t["tone"] == "angry")
    assert max(angry.values()) < 1.5 * min(angry.values())


def test_held_out_sentences_are_never_in_training(tickets):
    train = "\n".join(t["text"] for t in tickets if t["split"] == "train")
    new = [s for kind in ("problems", "impacts") for listed in WORDS[kind].values() for s in listed["held_out"]]
    beginnings = [s.split("{")[0].strip() for s in new]  # up to the first slot: enough to find a sentence again
    things = [thing for listed in WORDS["products"].values() for thing in listed["held_out"]]
    assert not [words for words in beginnings if len(words) > 12 and words in train]
    assert not [thing for thing in things if thing in train]
    assert {t["held_out"] for t in tickets if t["split"] == "test"} == {"combinations", "sentences"}


def test_words_of_a_list_and_openers_are_in_one_split_only():
    for made in styles.STYLES.values():
        for words in made["words"].values():
            of_splits = [set(styles.of_split(words, split)) for split in SIZES]
            assert len(set(words)) == len(words), "a word twice could be in two splits"
            assert sum(map(len, of_splits)) == len(words) and all(len(part) >= 2 for part in of_splits)
        assert not set(made["sentences"][0][0]) & set(made["new_sentences"][0][0])
    assert len(set().union(*styles.OPENERS.values())) == sum(map(len, styles.OPENERS.values()))
