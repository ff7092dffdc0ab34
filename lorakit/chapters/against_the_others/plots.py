"""Pictures of chapter 07: all methods in one, the spread over rates and seeds. Titles are worked out from the rows."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lorakit.chapters.compare import PLACES
from lorakit.lab.kinds import KINDS
from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, RED, CourseFigure, figure, log_x

# A column of the table → its axis.
MEASURES = {
    "test": "test, right (%)",
    "share": "trained (% of base)",
    "memory": "training step (MB)",
    "prefill": "reading a prompt (× base)",
    "decode": "writing a token (× base)",
    "context": "context left (tokens)",
}
SHARES = (0.1, 1, 10, 100)  # ticks: it spans factors of ten
PANELS = ("test", "share", "memory", "decode", "context")
FORGETTING = {"q, v": (BLUE, "o"), "all-linear": (RED, "s"), "MLP": (GREEN, "D"), "every weight": (BLACK, "v")}
BAR = dict(linewidth=6, alpha=0.3, solid_capstyle="butt")  # a range


def name_dots(ax, dots: pd.DataFrame) -> None:
    """Write the `name` of each dot (x, y) at the right, evenly spaced in the order of y, and draw a line to it."""
    for dot, height in zip(dots.sort_values("y").itertuples(), np.linspace(0.02, 0.96, len(dots)), strict=True):
        line = {"arrowstyle": "-", "color": dot.colour, "linewidth": 0.6, "relpos": (0, 0.5), "shrinkB": 0}
        place = {"xytext": (1.03, height), "textcoords": "axes fraction", "va": "center"}
        ax.annotate(dot.name, (dot.x, dot.y), **place, arrowprops=line, color=dot.colour, fontsize=13)


LORAS = ("lora", "lora_mlp")  # in blue


def seen_well(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with at least half of the best accuracy; others would squeeze the axis, and are marked at its end."""
    return table[table["test"] >= table["test"].max() / 2]


def rivals_figure(table: pd.DataFrame) -> CourseFigure:
    """One line for each method, best on top; one panel for each measure: accuracy with its seeds' range, and costs."""
    words = table["beside"].drop("lora").tolist()
    counts = ", ".join(f"{words.count(word)} {word}" for word in ("above", "level", "below"))
    title = f"Test accuracy against LoRA on q and v: {counts}"
    fig, axes = figure(title, columns=len(PANELS), size=(12, 5), sharey=True)
    rows, lora = table.sort_values("test"), table.loc["lora"]
    left = seen_well(table)["test_low"].min() - 4
    for ax, name in zip(axes, PANELS, strict=True):
        for y, (key, row) in enumerate(rows.iterrows()):
            colour = BLUE if key in LORAS else BLACK
            if name == "test" and row["test"] < left:
                ax.text(left + 0.5, y, f"← {row['test']:.1f}", va="center", color=colour)
                continue
            if name in ("test", "decode"):
                ax.plot([row[f"{name}_low"], row[f"{name}_high"]], [y, y], color=colour, **BAR)
            ax.plot([row[name]], [y], "o", color=colour, markersize=9)
        if name == "share":
            log_x(ax, SHARES)
            ax.set_xlim(0.1, 200)
        if name in ("context", "memory"):
            ax.set_xlim(0, 1.1 * rows[name].max())
        ax.set_xlabel(MEASURES[name].replace(" (", "\n("))
    axes[0].axvspan(lora["test_low"], lora["test_high"], color=BLUE, alpha=0.12, linewidth=0)
    axes[0].set_xlim(left, None)
    axes[0].set_yticks(range(len(rows)), rows["method"])
    for label, key in zip(axes[0].get_yticklabels(), rows.index, strict=True):
        label.set(weight="bold" if key in LORAS else "normal", color=BLUE if key in LORAS else BLACK)
    return fig


def spread_figure(runs: pd.DataFrame, keys: Sequence[str]) -> CourseFigure:
    """A panel for each method: every run as a dot over its learning rate, those at the chosen rate in colour.

    Runs below 60 % stand at the lower edge, as triangles.
    """
    chosen = runs[runs["best"]].groupby("key")["test"]
    wide = chosen.max() - chosen.min()
    title = "Points between seeds: " + "; ".join(f"{KINDS[key].name}: {wide[key]:.1f}" for key in keys)
    fig, _ = figure(title, columns=len(keys), size=(11, 4), sharey=True)
    for ax, key in zip(fig.axes, keys, strict=True):
        mine = runs[runs["key"] == key]
        for (best, failed), dots in mine.groupby([mine["best"], mine["test"] < 60]):
            look = {"color": ORANGE if best else GREY, "markersize": 9, "alpha": 0.75, "markeredgecolor": "white"}
            ax.plot(dots["lr"], dots["test"].clip(lower=59), "v" if failed else "o", **look)
        rates = sorted(set(mine["lr"]))
        log_x(ax, rates)
        ax.set(xlabel="learning rate", title=KINDS[key].name)
        ax.set_xlim(rates[0] / 1.8, rates[-1] * 1.8)
    fig.axes[0].set(ylabel="test, right (%)", ylim=(57, 86))
    return fig


def two_tasks_figure(table: pd.DataFrame, python: pd.DataFrame) -> CourseFigure:
    """Each method on both tasks: Python source across (`scores`, better to the right), text-to-SQL up (`table`)."""
    both = table.join(python.add_prefix("python_"), how="inner")
    qv, mlp = (int(both["python_test"].rank()[key]) for key in LORAS)
    title = f"LoRA on Python source: number {qv} of {len(both)} on q and v, number {mlp} on the MLP"
    fig, ax = figure(title, size=(10, 4.6))
    both["colour"] = np.where(both.index.isin(LORAS), BLUE, BLACK)
    for row in both.itertuples():
        ax.plot([row.python_test_low, row.python_test_high], [row.test, row.test], color=row.colour, **BAR)
        ax.plot([row.python_test] * 2, [row.test_low, row.test_high], color=row.colour, **BAR)
        ax.plot([row.python_test], [row.test], "o", color=row.colour, markersize=9)
    ax.set(xlabel="Python source, bits per byte (lower is better)", ylabel="SQL, test right (%)")
    ax.invert_xaxis()
    name_dots(ax, both.rename(columns={"python_test": "x", "test": "y", "method": "name"}))
    return fig


def forgetting_figure(runs: pd.DataFrame, base: pd.Series, title: str) -> CourseFigure:
    """What is learnt across, what is forgotten up: a line over the learning rates of each setting, means over seeds.

    runs   of Python source on nano, as `records.load` gives them; base: the record of nano itself
    """
    kinds = ["english", "unpaired", "paired"]
    runs = runs.dropna(subset=[f"old_{kind}" for kind in kinds])
    risen = sum(runs[f"old_{kind}"] - base[f"old_{kind}"] for kind in kinds) / len(kinds)
    runs = runs.assign(risen=risen, place=runs["targets"].map(PLACES))
    found = runs.groupby(["place", "r", "lr"])[["test_bits_per_byte", "risen"]].mean()
    fig, ax = figure(title, size=(10, 4.6))
    for place, (colour, marker) in FORGETTING.items():
        for number, (_, line) in enumerate(found.loc[place].groupby("r")):
            line = line[line["test_bits_per_byte"] < 3.1]  # what broke down learnt nothing to compare
            name = {"label": place if place == "every weight" else f"LoRA on {place}"} if number == 0 else {}
            points = line["test_bits_per_byte"], line["risen"]
            ax.plot(*points, color=colour, marker=marker, markersize=9, alpha=0.8, **name)
    ax.set(
        xlabel="Python source, bits per byte (better to the right)", ylabel="loss on old text:\nrise in nats per token"
    )
    ax.invert_xaxis()
    ax.legend(loc="upper left")
    return fig
