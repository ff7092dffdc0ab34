"""Tickets to look at: with the triage that each model wrote, and how far training helps."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from lorakit.lab.old_records import select, summarise
from lorakit.lab.tasks.task import Example
from lorakit.lab.tasks.tickets import FIELDS, correct
from lorakit.show.sql_view import Grid
from lorakit.show.style import BLUE, GREY, ORANGE, figure

KINDS = {"combinations": ("known sentences", BLUE), "sentences": ("new sentences", ORANGE)}


def tickets_table(examples: Sequence[Example]) -> Grid:
    """The tickets with what is true of them."""
    rows = tuple((f"{e.info['subject']}: {e.info['text']}", *(e.info[field] for field in FIELDS)) for e in examples)
    return Grid(("ticket", *FIELDS), rows)


def triaged(examples: Sequence[Example], answers: Sequence[str], most: int = 110) -> Grid:
    """Each ticket with the answer that a model gave: ✓ where all three fields are right, else ✗ and the wrong ones."""
    rows = []
    for example, answer in zip(examples, answers, strict=False):
        right = correct(answer, example)
        text = example.info["text"]
        text = text if len(text) <= most else text[: most - 1] + "…"
        wrong = ", ".join(f"{field} is {example.info[field]}" for field in FIELDS if not right[field])
        rows.append((text, f"{'✗' if wrong else '✓'} {' '.join(answer.split())[:48]}", wrong))
    return Grid(("ticket", "the model", "true"), tuple(rows))


def lengths_figure(rows: Sequence[dict], title: str) -> Figure:
    """Share of tickets that are right over the steps of training, LoRA as lines, full fine-tuning as stars.

    `rows` are the records of the sweep `tickets`; bars span the seeds.
    """
    fig, ax = figure(title, size=(9, 4.2))
    for kind, (label, colour) in KINDS.items():
        for method, style in (("lora", dict(marker="o")), ("full", dict(marker="*", markersize=17, linestyle=""))):
            found = reported(rows, method, f"test.{kind}")
            steps, means = [s.key[0] for s in found], [100 * s.mean for s in found]
            bars = [[100 * (s.mean - s.low) for s in found], [100 * (s.high - s.mean) for s in found]]
            name = f"{label}, {'LoRA' if method == 'lora' else 'full fine-tuning'}"
            ax.errorbar(steps, means, yerr=bars, color=colour, capsize=4, label=name, **style)
    ax.axhline(0, color=GREY, linewidth=1)
    ax.set(xlabel="steps of 16 tickets", ylabel="all three fields right (%)", ylim=(0, 100))
    ax.set(xscale="log", xticks=[100, 200, 400, 800], xticklabels=["100", "200", "400", "800"])
    ax.minorticks_off()
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def reported(rows: Sequence[dict], method: str, metric: str) -> list:
    """One Summary for each length of training that was run with three seeds, at the rate that was chosen."""
    chosen = select(rows, method=method, seed=1)  # the search for a rate had seed 0 alone
    rates = {row["run"]["lr"] for row in chosen}
    of_rate = [row for row in select(rows, method=method) if row["run"]["lr"] in rates]
    return [s for s in summarise(of_rate, ("steps",), metric) if s.n > 1]
