"""Tickets with their triage: right and wrong are told apart, and the figure takes only what was reported."""

from lorakit.chapters.choose_for_real.ticket_view import lengths_figure, reported, triaged
from lorakit.lab import records
from lorakit.lab.tasks.tickets import ticket_triage


def test_a_right_and_a_wrong_triage():
    examples = ticket_triage().test[:2]
    info = examples[1].info
    table = triaged(examples, [examples[0].answer, f" {info['product']}, {info['team']}, someday"])
    assert list(table[""]) == ["✓", "✗"] and list(table["true"]) == ["", f"priority is {info['priority']}"]


def test_the_figure_takes_each_length_over_its_seeds():
    runs = records.load("tickets")
    counts = reported(runs).groupby(["method", "steps"]).size()
    assert counts.to_dict() == {("full", 400): 3, **{("lora", steps): 3 for steps in (100, 200, 400, 800)}}
    (ax,) = lengths_figure(runs, "t").axes
    lines = [container.lines[0].get_ydata() for container in ax.containers]
    known = 100 * reported(runs).query("method == 'lora'").groupby("steps")["test_combinations"].mean()
    assert list(lines[0]) == list(known) and [len(line) for line in lines] == [4, 1, 4, 1]
