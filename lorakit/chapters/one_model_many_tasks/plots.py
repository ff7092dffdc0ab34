"""Pictures of chapter 10: who is good at what, throughput, a thousand adapters, adapter arithmetic."""

import numpy as np
import pandas as pd

from lorakit.chapters.one_model_many_tasks.texts import COLOURS
from lorakit.lab.tasks.styles import HELD_OUT
from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, CourseFigure, figure, log_x

WAYS = {  # colour, marker and label of each way to answer
    "one adapter": (GREY, "--", "all rows want one adapter"),
    "mixed": (BLUE, "o-", "mixed batch"),
    "swapping": (ORANGE, "s-", "adapter by adapter"),
    "merging": (RED, "^-", "merge, answer, unmerge"),
    "peft": (PURPLE, "D-", "PEFT's mixed batch"),
}


def cross(table: pd.DataFrame, title: str) -> CourseFigure:
    """`cross.cross_table` in colours: adapters down, texts across; dark is good, a style's own adapter in bold."""
    values, highest = table.to_numpy(), table.to_numpy().max()
    fig, ax = figure(title, size=(8.5, 3.9), grid=False)
    ax.imshow(-values, cmap="Blues", aspect="auto", vmin=-1.2 * highest, vmax=0)
    for (y, x), value in np.ndenumerate(values):
        weight = "bold" if table.index[y] == table.columns[x] else "normal"
        colour = "white" if value < 0.45 * highest else BLACK
        ax.text(x, y, f"{value:.2f}", ha="center", va="center", color=colour, weight=weight, fontsize=16)
    ax.set_xticks(range(len(table.columns)), [f"{style} texts" for style in table.columns])
    ax.set_yticks(range(len(table)), ["base" if name == "base" else f"{name} adapter" for name in table.index])
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    return fig


def held_out(rows: pd.DataFrame, title: str) -> CourseFigure:
    """Base and own adapter on each style by what is new in the texts; `rows` as `cross.recorded` gives them."""
    styles, kinds = list(rows["style"].unique()), list(HELD_OUT)
    fig, axes = figure(title, columns=len(styles), size=(10, 3.9), sharey=True)
    for ax, style in zip(axes, styles, strict=True):
        by = rows[rows["style"] == style].set_index("adapter")[kinds]
        for adapter, shift in (("base", -0.2), (style, 0.2)):
            bars = ax.bar(np.arange(len(kinds)) + shift, by.loc[adapter], 0.38, color=COLOURS[adapter], label=adapter)
            ax.bar_label(bars, fmt="%.1f", fontsize=12)
        ax.margins(y=0.1)
        ax.set_title(style, weight="normal")
        ax.set_xticks(range(len(kinds)), [f"new\n{kind}" for kind in kinds], fontsize=11)
        ax.grid(False, axis="x")
    axes[0].set_ylabel("bits per byte")
    return fig


def throughput_lines(rows: pd.DataFrame, title: str) -> CourseFigure:
    """Requests per second over the number of adapters in a batch, in % of one adapter's; bars: the 95 % interval."""
    fig, ax = figure(title, size=(9, 4.3))
    for way, (colour, mark, label) in WAYS.items():
        found = rows[rows["way"] == way]
        if len(found):
            speed = 100 / found["ratio"].to_numpy()
            ends = 100 / np.array(found["interval"].tolist())[:, ::-1].T  # (2, points)
            error = np.abs(ends - speed)
            ax.errorbar(found["adapters"], speed, error, fmt=mark, color=colour, label=label, capsize=3)
    log_x(ax, rows["adapters"].unique())
    ax.set(xlabel="different adapters among the requests of a batch", ylabel="requests per second (%)", ylim=(0, 115))
    fig.legend(loc="outside right center")
    return fig


def thousand(rows: pd.DataFrame, base_bytes: int, title: str) -> CourseFigure:
    """Memory of the resident adapters over their number, beside the base and as many merged copies of it."""
    counts = rows["adapters"]
    fig, ax = figure(title, size=(9, 3.9))
    ax.loglog(counts, rows["tensors"] / 1e6, "o-", color=BLUE, label="adapters")
    ax.loglog(counts, counts * base_bytes / 1e6, "s--", color=RED, label="merged copies")
    ax.axhline(base_bytes / 1e6, color=GREY, ls=":", label="the base")
    ax.set(xlabel="tasks", ylabel="megabytes")
    log_x(ax, counts, [f"{count:,}" for count in counts])
    fig.legend(loc="outside right center")
    return fig


def strengths(curves: pd.DataFrame, title: str) -> CourseFigure:
    """Bits per byte over an adapter's strength (the index), a line for each column. A ring marks each best."""
    fig, ax = figure(title, size=(9, 4.3))
    for label, colour in zip(curves, (BLUE, GREEN, RED, GREY), strict=False):
        ax.plot(curves.index, curves[label], "o-", color=colour, label=label)
        ax.plot(curves[label].idxmin(), curves[label].min(), "o", ms=16, mfc="none", mec=colour, mew=2)
    ax.set(xlabel="strength (0: the base, 1: as trained); a ring is the best", ylabel="bits per byte", ylim=(0, None))
    fig.legend(loc="outside right center")
    return fig


def sums(scores: pd.DataFrame, title: str) -> CourseFigure:
    """Bits per byte: a group of bars for each style of text (the rows), a bar for each adapter (the columns)."""
    fig, ax = figure(title, size=(11, 4.1))
    colours = (GREY, BLUE, GREEN, ORANGE, RED, PURPLE)[: len(scores.columns)]
    scores.plot.bar(ax=ax, color=colours, width=0.8, rot=0, legend=False)
    for bars in ax.containers:
        ax.bar_label(bars, fmt="%.2f", fontsize=12)
    ax.set(xticklabels=[f"{style} texts" for style in scores.index], ylabel="bits per byte")
    ax.grid(False, axis="x")
    fig.legend(loc="outside right center")
    return fig
