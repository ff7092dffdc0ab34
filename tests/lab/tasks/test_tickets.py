"""Support tickets: answers are judged by field."""

import pytest

from lorakit.lab.tasks.tickets import FIELDS, parse, score, ticket_triage


@pytest.fixture(scope="module")
def example():
    return ticket_triage().train[0]


def test_a_ticket_as_an_example_and_its_score(example):
    assert example.prompt.startswith("ticket: ") and example.prompt.endswith("\ntriage:")
    fields = {field: example.info[field] for field in FIELDS}
    assert parse(example.answer) == {field: value.lower() for field, value in fields.items()}
    everything = {"all": 1.0, "product": 1.0, "team": 1.0, "priority": 1.0, "combinations": 1.0}
    assert score([example.answer], [example]) == everything
    wrong = example.answer.replace(fields["priority"], "someday")
    assert score([wrong], [example]) == everything | {"all": 0.0, "priority": 0.0, "combinations": 0.0}


@pytest.mark.parametrize("answer", ["", "Vault", "a, b, c, d", "Vault access urgent", ",,"])
def test_an_answer_of_another_form_is_wrong(answer, example):
    assert not any(score([answer], [example]).values())
