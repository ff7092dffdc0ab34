"""Tickets with their triage: right and wrong are told apart, and the figure takes only what was reported."""

from lorakit.chapters.choose_for_real.ticket_view import lengths_figure, reported, tickets_table, triaged
from lorakit.lab import old_records as records
from lorakit.lab.tasks.tickets import ticket_triage


def test_a_right_and_a_wrong_triage():
    examples = ticket_triage().test[:2]
    info = examples[1].info
    wrong = f" {info['product']}, {info['team']}, someday"
    grid = triaged(examples, [examples[0].answer, wrong])
    assert grid.rows[0][1].startswith("✓") and grid.rows[0][2] == ""
    assert grid.rows[1][1].startswith("✗") and grid.rows[1][2] == f"priority is {info['priority']}"


def test_the_table_shows_what_is_true():
    example = ticket_triage().train[0]
    assert tickets_table([example]).rows[0][1:] == tuple(example.info[f] for f in ("product", "team", "priority"))


def test_the_figure_takes_each_length_over_its_seeds():
    rows = records.load("tickets")
    found = reported(rows, "lora", "test.combinations")
    assert [s.key for s in found] == [(100,), (200,), (400,), (800,)] and {s.n for s in found} == {3}
    assert [(s.key, s.n) for s in reported(rows, "full", "test.all")] == [((400,), 3)]
    assert lengths_figure(rows, "t").axes
