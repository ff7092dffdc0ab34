"""Pictures of chapter 08: what adapters share, as heat maps and marks; energy and gain against directions kept."""

import numpy as np
from matplotlib import colormaps
from torch import Tensor

from lorakit.show.style import BLACK, PALETTE, CourseFigure, figure
from lorakit.study.rank import energy


def heat_maps(
    rows: dict[str, dict[str, Tensor]],
    title: str,
    xlabel: str = "j",
    ylabel: str = "i",
    top: float = 1.0,
    first: int = 1,
    size: tuple[float, float] = (11, 4.6),
    label: str = "φ(i, j)",
) -> CourseFigure:
    """One heat map for each entry: `rows` maps a row's label to {column's label: table (p, q)}.

    top     the value of the brightest colour, 1 for φ
    first   the number of the tables' first row and column: 1 for directions, 0 for layers
    """
    columns = list(next(iter(rows.values())))
    fig, axes = figure(title, rows=len(rows), columns=len(columns), size=size, grid=False)
    axes = np.reshape(axes, (len(rows), len(columns)))
    look = {"cmap": colormaps["viridis"].resampled(20), "vmin": 0, "vmax": top, "aspect": "auto"}
    for y, (name, tables) in enumerate(rows.items()):
        for x, column in enumerate(columns):
            ax, table = axes[y][x], tables[column]
            p, q = table.shape
            extent = (first - 0.5, q + first - 0.5, p + first - 0.5, first - 0.5)
            image = ax.imshow(table.numpy(), extent=extent, interpolation="nearest", **look)
            ax.set(xticks=sorted({first, q + first - 1}), yticks=sorted({first, p + first - 1}))
            if y == 0:
                ax.set_title(column, weight="normal", fontsize=14)
            if x == 0:
                ax.set_ylabel(f"{name}\n{ylabel}")
            if y == len(rows) - 1:
                ax.set_xlabel(xlabel, labelpad=-8)
    bar = fig.colorbar(image, ax=[ax for row in axes for ax in row], ticks=[0, top / 2, top], pad=0.01)
    bar.set_label(label)
    return fig


def energy_curves(groups: dict[str, list[Tensor]], title: str) -> CourseFigure:
    """The share of the energy in the top k singular values, a line for each spectrum; `groups` have a colour each."""
    fig, ax = figure(title)
    for (name, spectra), colour in zip(groups.items(), (*PALETTE[:2], BLACK), strict=False):
        for number, s in enumerate(spectra):
            ax.plot(range(1, len(s) + 1), energy(s), color=colour, lw=1.6, label=None if number else name)
    ticks = [2**power for power in range(int(np.log2(max(len(s) for group in groups.values() for s in group))) + 1)]
    ax.set(xscale="log", xlabel="directions kept, k", ylabel="share of the energy", ylim=(0, 1.02))
    ax.set(xticks=ticks, xticklabels=ticks)
    ax.minorticks_off()
    ax.legend(loc="lower right")
    return fig


def shared_marks(rows: dict[str, tuple[list[float], list[float]]], chance: float, title: str) -> CourseFigure:
    """A row of marks for each comparison: φ(1, 1) of the input and of the output directions, and where chance lies."""
    fig, ax = figure(title, size=(9, 3.8))
    for y, (inputs, outputs) in enumerate(rows.values()):
        look = {"ms": 9, "alpha": 0.7, "ls": "none"}
        ax.plot(inputs, [y + 0.12] * len(inputs), "o", color=PALETTE[0], label=None if y else "inputs", **look)
        ax.plot(outputs, [y - 0.12] * len(outputs), "s", color=PALETTE[1], label=None if y else "outputs", **look)
    ax.axvline(chance, color=BLACK, lw=1.2, ls=":", label="chance")
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.5), xlim=(-0.02, 1))
    ax.set_xlabel("φ(1, 1) of ΔW, a mark for each projection")
    ax.legend(loc="lower right")
    return fig


def gain_curves(gains: dict[str, list[list[float]]], ks, title: str) -> CourseFigure:
    """The share of a task's gain that k directions bring, a line for each adapter: `gains[task]` holds them, 0..1."""
    fig, ax = figure(title)
    for (task, lines), colour in zip(gains.items(), PALETTE, strict=False):
        for number, line in enumerate(lines):
            ax.plot([100 * x for x in line], "o-", color=colour, label=None if number else task)
    ax.set(xticks=range(len(ks)), xticklabels=ks, xlabel="directions kept, k", ylim=(0, 105))
    ax.set_ylabel("gain recovered (%)")
    ax.legend(loc="lower right")
    return fig


def first_direction(shares: dict[str, list[float]], even: float, title: str) -> CourseFigure:
    """The share (0..1) of the energy in the first direction, by layer; `even` is what equal directions would have."""
    fig, ax = figure(title, size=(9, 3.8))
    for (name, values), mark in zip(shares.items(), ("o-", "s-", "^-"), strict=False):
        ax.plot([100 * value for value in values], mark, label=name)
    ax.axhline(100 * even, color=BLACK, lw=1.2, ls=":", label="all directions equal")
    ax.set(xlabel="layer", ylabel="energy in the first (%)", ylim=(0, 102))
    ax.set_xticks(range(len(next(iter(shares.values())))))
    ax.legend()
    return fig
