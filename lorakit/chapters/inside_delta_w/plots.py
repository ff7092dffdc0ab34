"""Pictures of chapter 08: what adapters share, as heat maps and marks; energy and gain against directions kept."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from torch import Tensor

from lorakit.show.style import BLACK, PALETTE, CourseFigure, figure, log_x
from lorakit.study.rank import energy


def heat_maps(
    rows: dict[str, dict[str, Tensor]], title: str, xlabel: str, ylabel: str, size: tuple[float, float] = (11, 4.6)
) -> CourseFigure:
    """One heat map of φ(i, j) for each entry: `rows` maps a row's label to {column's label: table (p, q)}."""
    columns = list(next(iter(rows.values())))
    fig, axes = figure(title, rows=len(rows), columns=len(columns), size=size, grid=False)
    axes = np.reshape(axes, (len(rows), len(columns)))
    look = {"cmap": colormaps["viridis"].resampled(20), "vmin": 0, "vmax": 1, "aspect": "auto"}
    for y, (name, tables) in enumerate(rows.items()):
        for x, column in enumerate(columns):
            ax, table = axes[y][x], tables[column]
            p, q = table.shape
            extent = (0.5, q + 0.5, p + 0.5, 0.5)
            image = ax.imshow(table.numpy(), extent=extent, interpolation="nearest", **look)
            ax.set(xticks=sorted({1, q}), yticks=sorted({1, p}))
            if y == 0:
                ax.set_title(column, weight="normal", fontsize=14)
            if x == 0:
                ax.set_ylabel(f"{name}\n{ylabel}")
            if y == len(rows) - 1:
                ax.set_xlabel(xlabel, labelpad=-8)
    fig.colorbar(image, ax=axes, ticks=[0, 0.5, 1], pad=0.01, label="φ(i, j)")
    return fig


def energy_curves(groups: dict[str, list[Tensor]], title: str) -> CourseFigure:
    """The share of the energy in the top k singular values, a line for each spectrum; `groups` have a colour each."""
    fig, ax = figure(title)
    for (name, spectra), colour in zip(groups.items(), (*PALETTE[:2], BLACK), strict=False):
        for number, s in enumerate(spectra):
            ax.plot(range(1, len(s) + 1), energy(s), color=colour, lw=1.6, label=None if number else name)
    ticks = [2**power for power in range(int(np.log2(max(len(s) for group in groups.values() for s in group))) + 1)]
    log_x(ax, ticks)
    ax.set(xlabel="directions kept, k", ylabel="share of the energy", ylim=(0, 1.02))
    ax.legend(loc="lower right")
    return fig


def shared_marks(shared: pd.DataFrame, chance: float, title: str) -> CourseFigure:
    """A row of marks for each pair of adapters: φ(1, 1) of the input and of the output directions; where chance lies.

    shared  columns "inputs" and "outputs", a row for each projection; the first level of its index names the pair
    """
    pairs = shared.index.get_level_values(0)
    names = pairs.unique()
    fig, ax = figure(title, size=(9, 3.8))
    for side, up, mark, colour in (("inputs", 0.12, "o", PALETTE[0]), ("outputs", -0.12, "s", PALETTE[1])):
        ax.plot(shared[side], names.get_indexer(pairs) + up, mark, color=colour, ms=9, alpha=0.7, label=side)
    ax.axvline(chance, color=BLACK, lw=1.2, ls=":", label="chance")
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5), xlim=(-0.02, 1))
    ax.set_xlabel("φ(1, 1) of ΔW, a mark for each projection")
    ax.legend(loc="lower right")
    return fig


def gain_curves(gains: dict[str, pd.DataFrame], title: str) -> CourseFigure:
    """The share of a task's gain (0..1) that k directions bring: by task, adapters × k."""
    fig, ax = figure(title)
    for (task, table), colour in zip(gains.items(), PALETTE, strict=False):
        places = range(table.shape[1])
        for number, line in enumerate(100 * table.to_numpy()):
            ax.plot(places, line, "o-", color=colour, label=None if number else task)
    ax.set(xticks=places, xticklabels=table.columns, xlabel="directions kept, k", ylim=(0, 105))
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
