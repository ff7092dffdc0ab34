"""Tickets with their triage: right and wrong are told apart."""

from lorakit.chapters.choose_for_real.ticket_view import triaged
from lorakit.lab.tasks.tickets import ticket_triage


def test_a_right_and_a_wrong_triage():
    examples = ticket_triage().test[:2]
    info = examples[1].info
    table = triaged(examples, [examples[0].answer, f" {info['product']}, {info['team']}, someday"])
    assert list(table[""]) == ["✓", "✗"] and list(table["should be"]) == ["", f"priority: {info['priority']}"]
