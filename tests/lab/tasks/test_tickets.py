"""Support tickets: the file is what the code writes, held-out sentences are held out, answers are judged by field."""

import json
from collections import Counter

import pytest

import lorakit as lk
from data.make.tickets.words import IMPACTS, PROBLEMS, PRODUCTS, TONES
from data.make.tickets.write import SIZES, lines, make_tickets, parts
from lorakit.lab.tasks.tickets import FIELDS, FILE, KNOWN, as_example, parse, read, score, ticket_triage


@pytest.fixture(scope="module")
def tickets():
    return read()


def test_the_bundled_file_is_what_the_code_writes():
    assert FILE.read_text(encoding="utf-8") == lines(make_tickets())


def test_the_sizes_and_that_no_text_stands_twice(tickets):
    assert Counter(t["split"] for t in tickets) == SIZES
    assert len({t["text"] for t in tickets}) == len({t["id"] for t in tickets}) == len(tickets)


def test_every_product_team_priority_and_tone_is_there_about_as_often(tickets):
    for field, known in (*KNOWN.items(), ("tone", tuple(TONES))):
        counts = Counter(t[field] for t in tickets)
        assert set(counts) == set(known)
        assert max(counts.values()) < 1.3 * min(counts.values())


def test_the_tone_does_not_tell_the_priority(tickets):
    angry = Counter(t["priority"] for t in tickets if t["tone"] == "angry")
    assert max(angry.values()) < 1.5 * min(angry.values())


def first_words(sentence: str) -> str:
    """The sentence up to its first slot: enough to find it again in a ticket."""
    return sentence.split("{")[0].strip()


def test_held_out_sentences_are_never_in_training(tickets):
    train = "\n".join(t["text"] for t in tickets if t["split"] == "train")
    new = [s for part in (PROBLEMS, IMPACTS) for sentences in part.values() for s in parts(sentences)[1]]
    things = [thing for listed in PRODUCTS.values() for thing in parts(listed)[1]]
    for sentence in [s for s in new if len(first_words(s)) > 12]:
        assert first_words(sentence) not in train
    assert not [thing for thing in things if thing in train]
    assert {t["held_out"] for t in tickets if t["split"] == "test"} == {"combinations", "sentences"}


def test_a_ticket_tells_its_product(tickets):
    seen = {thing: product for product, listed in PRODUCTS.items() for thing in parts(listed)[0]}
    for ticket in tickets:
        text = f"{ticket['subject']} {ticket['text']}"
        by_thing = {product for thing, product in seen.items() if thing in text}
        assert f"{ticket['product']}:" in ticket["subject"] or by_thing == {ticket["product"]}


def test_a_ticket_as_an_example_and_its_score(tickets):
    example = as_example(tickets[0])
    assert example.prompt.startswith("ticket: ") and example.prompt.endswith("\ntriage:")
    fields = {field: tickets[0][field] for field in FIELDS}
    assert parse(example.answer) == {field: value.lower() for field, value in fields.items()}
    everything = {"all": 1.0, "product": 1.0, "team": 1.0, "priority": 1.0, "combinations": 1.0}
    assert score([example.answer], [example]) == everything
    wrong = example.answer.replace(fields["priority"], "someday")
    assert score([wrong], [example]) == everything | {"all": 0.0, "priority": 0.0, "combinations": 0.0}


@pytest.mark.parametrize("answer", ["", "Vault", "a, b, c, d", "Vault access urgent", ",,"])
def test_an_answer_of_another_form_is_wrong(answer, tickets):
    assert not any(score([answer], [as_example(tickets[0])]).values())


def test_the_task(tickets):
    task = ticket_triage()
    assert [len(task.split(name)) for name in SIZES] == list(SIZES.values())
    assert task.metric == "all"


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "line 1"), ('{"subject": "x"}', "without"), ("[]", "without"), ("", "no tickets for train")],
)
def test_a_file_that_is_not_of_tickets_is_refused(tmp_path, content, words):
    file = tmp_path / "t.jsonl"
    file.write_text(content)
    with pytest.raises(lk.LoRAError, match=words):
        ticket_triage(file)
    with pytest.raises(lk.LoRAError, match="data.make.tickets.write"):
        ticket_triage(tmp_path / "absent.jsonl")


def test_an_unknown_split_is_named(tmp_path, tickets):
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps(tickets[0] | {"split": "exam"}))
    with pytest.raises(lk.LoRAError, match="split 'exam'"):
        ticket_triage(file)
