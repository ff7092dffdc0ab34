"""Tickets to look at: with the triage that a model wrote, and how far training helps."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from lorakit.lab.tasks.task import Example
from lorakit.lab.tasks.tickets import correct
from lorakit.show.sql_view import shorten
from lorakit.show.style import BLUE, ORANGE, figure, log_x

KINDS = {"combinations": ("known sentences", BLUE), "sentences": ("new sentences", ORANGE)}


def triaged(examples: Sequence[Example], answers: Sequence[str]) -> pd.DataFrame:
    """Each ticket with the answer that a model gave: ✓ where all three fields are right, else ✗ and the wrong ones."""
    rows = []
    for example, answer in zip(examples, answers, strict=False):
        wrong = [f"{field} is {example.info[field]}" for field, right in correct(answer, example).items() if not right]
        rows.append((shorten(example.info["text"], 110), "✗" if wrong else "✓", shorten(answer, 48), ", ".join(wrong)))
    return pd.DataFrame(rows, columns=["ticket", "", "the model", "true"])


def reported(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the sweep `tickets` that were made with several seeds, at the rate that was chosen."""
    rates = runs.query("seed == 1").groupby("method")["lr"].first()  # the search for a rate had seed 0 alone
    at_rate = runs[runs["lr"] == runs["method"].map(rates)]
    return at_rate.groupby(["method", "steps"]).filter(lambda of_length: len(of_length) > 1)


def lengths_figure(runs: pd.DataFrame, title: str) -> Figure:
    """Share of tickets that are right over the steps of training, LoRA as lines, full fine-tuning as stars.

    `runs` is the sweep `tickets` (records.load); bars span the seeds.
    """
    fig, ax = figure(title, size=(9, 4.2))
    looks = {"lora": ("LoRA", dict(marker="o")),
             "full": ("full fine-tuning", dict(marker="*", markersize=17, linestyle=""))}  # fmt: skip
    for kind, (label, colour) in KINDS.items():
        scores = 100 * reported(runs).groupby(["method", "steps"])[f"test_{kind}"].agg(["mean", "min", "max"])
        for method, (name, look) in looks.items():
            found = scores.loc[method]
            bars = [found["mean"] - found["min"], found["max"] - found["mean"]]
            ax.errorbar(found.index, found["mean"], bars, color=colour, capsize=4, label=f"{label}, {name}", **look)
    ax.set(xlabel="steps of 16 tickets", ylabel="all three fields right (%)", ylim=(0, 100))
    log_x(ax, [100, 200, 400, 800])
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig
