"""The picture on the README's front: chapter 00's run, drawn.

    python tools/readme_picture.py            # trains nano (about a minute), writes docs/picture.png

Every number in it is measured by this run: the share of parameters, the loss, the answers before and after.
"""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

import lorakit as lk
from lorakit import lab, show
from lorakit.show.sql_view import mark, question_of
from lorakit.show.style import BLUE, GREY, ORANGE

PICTURE = Path(__file__).parents[1] / "docs" / "picture.png"
QUESTIONS = 100  # of the test
FROZEN, RIGHT, WRONG = "#BBD6E8", "#00664B", "#A34700"


def measure() -> dict:
    """Chapter 00 in short: score, adapt, score again."""
    model, tokenizer = lk.load_base("nano")
    task = lab.text_to_sql()
    before = lab.evaluate(model, tokenizer, task, limit=QUESTIONS)
    lk.inject(model, lk.LoRAConfig(r=8, alpha=16, targets=("c_attn",)), name="sql", seed=0)
    losses = lab.fit(model, tokenizer, task, steps=100, lr=1e-2).losses
    after = lab.evaluate(model, tokenizer, task, limit=QUESTIONS)
    table = lk.parameter_table(model)
    return {"examples": task.test, "before": before, "after": after, "losses": losses, "table": table}


def draw(run: dict) -> Figure:
    """Three panels: what trains, the loss, one question before and after."""
    fig, (left, middle, right) = show.figure(columns=3, size=(14, 3.9), width_ratios=(0.75, 1.15, 2.1))
    _share(left, run["table"])
    losses = run["losses"]
    middle.plot(range(1, len(losses) + 1), losses, color=BLUE)
    middle.set(xlabel="training step", ylabel="loss", ylim=(0, None))
    middle.set_title(f"{len(losses)} steps, no GPU needed")
    _answers(right, run)
    return fig


def _share(ax, table) -> None:
    """1,000 squares for all parameters, the trained ones orange."""
    trained = np.arange(1000).reshape(40, 25) < 10 * table.percent
    ax.pcolormesh(trained, cmap=ListedColormap([FROZEN, ORANGE]), edgecolors="white", linewidth=1)
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.set_title(f"{table.percent:.2f} % is trained")
    ax.text(0, 41, f"{table.trainable:,} of {table.total / 1e6:.1f} million", va="top", fontsize=12, color=GREY)


def _answers(ax, run: dict) -> None:
    """The first test question that the base gets wrong and LoRA right, with both answers."""
    before, after, examples = run["before"], run["after"], run["examples"]
    telling = [
        i
        for i, (old, new) in enumerate(zip(before["answers"], after["answers"], strict=True))
        if mark(old, examples[i]) == "✗" and mark(new, examples[i]) == "✓" and " WHERE " in new
    ]
    i = min(telling, key=lambda i: abs(len(examples[i].answer) - 55))
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_title(f"answers right: {before['execution']:.0%} → {after['execution']:.0%} of {QUESTIONS} new questions")
    ax.text(0, 0.93, examples[i].prompt.split("\n")[0], fontsize=12, color=GREY, va="top")
    ax.text(0, 0.80, textwrap.fill(question_of(examples[i]), 62), fontsize=14, va="top")
    for y, name, answer, colour, sign in (
        (0.56, "before", before["answers"][i], WRONG, "✗"),
        (0.24, "with LoRA", after["answers"][i], RIGHT, "✓"),
    ):
        ax.text(0, y, f"{sign} {name}", fontsize=13, weight="bold", color=colour, va="top")
        words = textwrap.fill(" ".join(answer.split()), 56, max_lines=2, placeholder=" …")
        ax.text(0.045, y - 0.09, words, fontsize=13, family="DejaVu Sans Mono", color=colour, va="top")


if __name__ == "__main__":
    PICTURE.write_bytes(show.png(draw(measure()), dpi=110))
