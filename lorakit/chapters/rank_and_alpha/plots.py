"""Recorded sweeps as figures: over ranks, over choices of matrices, over alpha and learning rate.

Every title is worked out from the runs (DataFrames as `lab.records` loads them), so that it cannot say what they do
not.
"""

from collections.abc import Sequence

import pandas as pd

from lorakit.chapters.rank_and_alpha.rank_sweep import RankSweep, at_own_lr, measure_of, over_seeds
from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, figure

TASKS = {"text_to_sql": "text-to-SQL", "python": "Python source"}


def rank_figure(sweep: RankSweep):
    """Test metric over rank: means with the seeds' range, at the own and at the shared learning rate, beside full."""
    title = sweep.verdict()
    fig, ax = figure(title if title.startswith("r =") else title.capitalize(), size=(9, 4.2))
    full, shared_lr = sweep.full, sweep.shared["lr"].iloc[0]
    ax.axhspan(full["min"], full["max"], color=GREY, alpha=0.18, linewidth=0)
    ax.axhline(full["mean"], color=GREY, label=f"full fine-tuning, {full['count']:.0f} seeds")
    if (sweep.own["lr"] == shared_lr).all():
        _errors(ax, sweep.own, BLUE, "o", f"learning rate {shared_lr:g}: best for each rank, and for all")
    else:
        _errors(ax, sweep.own, BLUE, "o", "each rank's own learning rate", nudge=0.96)
        _errors(ax, sweep.shared, ORANGE, "s", f"one learning rate for all: {shared_lr:g}", nudge=1.04)
    _rank_axis(ax, sweep.own.index)
    ax.set(ylabel=sweep.measure.label)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return fig


def share_figure(sweeps: Sequence[RankSweep], names: Sequence[str]):
    """The share of full fine-tuning's gain that each rank recovers, a line for each task."""
    shares = pd.concat([100 * sweep.own["share"] for sweep in sweeps], axis=1, join="inner", keys=names)
    first = shares.iloc[0]
    words = ", ".join(f"{share:.0f} % on {name}" for name, share in first.items())
    fig, ax = figure(f"Rank {first.name} reaches {words}", size=(9, 4))
    ax.axhline(100, color=GREY, linestyle=":")
    for name, colour, marker in zip(names, (BLUE, GREEN), "os", strict=False):
        ax.plot(shares[name], marker=marker, color=colour, label=name)
    _rank_axis(ax, shares.index)
    ax.set(ylabel="share of full\nfine-tuning's gain (%)", ylim=(0, 125))
    ax.legend(loc="lower right")
    return fig


def targets_name(targets: str) -> str:
    """ "q+v", as records have it, in words: "q, v"."""
    return targets.replace("+", ", ")


def matrices_figure(runs: pd.DataFrame):
    """One line for each choice of matrices at an equal number of parameters: mean, seeds' range, best at the top.

    Each choice is shown at its own best learning rate.
    """
    measure = measure_of(runs)
    found = at_own_lr(runs, ["targets", "r"]).sort_values("mean", ascending=measure.sign > 0)
    names = [targets_name(targets) for targets, _ in found.index]
    title = f"Best for {TASKS[runs['task'].iloc[0]]} at this budget: {names[-1]}. Worst: {names[0]}"
    fig, ax = figure(title, size=(9, 4.4))
    for y, (targets, row) in enumerate(found.reset_index("r").iterrows()):
        colour = RED if "mlp" in targets else BLUE
        ax.plot([row["min"], row["max"]], [y, y], color=colour, linewidth=5, alpha=0.35, solid_capstyle="round")
        ax.plot([row["mean"]], [y], "o", color=colour, markersize=10)
    ax.set(yticks=range(len(found)), xlabel=measure.label)
    ax.set_yticklabels([f"{name}  (r = {r})" for name, r in zip(names, found.index.get_level_values("r"), strict=True)])
    ax.plot([], [], "o", color=RED, label="with the MLP")
    ax.plot([], [], "o", color=BLUE, label="attention only")
    ax.legend(loc="lower left" if measure.sign < 0 else "lower right")
    return fig


def heat_map(runs: pd.DataFrame):
    """alpha × learning rate: a number in every cell; along a diagonal alpha × learning rate is the same."""
    measure = measure_of(runs)
    grid = over_seeds(runs, ["alpha", "lr"])["mean"].unstack()  # (alphas, rates)
    best = grid.max(axis=None)
    near = (grid > best - 6).sum(axis=None)
    fig, ax = figure(f"{near} of {grid.size} pairs come within 6 points of the best", size=(8, 4.4), grid=False)
    image = ax.imshow(grid, origin="lower", aspect="auto", vmin=0, vmax=best)
    for y, row in enumerate(grid.to_numpy()):
        for x, percent in enumerate(row):
            colour = "white" if percent < 0.6 * best else "black"
            ax.text(x, y, f"{percent:.0f}", ha="center", va="center", color=colour, fontsize=16)
    ax.set(xticks=range(len(grid.columns)), yticks=range(len(grid)), xlabel="learning rate", ylabel="alpha  (r = 8)")
    ax.set_xticklabels([f"{lr:g}" for lr in grid.columns])
    ax.set_yticklabels([f"{alpha:g}" for alpha in grid.index])
    ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=ax, label=measure.label)
    return fig


def collapse_figure(runs: pd.DataFrame):
    """The same runs over alpha × learning rate: if that product were all that counts, the lines would be one."""
    measure = measure_of(runs)
    runs = runs.assign(product=(runs["alpha"] * runs["lr"]).round(9))
    grid = over_seeds(runs, ["product", "alpha"])["mean"].unstack()  # (products, alphas), NaN where there is no run
    apart = grid.max(axis=1) - grid.min(axis=1)
    title = f"Same alpha × learning rate, up to {apart.max():.0f} {measure.points} apart"
    fig, ax = figure(title, size=(9, 4.2))
    for alpha, colour, marker in zip(grid, (SKY, BLUE, GREEN, ORANGE, RED, PURPLE), "ovs^Dp", strict=False):
        ax.plot(grid[alpha].dropna(), marker=marker, color=colour, label=f"alpha = {alpha:g}")
    ax.axvline(apart.idxmax(), color=BLACK, linestyle=":", linewidth=1.5)
    ax.set(xscale="log", xlabel="alpha × learning rate", ylabel=measure.label, xticks=grid.index)
    ax.set_xticklabels([f"{product:.3g}" for product in grid.index])
    ax.minorticks_off()
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True)
    return fig


def rslora_figure(runs: pd.DataFrame):
    """alpha / r against alpha / √r over rank at one alpha and one learning rate."""
    measure = measure_of(runs)
    found = over_seeds(runs, ["use_rslora", "r"])
    rules = {"alpha / r": found.loc[False], "alpha / √r": found.loc[True]}
    gains = {rule: (measure.sign * (table["mean"] - table["mean"].iloc[0])).max() for rule, table in rules.items()}
    plain, root = gains.values()
    title = f"More rank gains {plain:.2g} {measure.points} with alpha / r, {root:.2g} with alpha / √r"
    fig, ax = figure(title, size=(9, 4))
    _errors(ax, rules["alpha / r"], BLUE, "o", "alpha / r", nudge=0.97)
    _errors(ax, rules["alpha / √r"], ORANGE, "s", "alpha / √r (rsLoRA)", nudge=1.03)
    _rank_axis(ax, rules["alpha / r"].index)
    ax.set(ylabel=measure.label)
    ax.legend()
    return fig


def _errors(ax, table: pd.DataFrame, colour, marker, label, nudge: float = 1) -> None:
    """The means of a table by rank, with bars from the lowest seed to the highest."""
    bars = [table["mean"] - table["min"], table["max"] - table["mean"]]
    ax.errorbar(table.index * nudge, table["mean"], yerr=bars, color=colour, marker=marker, capsize=5, label=label)


def _rank_axis(ax, ranks) -> None:
    ax.set(xscale="log", xticks=ranks, xlabel="rank r")
    ax.set_xticklabels(ranks)
    ax.minorticks_off()
