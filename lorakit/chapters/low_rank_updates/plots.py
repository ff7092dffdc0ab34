"""Pictures of chapter 02: a weight and its update, spectra, accuracy against rank and against dimension."""

import pandas as pd
import torch
from torch import Tensor

from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, RED, CourseFigure, figure
from lorakit.study.random_subspace import intrinsic_dimension
from lorakit.study.rank import energy, rank_for_energy

LOOKS = ((BLUE, "o-"), (GREEN, "s--"), (RED, "D:"))


def before_after_update(before: Tensor, after: Tensor, name: str, corner: int = 48) -> CourseFigure:
    """A `corner` of a weight (d, k) before and after training, on one scale, and of their difference, on its own."""
    delta = after - before
    share = float(delta.norm() / before.norm())
    title = f"{name}: training moved it by {share:.0%} of its size"
    fig, axes = figure(title, columns=3, size=(9, 3.5), grid=False)
    top = 2.5 * float(before.std())
    for ax, matrix, label, most in zip(
        axes, (before, after, delta), ("W₀", "W after", "ΔW, magnified"), (top, top, top * share), strict=True
    ):
        ax.imshow(matrix[:corner, :corner].float().numpy(), cmap="RdBu", vmin=-most, vmax=most, interpolation="nearest")
        ax.set(xticks=[], yticks=[], xlabel=label)
        ax.spines[:].set_visible(False)
    return fig


def energy_curves(weights: dict[str, Tensor], updates: dict[str, Tensor]) -> CourseFigure:
    """Energy in the top k directions of W and of ΔW, from their singular values by name: median and range of all.

    The title counts where ΔW needs fewer for 90 %.
    """
    fewer = sum(rank_for_energy(s, 0.9) < rank_for_energy(weights[name], 0.9) for name, s in updates.items())
    fig, ax = figure(f"ΔW needs fewer directions than W in {fewer} of {len(updates)} matrices")
    most = min(len(s) for s in updates.values())
    for side, colour, label in ((weights, GREY, "W₀"), (updates, BLUE, "ΔW")):
        shares = 100 * torch.stack([energy(side[name])[:most] for name in updates])  # (matrices, most)
        low, middle, high = (row.numpy() for row in shares.quantile(torch.tensor([0.0, 0.5, 1.0]).to(shares), dim=0))
        k = range(1, most + 1)
        ax.fill_between(k, low, high, color=colour, alpha=0.25, linewidth=0)
        ax.plot(k, middle, color=colour, label=f"{label}: median and range")
    ax.axhline(90, color=BLACK, linestyle=":", linewidth=1.5)
    ax.set(xlabel="k, directions kept", ylabel="energy kept (%)", xlim=(0, 200), ylim=(0, 101))
    ax.legend(loc="lower right")
    return fig


def accuracy_by_rank(title: str, curves: dict[str, pd.Series]) -> CourseFigure:
    """Accuracy (0..1) against k, for up to three curves, each by k, once or for several seeds: mean, and their range.

    A missing k, the whole model, has no place.
    """
    fig, ax = figure(title)
    points = {name: 100 * c.groupby(level=0).agg(["mean", "min", "max"]) for name, c in curves.items()}
    ranks = sorted(set().union(*(p.index for p in points.values())))
    for (name, p), (colour, line) in zip(points.items(), LOOKS, strict=False):
        places = [ranks.index(k) for k in p.index]
        ax.fill_between(places, p["min"], p["max"], color=colour, alpha=0.2, linewidth=0)
        ax.plot(places, p["mean"], line, color=colour, label=name)
    ax.set_xticks(range(len(ranks)), list(map(str, ranks)))
    ax.set(xlabel="k", ylabel="test questions right (%)", ylim=(-3, 103))
    ax.legend(loc="center right", bbox_to_anchor=(1, 0.42))
    return fig


def accuracy_by_dimension(points: pd.DataFrame, full: float, D: int, live: dict[int, float]) -> CourseFigure:
    """Accuracy in a random subspace against its dimension; `full`: of training all D. The title says what d₉₀ is.

    points  by d, the columns mean, min and max over the seeds; live   d → a point of one's own
    """
    d90 = intrinsic_dimension(points["mean"], full)
    found = f"d₉₀ = {d90:,} of {D:,} dimensions" if d90 else f"No d tried reaches 90 % of what all {D:,} reach"
    fig, ax = figure(found)
    ax.fill_between(points.index, 100 * points["min"], 100 * points["max"], color=BLUE, alpha=0.2, linewidth=0)
    ax.plot(points.index, 100 * points["mean"], "o-", color=BLUE, label="random subspace")
    ax.plot(list(live), [100 * a for a in live.values()], "D", color=ORANGE, markersize=11, label="yours, live")
    ax.axhline(100 * full, color=GREEN, label="everything trained")
    ax.axhline(90 * full, color=GREEN, linestyle=":", label="90 % of it")
    if d90:
        ax.axvline(d90, color=BLACK, linestyle=":", linewidth=1.5)
    ax.set(xlabel="d, numbers trained", ylabel="test questions right (%)", xscale="log", ylim=(-3, 103))
    ax.legend(loc="lower right")
    return fig
