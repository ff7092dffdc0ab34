"""Support tickets: answers are judged by field, and a file that is not of tickets is refused."""

import json

import pytest

import lorakit as lk
from lorakit.lab.tasks.tickets import FIELDS, as_example, parse, read, score, ticket_triage


@pytest.fixture(scope="module")
def tickets():
    return read()


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
    assert [len(task.split(name)) for name in ("train", "validation", "test")] == [1600, 200, 400]
    assert task.metric == "all"


@pytest.mark.parametrize(
    ("change", "words"), [({"split": "exam"}, "split 'exam'"), ({"product": None}, "line 1 of .* without product")]
)
def test_a_line_that_is_not_a_ticket_is_named(tmp_path, tickets, change, words):
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps({key: value for key, value in (tickets[0] | change).items() if value}))
    with pytest.raises(lk.LoRAError, match=words):
        ticket_triage(file)
