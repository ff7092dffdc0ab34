"""Pictures of chapter 09: what is left of a base after merging and subtracting, and what merging changes."""

from collections.abc import Mapping, Sequence

from lorakit.show.style import BLUE, GREEN, GREY, ORANGE, CourseFigure, figure
from lorakit.study.merge_error import Drift, LayerError, LogitError

LOOKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "D"))


def drift_figure(drifts: Mapping[str, Sequence[Drift]], title: str, typical: float | None = None) -> CourseFigure:
    """How far the worst weight is off, over merges that were taken back by subtraction; `typical`: a weight's size."""
    fig, ax = figure(title, size=(10, 4))
    for (name, rows), (colour, marker) in zip(drifts.items(), LOOKS, strict=False):
        ax.plot([d.rounds for d in rows], [d.largest for d in rows], f"{marker}-", color=colour, label=name)
    if typical is not None:
        ax.axhline(typical, color=GREY, linestyle="--", label="a typical weight")
    ax.set(xscale="log", yscale="log", xlabel="rounds of + ΔW − ΔW", ylabel="largest error of a weight")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def bounds_figure(errors: Mapping[str, Sequence[LayerError]]) -> CourseFigure:
    """By dtype: the measured error of every merged weight and of its layer's output, below the bound derived for it."""
    tightest = max(max(e.weight / e.weight_bound, e.output / e.output_bound) for rows in errors.values() for e in rows)
    word = f"no error exceeds its bound (the nearest comes to {tightest:.0%} of it)"
    if tightest > 1:
        word = "an error exceeds its bound"
    fig, axes = figure(f"Merged against exact: {word}", columns=2, size=(10, 3.8), sharey=True)
    for ax, what in zip(axes, ("weight", "output"), strict=True):
        for (name, rows), (colour, marker) in zip(errors.items(), LOOKS, strict=False):
            places = range(len(rows))
            ax.plot(places, [getattr(e, what) for e in rows], marker, color=colour, label=name)
            ax.plot(places, [getattr(e, f"{what}_bound") for e in rows], "_", color=colour, markersize=16)
        ax.set(yscale="log", xlabel="layer", xticks=range(len(next(iter(errors.values())))))
        ax.set_title(f"the {what}")
    axes[0].set(ylabel="relative error")
    axes[1].legend(title="dots: measured\nbars: bound", loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def logits_table(errors: Mapping[str, LogitError]) -> str:
    """By dtype, in text: merged against unmerged, each against exact, and how often the next token changes."""
    lines = [
        f"{'':10}{'merged − unmerged':>18}{'merged − exact':>16}{'unmerged − exact':>18}{'next token changes':>21}"
    ]
    for name, e in errors.items():
        changed = f"{e.changed} of {e.positions:,}"
        lines.append(f"{name:10}{e.difference:18.1e}{e.merged:16.1e}{e.unmerged:18.1e}{changed:>21}")
    return "\n".join(lines)
