"""Pictures of chapter 07: all methods in one, the spread over rates and seeds. Titles are worked out from the rows."""

from collections.abc import Sequence

import pandas as pd

from lorakit.chapters.compare import PLACES
from lorakit.lab.kinds import KINDS
from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, RED, CourseFigure, figure, log_x

# A column of the table → its axis, and whether it spans factors of ten.
MEASURES = {
    "test": ("test, right (%)", False),
    "share": ("trained (% of base)", True),
    "memory": ("training step (MB)", False),
    "prefill": ("reading a prompt (× base)", False),
    "decode": ("writing a token (× base)", False),
    "context": ("context left (tokens)", False),
}
PANELS = ("test", "share", "memory", "decode", "context")
FORGETTING = {"q, v": (BLUE, "o"), "all-linear": (RED, "s"), "MLP": (GREEN, "D"), "every weight": (BLACK, "v")}
BAR = dict(linewidth=6, alpha=0.3, solid_capstyle="butt")  # a range


def apart(places: dict[str, float], step: float, low: float, high: float) -> dict[str, float]:
    """Heights for labels, in the order of `places`, `step` apart and as near as can be; between `low` and `high`.

    Labels that would touch form a group about their mean height; groups that touch become one.
    """
    groups: list[list[str]] = []
    bottoms: list[float] = []
    for key in sorted(places, key=places.get):
        group = [key]
        while True:
            middle = sum(places[k] for k in group) / len(group)
            bottom = min(max(middle - step * (len(group) - 1) / 2, low), high - step * (len(group) - 1))
            if not groups or bottoms[-1] + step * len(groups[-1]) <= bottom:
                break
            group = groups.pop() + group
            bottoms.pop()
        groups.append(group)
        bottoms.append(bottom)
    return {k: bottom + step * i for group, bottom in zip(groups, bottoms, strict=True) for i, k in enumerate(group)}


LORAS = ("lora", "lora_mlp")  # in blue


def seen_well(table: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """The rows with at least half of the best accuracy; others would squeeze the axis, and are marked at its end."""
    return table[table[split] >= table[split].max() / 2]


def rivals_figure(table: pd.DataFrame) -> CourseFigure:
    """One line for each method, best on top; one panel for each measure: accuracy with its seeds' range, and costs."""
    words = table["beside"].drop("lora").tolist()
    counts = ", ".join(f"{words.count(word)} {word}" for word in ("above", "level", "below"))
    title = f"Test accuracy beside the seeds of LoRA on q and v: {counts}"
    fig, axes = figure(title, columns=len(PANELS), size=(12, 5), sharey=True)
    rows, lora = table.sort_values("test"), table.loc["lora"]
    left = seen_well(table)["test_low"].min() - 4
    for ax, name in zip(axes, PANELS, strict=True):
        label, log = MEASURES[name]
        for y, (key, row) in enumerate(rows.iterrows()):
            colour = BLUE if key in LORAS else BLACK
            if name == "test" and row["test"] < left:
                ax.text(left + 0.5, y, f"← {row['test']:.1f}", va="center", color=colour)
                continue
            if name in ("test", "decode"):
                ax.plot([row[f"{name}_low"], row[f"{name}_high"]], [y, y], color=colour, **BAR)
            ax.plot([row[name]], [y], "o", color=colour, markersize=9)
        if log:
            log_x(ax, [0.1, 1, 10, 100])
            ax.set_xlim(0.1, 200)
        if name in ("context", "memory"):
            ax.set_xlim(0, 1.1 * rows[name].max())
        ax.set_xlabel(label.replace(" (", "\n("))
    axes[0].axvspan(lora["test_low"], lora["test_high"], color=BLUE, alpha=0.12, linewidth=0)
    axes[0].set_xlim(left, None)
    axes[0].set_yticks(range(len(rows)), rows["method"])
    for label, key in zip(axes[0].get_yticklabels(), rows.index, strict=True):
        label.set(weight="bold" if key in LORAS else "normal", color=BLUE if key in LORAS else BLACK)
    return fig


def spread_figure(runs: pd.DataFrame, keys: Sequence[str]) -> CourseFigure:
    """A panel for each method: every run as a dot over its learning rate, those at the chosen rate in colour."""
    chosen = runs[runs["best"]].groupby("key")["test"]
    wide = chosen.max() - chosen.min()
    title = "Points between seeds: " + "; ".join(f"{KINDS[key].name}: {wide[key]:.1f}" for key in keys)
    fig, axes = figure(title, columns=len(keys), size=(11, 4), sharey=True, squeeze=False)
    for ax, key in zip(axes[0], keys, strict=True):
        mine = runs[runs["key"] == key]
        for best, colour in ((False, GREY), (True, ORANGE)):
            dots = mine[mine["best"] == best]
            ax.plot(dots["lr"], dots["test"], "o", color=colour, markersize=9, alpha=0.75, markeredgecolor="white")
        first = mine[mine["seed"] == 0].sort_values("lr")
        ax.plot(first["lr"], first["test"], color=GREY, linewidth=1.2, zorder=0)
        log_x(ax, first["lr"])
        ax.set(xlabel="learning rate", title=KINDS[key].name)
        ax.set_xlim(first["lr"].min() / 1.8, first["lr"].max() * 1.8)
    axes[0][0].set(ylabel="test, right (%)", ylim=(-3, 103))
    return fig


def two_tasks_figure(table: pd.DataFrame, python: pd.DataFrame) -> CourseFigure:
    """Each method on both tasks: Python source across (`scores`, better to the right), text-to-SQL up (`table`)."""
    both = table.join(python.add_prefix("python_"), how="inner")
    qv, mlp = (int(both["python_test"].rank()[key]) for key in LORAS)
    title = f"LoRA on Python source: number {qv} of {len(both)} on q and v, number {mlp} on the MLP"
    fig, ax = figure(title, size=(10, 4.6))
    heights = apart(both["test"].to_dict(), 0.75, 0, 100)
    right = both["python_test_low"].min() - 0.12
    for key, row in both.iterrows():
        x, y, colour = row["python_test"], row["test"], BLUE if key in LORAS else BLACK
        ax.plot([row["python_test_low"], row["python_test_high"]], [y, y], color=colour, **BAR)
        ax.plot([x, x], [row["test_low"], row["test_high"]], color=colour, **BAR)
        ax.plot([x], [y], "o", color=colour, markersize=9)
        ax.plot([x, right], [y, heights[key]], color=colour, linewidth=0.6, alpha=0.5)
        ax.text(right - 0.02, heights[key], row["method"], va="center", color=colour, fontsize=13)
    ax.set(xlabel="Python source, bits per byte (lower is better)", ylabel="SQL, test right (%)")
    ax.set_xlim(both["python_test_high"].max() + 0.1, right - 0.55)
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
