"""Pictures and tables of chapter 09: what merging changes in the numbers, and what each method adds to the base's time.

The times are a grid as `grid.recorded` gives it.
"""

from collections.abc import Mapping

import pandas as pd

from lorakit.chapters.merge_and_latency.grid import KEY, PAPER
from lorakit.show.style import BLUE, GREEN, GREY, ORANGE, PALETTE, PURPLE, CourseFigure, figure

MARKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "D"))
LOOKS = {  # of each method: its name, colour, and how its line is drawn
    "merged": ("LoRA, merged", GREY, "o-"),
    "unmerged": ("LoRA, unmerged", BLUE, "s-"),
    "houlsby": ("Houlsby adapters", ORANGE, "^-"),
    "pfeiffer": ("Pfeiffer adapters", GREEN, "D-"),
    "prefix": ("prefix tuning", PURPLE, "v-"),
}
NAMES = {method: name for method, (name, *_) in LOOKS.items()}
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
    """What every method adds to the base's time over the tokens that go through at once; grey band: the noise."""
    methods = dict(list(grid.query("size == @size and phase == 'prefill'").groupby("method")))
    cells, houlsby = methods["base"], methods["houlsby"]
    least, most = (f"{row.added:.0f} % at {row.tokens:,} tokens" for row in houlsby.iloc[[0, -1]].itertuples())
    fig, ax = figure(f"{size}, reading a prompt: Houlsby adds {least}, {most}", size=(10, 4.2))
    places = range(len(cells))
    ax.fill_between(places, -cells["noise"], cells["noise"], color=GREY, alpha=0.25, linewidth=0, label="noise floor")
    for method, (name, colour, look) in LOOKS.items():
        rows = methods[method]
        ends = [rows["added"] - rows["low"], rows["high"] - rows["added"]]
        ax.errorbar(places, rows["added"], yerr=ends, fmt=look, color=colour, capsize=3, label=name)
    labels = [f"{c.batch} ×\n{c.length}" for c in cells.itertuples()]
    ax.set(xticks=places, xticklabels=labels, ylabel="added to the base's time (%)")
    ax.set_ylim(top=min(ax.get_ylim()[1], 15))  # a single bar would flatten all lines
    ax.set_xlabel("batch × length, by the number of tokens")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
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
    """Ways to go from one task to another, in ms, on a log axis."""
    times = pd.Series(milliseconds)
    fig, ax = figure(f"{times.idxmin()} is {times.max() / times.min():,.0f} times as fast", size=(9, 2.8))
    bars = ax.barh(times.index, times, color=PALETTE, height=0.6)
    ax.bar_label(bars, fmt="%.3g ms", padding=6)
    ax.set(xscale="log", xlabel="time (ms)", xlim=(times.min() / 3, times.max() * 4))
    ax.invert_yaxis()
    ax.grid(False)
    return fig
