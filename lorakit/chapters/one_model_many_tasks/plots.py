"""Pictures of chapter 10: who is good at what, throughput, a thousand adapters, adapter arithmetic."""

from collections.abc import Sequence

import numpy as np

from lorakit.chapters.one_model_many_tasks.texts import COLOURS
from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, CourseFigure, figure

WAYS = {  # colour, marker and label of each way to answer
    "one adapter": (GREY, "--", "all rows want one adapter"),
    "mixed": (BLUE, "o-", "mixed batch"),
    "swapping": (ORANGE, "s-", "adapter by adapter"),
    "merging": (RED, "^-", "merge, answer, unmerge"),
    "peft": (PURPLE, "D-", "PEFT's mixed batch"),
}


def cross(rows: Sequence[dict], title: str, metric: str = "bits_per_byte") -> CourseFigure:
    """A table in colours of `styles_cross.cross_table`'s rows: adapters down, texts across; dark is good."""
    adapters, styles = (list(dict.fromkeys(row[key] for row in rows)) for key in ("adapter", "style"))
    table = np.array([[_value(rows, a, s, metric) for s in styles] for a in adapters])  # (adapters, styles)
    fig, ax = figure(title, size=(8.5, 3.9), grid=False)
    ax.imshow(-table, cmap="Blues", aspect="auto", vmin=-1.2 * table.max(), vmax=0)
    for y, x in np.ndindex(*table.shape):
        own = adapters[y] == styles[x]
        dark = table[y, x] < 0.45 * table.max()
        style = {"color": "white" if dark else BLACK, "weight": "bold" if own else "normal", "fontsize": 16}
        ax.text(x, y, f"{table[y, x]:.2f}", ha="center", va="center", **style)
    ax.set(xticks=range(len(styles)), xticklabels=[f"{style} texts" for style in styles])
    ax.set(yticks=range(len(adapters)), yticklabels=["base" if a == "base" else f"{a} adapter" for a in adapters])
    ax.tick_params(length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return fig


def _value(rows, adapter, style, metric) -> float:
    return next(row[metric] for row in rows if (row["adapter"], row["style"]) == (adapter, style))


def held_out(rows: Sequence[dict], title: str) -> CourseFigure:
    """Base and own adapter on each style by what is new in the texts (rows with "by" of the recorded cross table)."""
    styles = list(dict.fromkeys(row["style"] for row in rows))
    fig, axes = figure(title, columns=len(styles), size=(10, 3.9), sharey=True)
    for ax, style in zip(np.atleast_1d(axes), styles, strict=True):
        for adapter, colour, shift in (("base", GREY, -0.2), (style, COLOURS[style], 0.2)):
            by = next(row["by"] for row in rows if (row["adapter"], row["style"]) == (adapter, style))
            bars = ax.bar(np.arange(len(by)) + shift, list(by.values()), 0.38, color=colour, label=adapter)
            ax.bar_label(bars, fmt="%.1f", fontsize=12)
        ax.set_title(style, weight="normal")
        ax.set(xticks=range(len(by)), xticklabels=[f"new\n{kind}" for kind in by])
        ax.tick_params(axis="x", labelsize=11)
        ax.grid(False, axis="x")
    np.atleast_1d(axes)[0].set_ylabel("bits per byte")
    return fig


def throughput_lines(rows: Sequence[dict], title: str) -> CourseFigure:
    """How fast each way answers over the number of adapters in a batch, in % of a batch that wants only one adapter.

    With the 95 % interval of each ratio; the two were timed in turns, so that a busy machine slows both.
    """
    fig, ax = figure(title, size=(9, 4.3))
    for way, (colour, mark, label) in WAYS.items():
        found = [row for row in rows if row["way"] == way]
        if found:
            speed = np.array([100 / row["ratio"] for row in found])
            ends = np.array([[100 / row["interval"][1], 100 / row["interval"][0]] for row in found]).T  # (2, points)
            error = np.abs(ends - speed)
            ax.errorbar(
                [row["adapters"] for row in found], speed, error, fmt=mark, color=colour, label=label, capsize=3
            )
    counts = sorted({row["adapters"] for row in rows})
    ax.set_xscale("log", base=2)
    ax.set(xticks=counts, xticklabels=counts, ylim=(0, 115))
    ax.set(xlabel="different adapters among the requests of a batch", ylabel="requests per second (%)")
    ax.minorticks_off()
    fig.legend(loc="outside right center")
    return fig


def thousand(rows: Sequence[dict], base_bytes: int, title: str) -> CourseFigure:
    """Memory of the resident adapters and the time of a switch among them, over their number."""
    counts = [row["adapters"] for row in rows]
    fig, (left, right) = figure(title, columns=2, size=(10, 3.9))
    left.loglog(counts, [row["tensors"] / 1e6 for row in rows], "o-", color=BLUE, label="adapters")
    left.loglog(counts, [count * base_bytes / 1e6 for count in counts], "s--", color=RED, label="merged copies")
    left.axhline(base_bytes / 1e6, color=GREY, ls=":", label="the base")
    left.set(xlabel="tasks", ylabel="megabytes")
    left.legend()
    right.semilogx(counts, [row["switch_us"] for row in rows], "o-", color=GREEN)
    right.set(xlabel="adapters resident", ylabel="microseconds a switch", ylim=(0, None))
    for ax in (left, right):
        ax.set(xticks=counts, xticklabels=[f"{count:,}" for count in counts])
        ax.minorticks_off()
    return fig


def strengths(curves: dict[str, dict[float, float]], title: str) -> CourseFigure:
    """Bits per byte over an adapter's strength; `curves` maps a label to {strength: bits}. A ring marks each best."""
    fig, ax = figure(title, size=(9, 4.3))
    for (label, curve), colour in zip(curves.items(), (BLUE, GREEN, RED, GREY), strict=False):
        ax.plot(list(curve), list(curve.values()), "o-", color=colour, label=label)
        best = min(curve, key=curve.get)
        ax.plot([best], [curve[best]], "o", ms=16, mfc="none", mec=colour, mew=2)
    ax.set(xlabel="strength (0: the base, 1: as trained); a ring is the best", ylabel="bits per byte", ylim=(0, None))
    fig.legend(loc="outside right center")
    return fig


def sums(scores: dict[str, dict[str, float]], title: str) -> CourseFigure:
    """`scores` maps an adapter's label to {style of the texts: bits per byte}: a group of bars for each style."""
    styles = list(next(iter(scores.values())))
    fig, ax = figure(title, size=(8.5, 4.1))
    width, colours = 0.8 / len(scores), (GREY, BLUE, GREEN, ORANGE, RED, PURPLE)
    for number, ((label, by), colour) in enumerate(zip(scores.items(), colours, strict=False)):
        places = np.arange(len(styles)) + (number - (len(scores) - 1) / 2) * width
        bars = ax.bar(places, [by[style] for style in styles], 0.92 * width, color=colour, label=label)
        ax.bar_label(bars, fmt="%.2f", fontsize=12)
    ax.set(xticks=range(len(styles)), xticklabels=[f"{style} texts" for style in styles], ylabel="bits per byte")
    ax.grid(False, axis="x")
    fig.legend(loc="outside right center")
    return fig
