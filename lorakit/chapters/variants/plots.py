"""The pictures of chapter 12: who is ahead of LoRA, at LoRA's rate and at its own; a race."""

import pandas as pd

from lorakit.chapters.variants.table import LORA, TWICE
from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, figure

LOOKS = {LORA: (BLUE, "o"), "rsLoRA": (SKY, "v"), "LoRA+": (ORANGE, "^"), "PiSSA": (GREEN, "s"), "DoRA": (RED, "D"),
         "LoRA-FA": (PURPLE, "P"), "VeRA": (BLACK, "X"), TWICE: (GREY, "o")}  # fmt: skip
EDGE = -12  # what lies further left would eat the scale: a number says where


def lead_figure(table: pd.DataFrame, title: str):
    """How many % fewer bits than LoRA: at LoRA's rate (hollow) and at its own (filled, 95 %), best at the top."""
    found = table.drop(index=LORA).sort_values("gain")
    fig, ax = figure(title, size=(9, 4.2))
    ax.axvspan(-2, 2, color=GREY, alpha=0.15, linewidth=0)
    ax.axvline(0, color=BLUE, linewidth=1.5)
    for y, (name, row) in enumerate(found.iterrows()):
        colour = LOOKS[name][0]
        ax.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=5, alpha=0.35, solid_capstyle="round")
        ax.plot([row["gain"]], [y], "o", color=colour, markersize=10)
        ax.plot([row["careless"]], [y], "o", markersize=10, markerfacecolor="none", color=colour)
        far = [f"{kind} {row[key]:.0f}" for kind, key in (("●", "gain"), ("○", "careless")) if row[key] < EDGE]
        ax.text(EDGE, y, "  ".join(far) and "◀ " + "  ".join(far), color=colour, va="center")
    ax.set(xlabel="% fewer bits per byte than LoRA", xlim=(EDGE - 0.5, found["high"].max() + 0.5))
    ax.set_yticks(range(len(found)), found.index)
    ax.plot([], [], "o", color=GREY, label="at its own rate, three seeds")
    ax.plot([], [], "o", color=GREY, markerfacecolor="none", label="at LoRA's rate, two seeds")
    ax.legend(loc="upper left")
    return fig


def race_figure(losses: dict[str, list[float]], title: str):
    """The training loss of each variant, as a mean over the last five steps."""
    fig, ax = figure(title, size=(9, 4))
    for name, values in losses.items():
        colour, marker = LOOKS[name]
        line = pd.Series(values, range(1, len(values) + 1)).rolling(5, min_periods=1).mean()
        ax.plot(line, color=colour, marker=marker, markevery=5, label=name)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="step", ylabel="training loss, mean of five steps\n(nats a token)")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig
