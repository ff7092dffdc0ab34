"""Tickets to look at: with the triage that a model wrote, and how far training helps."""

from collections.abc import Sequence

import pandas as pd

from lorakit.chapters.compare import reported
from lorakit.lab.tasks.task import Example
from lorakit.lab.tasks.tickets import correct
from lorakit.show.sql_view import shorten
from lorakit.show.style import BLUE, GREY, ORANGE, CourseFigure, figure, log_x

KINDS = {"combinations": ("known sentences", BLUE), "sentences": ("new sentences", ORANGE)}
# Name, marker, and how far beside its number of steps each stands, or some would hide others.
LOOKS = {"mlp": ("LoRA, MLP", "o-", 1), "q+k+v+o+mlp": ("LoRA, all-linear", "s", 0.92)}
LOOKS |= {"full": ("full fine-tuning", "*", 1.09), "bitfit": ("BitFit", "^", 1)}


def triaged(examples: Sequence[Example], answers: Sequence[str]) -> pd.DataFrame:
    """Each ticket with the answer that a model gave: ✓ where all three fields are right, else ✗ and the wrong ones."""
    rows = []
    for example, answer in zip(examples, answers, strict=False):
        wrong = [f"{field}: {example.info[field]}" for field, right in correct(answer, example).items() if not right]
        rows.append((shorten(example.info["text"], 110), "✗" if wrong else "✓", shorten(answer, 48), ", ".join(wrong)))
    return pd.DataFrame(rows, columns=["ticket", "", "the model", "should be"])


def lengths_figure(runs: pd.DataFrame, title: str) -> CourseFigure:
    """Share of tickets that are right over the steps of training: LoRA on the MLP as lines, the others where they are.

    `runs` is the sweep `tickets` (records.load); each setting stands at its own rate, and bars span the seeds.
    """
    fig, ax = figure(title, size=(9, 4.2))
    found = reported(runs)
    found["place"] = found["targets"].where(found["method"] == "lora", found["method"])
    for kind, (_, colour) in KINDS.items():
        scores = 100 * found.groupby(["place", "steps"])[f"test_{kind}"].agg(["mean", "min", "max"])
        for place, (_, look, beside) in LOOKS.items():
            each = scores.loc[place]
            bars = [each["mean"] - each["min"], each["max"] - each["mean"]]
            ax.errorbar(beside * each.index, each["mean"], bars, fmt=look, color=colour, capsize=4, markersize=10)
    for label, colour in KINDS.values():
        ax.plot([], [], color=colour, linewidth=5, label=label)
    for name, look, _ in LOOKS.values():
        ax.plot([], [], look, color=GREY, markersize=10, label=name)
    ax.set(xlabel="steps of 16 tickets", ylabel="all three fields right (%)", ylim=(0, 100))
    log_x(ax, [100, 200, 400, 800])
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig
