"""Pictures of chapter 02: a weight and its update, spectra, accuracy against rank and against dimension, two bases."""

from statistics import fmean

import torch
from torch import Tensor

from lorakit.lab.old_records import Summary
from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, RED, CourseFigure, figure
from lorakit.study.random_subspace import intrinsic_dimension
from lorakit.study.rank import energy, rank_for_energy
from lorakit.study.spectra import Spectrum

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


def energy_curves(weights: dict[str, Spectrum], updates: dict[str, Spectrum]) -> CourseFigure:
    """Energy in the top k directions of every W and of every ΔW; the title counts where ΔW needs fewer."""
    needed = {name: [rank_for_energy(side[name].s, 0.9) for side in (weights, updates)] for name in updates}
    fewer = sum(moved < whole for whole, moved in needed.values())
    fig, ax = figure(f"ΔW needs fewer directions than W in {fewer} of {len(needed)} matrices")
    for side, colour, line, label in ((weights, GREY, "-", "W₀"), (updates, BLUE, "-", "ΔW")):
        for number, name in enumerate(updates):
            share = torch.cat([torch.zeros(1), energy(side[name].s)])
            ax.plot(100 * share, line, color=colour, linewidth=1.2, alpha=0.8, label=None if number else label)
    ax.axhline(90, color=BLACK, linestyle=":", linewidth=1.5)
    ax.set(xlabel="k, directions kept", ylabel="energy kept (%)", xlim=(0, 200), ylim=(0, 101))
    ax.legend(loc="lower right")
    return fig


def accuracy_by_rank(title: str, curves: dict[str, dict[int, list[float]]], base: float | None = None) -> CourseFigure:
    """Accuracy (0..1) against k, for up to three curves: k → one value, or several (seeds): mean, and their range."""
    fig, ax = figure(title)
    curves = {name: {k: v for k, v in points.items() if k is not None} for name, points in curves.items()}
    ranks = sorted(set().union(*curves.values()))
    for (name, points), (colour, line) in zip(curves.items(), LOOKS, strict=False):
        ks = sorted(points)
        means = [100 * fmean(points[k]) for k in ks]
        low, high = ([100 * pick(points[k]) for k in ks] for pick in (min, max))
        places = [ranks.index(k) for k in ks]
        ax.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(places, means, line, color=colour, label=name)
    if base is not None:
        ax.axhline(100 * base, color=GREY, linestyle="--", linewidth=1.5, label="nothing cut")
    ax.set_xticks(range(len(ranks)), list(map(str, ranks)))
    ax.set(xlabel="k", ylabel="test questions right (%)", ylim=(-3, 103))
    ax.legend(loc="center right", bbox_to_anchor=(1, 0.42))
    return fig


def accuracy_by_dimension(
    summaries: list[Summary], full: float, D: int, live: dict[int, float] | None = None, title: str | None = None
) -> CourseFigure:
    """Accuracy in a random subspace against its dimension, mean and range over seeds; `full`: of training all D.

    `summaries` have the key (d,). The title, unless given, says what d₉₀ is. `live` are points of one's own.
    """
    means = {summary.key[0]: summary.mean for summary in summaries}
    d90 = intrinsic_dimension(means, full)
    found = f"d₉₀ = {d90:,} of {D:,} dimensions" if d90 else f"No d tried reaches 90 % of what all {D:,} reach"
    fig, ax = figure(title or found)
    ds = list(means)
    low, high = [100 * s.low for s in summaries], [100 * s.high for s in summaries]
    ax.fill_between(ds, low, high, color=BLUE, alpha=0.2, linewidth=0)
    ax.plot(ds, [100 * means[d] for d in ds], "o-", color=BLUE, label="random subspace")
    if live:
        ax.plot(list(live), [100 * a for a in live.values()], "D", color=ORANGE, markersize=11, label="yours, live")
    ax.axhline(100 * full, color=GREEN, label="everything trained")
    ax.axhline(90 * full, color=GREEN, linestyle=":", label="90 % of it")
    if d90:
        ax.axvline(d90, color=BLACK, linestyle=":", linewidth=1.5)
    ax.set(xlabel="d, numbers trained", ylabel="test questions right (%)", xscale="log", ylim=(-3, 103))
    ax.legend(loc="lower right")
    return fig


def bars_by_base(scores: dict[str, dict[str, list[float]]]) -> CourseFigure:
    """`scores[base][method]`: accuracies (0..1) over seeds; the first method is what the title measures the second by.

    Bars are means, dots the seeds.
    """
    mean = {base: {m: 100 * fmean(values) for m, values in of.items()} for base, of in scores.items()}
    whole, other, *_ = methods = list(next(iter(scores.values())))
    shares = [f"{of[other] / of[whole]:.0%} of {whole} from {base}" for base, of in mean.items()]
    fig, ax = figure(f"{other}: {', '.join(shares)}")
    width = 0.8 / len(methods)
    for m, (method, colour) in enumerate(zip(methods, (GREEN, BLUE, ORANGE), strict=False)):
        for b, (base, by_method) in enumerate(scores.items()):
            values = [100 * v for v in by_method[method]]
            x = b + (m - (len(methods) - 1) / 2) * width
            ax.bar(x, mean[base][method], 0.92 * width, color=colour, alpha=0.75, label=None if b else method)
            ax.plot([x] * len(values), values, "o", color=BLACK, markersize=4)
            ax.text(x, max(values) + 2, f"{mean[base][method]:.0f}", ha="center", fontsize=13)
    ax.set_xticks(range(len(scores)), list(scores))
    ax.set(ylabel="test questions right (%)", ylim=(0, 118))
    ax.set_yticks(range(0, 101, 20))
    ax.legend(loc="upper right", ncols=len(methods))
    return fig
