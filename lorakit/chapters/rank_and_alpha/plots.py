"""Recorded sweeps as figures: over ranks, over choices of matrices, over alpha and learning rate.

Every title is worked out from the runs (DataFrames as `lab.records` loads them), so that it cannot say what they do
not.
"""

import pandas as pd
from matplotlib.colors import to_rgba

from lorakit.chapters.compare import PLACES, reported
from lorakit.chapters.experiment import CHOOSE
from lorakit.chapters.rank_and_alpha.rank_sweep import RankSweep, measure_of, scores
from lorakit.show.style import BLACK, BLUE, GREEN, GREY, RED, figure, log_x

TASKS = {"text_to_sql": "text-to-SQL", "python": "Python source"}
COLOURS = {"q, v": (BLUE, "o"), "all-linear": (RED, "s"), "MLP": (GREEN, "D")}


def rank_figure(sweep: RankSweep, title: str):
    """Test metric over rank, a line for each placement: means with the seeds' range, beside full fine-tuning."""
    fig, ax = figure(title, size=(9, 4.4))
    full = sweep.full
    ax.axhspan(full["low"], full["high"], color=GREY, alpha=0.18, linewidth=0)
    ax.axhline(full["mean"], color=GREY, label="full fine-tuning")
    for aside, (place, (colour, marker)) in zip((0.96, 1.04, 1), COLOURS.items(), strict=True):  # no bar on another
        if place in sweep.lora.index:
            found = sweep.lora.loc[place]
            bars = [found["mean"] - found["low"], found["high"] - found["mean"]]
            look = {"color": colour, "marker": marker, "capsize": 5, "label": f"LoRA on {place}"}
            ax.errorbar(aside * found.index, found["mean"], bars, **look)
    log_x(ax, sweep.lora.index.unique("r").sort_values())
    ax.set(xlabel="rank r", ylabel=sweep.measure.label)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return fig


def window(scores: pd.Series, sign: int) -> tuple[float, float]:
    """Limits for an axis of scores: far worse than the middle is left out, or a rate that breaks training eats it."""
    best, middle = sign * (sign * scores).max(), scores.median()
    low, high = sorted((middle - 0.6 * (best - middle), best + 0.15 * (best - middle)))
    return low, high


def rates_figure(runs: pd.DataFrame, title: str):
    """The validation metric over the learning rate, of the seeds that choose, a line for each setting."""
    measure = measure_of(runs)
    choosing = runs.assign(place=runs["targets"].map(PLACES), score=measure.of(runs, "validation"))
    choosing = choosing[choosing["seed"] < CHOOSE]
    fig, ax = figure(title, size=(9, 4.4))
    strong = {1: 0.3, 2: 0.45, 4: 0.6, 8: 0.8}  # the larger the rank, the darker
    for (method, place, r), rows in choosing.groupby(["method", "place", "r"]):
        line = rows.groupby("lr")["score"].mean()
        colour, marker = COLOURS.get(place, (BLACK, "v"))
        colour = to_rgba(colour, strong.get(r, 1))
        name = "full" if method == "full" else f"{place}, r = {r}"
        ax.plot(line, color=colour, marker=marker, linewidth=1.8, label=name)
        best = (measure.sign * line).idxmax()
        ax.plot([best], [line[best]], "o", markersize=15, markerfacecolor="none", color=colour)
    ax.set(xscale="log", xlabel="learning rate", ylabel=f"validation, {measure.label}")
    ax.set_ylim(window(choosing["score"], measure.sign))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=12)
    return fig


def matrices_figure(runs: pd.DataFrame):
    """One line for each choice of matrices at an equal number of parameters: mean, seeds' range, best at the top.

    Each choice is shown at its own best learning rate.
    """
    measure = measure_of(runs)
    found = scores(reported(runs), ["targets", "r"]).sort_values("mean", ascending=measure.sign > 0)
    names = [PLACES.get(targets, targets.replace("+", ", ")) for targets, _ in found.index]
    best = found["mean"].iloc[-1]
    level = ((found["low"] <= best) & (best <= found["high"])).sum()
    first, last = " and ".join(names[::-1][:level]), names[0] + " together" * ("," in names[0])
    title = f"{TASKS[runs['task'].iloc[0]]}: {first} first, {last} last"
    fig, ax = figure(title[0].upper() + title[1:], size=(9, 4.4))
    for y, (targets, row) in enumerate(found.reset_index("r").iterrows()):
        colour = RED if "mlp" in targets else BLUE
        ax.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=5, alpha=0.35, solid_capstyle="round")
        ax.plot([row["mean"]], [y], "o", color=colour, markersize=10)
    ranks = found.index.get_level_values("r")
    ax.set_yticks(range(len(found)), [f"{name}  (r = {r})" for name, r in zip(names, ranks, strict=True)])
    ax.set(xlabel=measure.label)
    ax.plot([], [], "o", color=RED, label="with the MLP")
    ax.plot([], [], "o", color=BLUE, label="attention only")
    ax.legend(loc="lower left" if measure.sign < 0 else "lower right")
    return fig


def heat_map(runs: pd.DataFrame):
    """alpha × learning rate: a number in every cell; along a diagonal alpha × learning rate is the same."""
    measure = measure_of(runs)
    grid = measure.of(runs).groupby([runs["alpha"], runs["lr"]]).mean().unstack()  # (alphas, rates)
    best = grid.max(axis=None)
    near = (grid > best - 6).sum(axis=None)
    fig, ax = figure(f"{near} of {grid.size} pairs come within 6 points of the best", size=(8, 4.4), grid=False)
    low = best - 30  # where differences are read; what failed altogether is as dark as that
    image = ax.imshow(grid, origin="lower", aspect="auto", vmin=low, vmax=best)
    for y, row in enumerate(grid.to_numpy()):
        for x, percent in enumerate(row):
            colour = "white" if percent < best - 15 else "black"
            ax.text(x, y, f"{percent:.0f}", ha="center", va="center", color=colour, fontsize=16)
    ax.set(xlabel="learning rate", ylabel="alpha  (r = 8)")
    ax.set_xticks(range(len(grid.columns)), [f"{lr:g}" for lr in grid.columns])
    ax.set_yticks(range(len(grid)), [f"{alpha:g}" for alpha in grid.index])
    ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=ax, label=measure.label, extend="min")
    return fig
