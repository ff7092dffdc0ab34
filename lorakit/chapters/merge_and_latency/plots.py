"""Pictures and tables of chapter 09: what merging changes in the numbers, and what each method adds to the base's time.

The times are a grid as `grid.recorded` gives it.
"""

from collections.abc import Mapping

import pandas as pd

from lorakit.chapters.merge_and_latency.grid import KEY, PAPER
from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, PALETTE, PURPLE, CourseFigure, figure

MARKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "D"))
LOOKS = {  # of each method: its name and colour
    "merged": ("LoRA, merged", GREY),
    "unmerged": ("LoRA, unmerged", BLUE),
    "houlsby": ("Houlsby adapters", ORANGE),
    "pfeiffer": ("Pfeiffer adapters", GREEN),
    "prefix": ("prefix tuning", PURPLE),
}
NAMES = {method: name for method, (name, _) in LOOKS.items()}
# Hu et al. 2021, Table 1: GPT-2 medium on a Quadro RTX 8000; what AdapterL and AdapterH add in % in the cells PAPER.
ADAPTER_L, ADAPTER_H = (2.2, 5.0, 20.7), (3.0, 8.4, 30.3)


def drift_figure(drifts: Mapping[str, pd.DataFrame], title: str, typical: float) -> CourseFigure:
    """How far the worst weight is off, over merges that were taken back by subtraction; `typical`: a weight's size."""
    fig, ax = figure(title, size=(10, 4))
    for (name, rows), (colour, marker) in zip(drifts.items(), MARKS, strict=False):
        ax.plot(rows["rounds"], rows["largest"], f"{marker}-", color=colour, label=name)
    ax.axhline(typical, color=GREY, linestyle="--", label="a typical weight")
    ax.set(xscale="log", yscale="log", xlabel="rounds of + ΔW − ΔW", ylabel="largest error of a weight")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def bounds_figure(errors: Mapping[str, pd.DataFrame]) -> CourseFigure:
    """By dtype: the measured error of every merged weight, below the bound derived for it (`weight_errors`)."""
    tightest = max((table["error"] / table["bound"]).max() for table in errors.values())
    word = f"no error exceeds its bound (at most {tightest:.0%} of it)"
    if tightest > 1:
        word = "an error exceeds its bound"
    fig, ax = figure(f"Merged weights: {word}", size=(10, 3.8))
    for (name, table), (colour, marker) in zip(errors.items(), MARKS, strict=False):
        places = range(len(table))
        ax.plot(places, table["error"], marker, color=colour, label=name)
        ax.plot(places, table["bound"], "_", color=colour, markersize=16)
    ax.set(yscale="log", xlabel="layer", ylabel="relative error", xticks=places)
    ax.legend(title="dots: measured\nbars: bound", loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def added_figure(grid: pd.DataFrame, size: str) -> CourseFigure:
    """What each method adds to the base's time: a mark for each batch, few tokens above, many below.

    Filled: slower than the base beyond that batch's noise; hollow: within it. A line from `low` to `high`.
    """
    rows = grid.query("size == @size and phase == 'prefill' and method != 'base'")
    slower, cells = rows["verdict"].eq("slower").groupby(rows["method"]).sum(), rows["method"].eq("merged").sum()
    words = f"merged LoRA in {slower['merged']} of {cells} batches, Houlsby in {slower['houlsby']}"
    fig, ax = figure(f"Slower than the base: {words}", size=(10, 5))
    for place, (method, (_, colour)) in enumerate(LOOKS.items()):
        for step, row in enumerate(rows[rows["method"] == method].itertuples()):
            y = place + 0.8 * (step / (cells - 1) - 0.5)
            ax.plot([row.low, row.high], [y, y], color=colour, linewidth=1.5, alpha=0.5)
            face = colour if row.verdict == "slower" else "white"
            ax.plot([row.added], [y], "o", color=colour, markerfacecolor=face, markersize=6)
    ax.axvline(0, color=GREY, linewidth=1.5)
    ax.set_yticks(range(len(LOOKS)), NAMES.values())
    ax.set_xlabel(f"{size}, reading a prompt: added to the base's time (%)")
    ax.set_xlim(right=min(ax.get_xlim()[1], 15))  # a single line would press all marks together
    ax.invert_yaxis()
    ends = " to ".join(f"{tokens:,}" for tokens in rows["tokens"].iloc[[0, -1]])
    ax.plot([], [], "o", color=BLACK, label="slower than the base")
    ax.plot([], [], "o", color=BLACK, markerfacecolor="white", label="within the noise")
    ax.legend(title=f"in a row, downwards:\n{ends} tokens", loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def paper_table(grid: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table 1 and the same cells here, in % of the base's time; where they were not measured it says so."""
    here = grid.pivot(index=KEY, columns="method", values=["added", "noise"]).reindex(PAPER)
    table = {
        "paper: AdapterL": ADAPTER_L, "AdapterH": ADAPTER_H, "here: Pfeiffer": here["added", "pfeiffer"].array,
        "Houlsby": here["added", "houlsby"].array, "noise": here["noise", "base"].array,
    }  # fmt: skip
    index = pd.Index([f"{batch} × {length}" for *_, batch, length in PAPER], name="batch × length")
    return pd.DataFrame(table, index).round(1).astype(object).fillna("not measured")


def verdict_table(grid: pd.DataFrame) -> pd.DataFrame:
    """By phase and method: how much it adds in %, from the least to the most; how many cells have which verdict."""
    names = {"prefill": "reading", "decode": "writing"}
    rows = grid.query("method != 'base'").replace({"phase": names, "method": NAMES})
    methods = rows.groupby(["phase", "method"], sort=False)
    added = methods["added"].agg(**{"from %": "min", "to %": "max"}).round().astype(int)
    return added.join(methods["verdict"].value_counts().unstack(fill_value=0).filter(["slower", "noise", "faster"]))


def switch_figure(milliseconds: dict[str, float]) -> CourseFigure:
    """Ways to go from one task to another, in ms."""
    times = pd.Series(milliseconds)
    ratio = float(f"{times.max() / times.min():.1g}")  # a time of some µs is not known better
    fig, ax = figure(f"{times.idxmin()} is about {ratio:,.0f} times as fast", size=(9, 2.8))
    bars = ax.barh(times.index, times, color=PALETTE, height=0.6)
    ax.bar_label(bars, fmt="%.3g ms", padding=6)
    ax.set(xlabel="time (ms)", xlim=(0, times.max() * 1.2))
    ax.invert_yaxis()
    ax.grid(False)
    return fig
