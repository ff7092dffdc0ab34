"""Which directions do two adapters share? φ(i, j) for every i and j, and a cut through it beside what chance gives."""

from functools import cache

import numpy as np
from matplotlib import colormaps
from torch import Tensor

from lorakit.show.explorer import Choice, Explorer, Steps
from lorakit.show.style import BLUE, GREY, ORANGE
from lorakit.study.adapter_factors import Update
from lorakit.study.subspace import floor, left_directions, right_directions, similarity

SIDES = {
    "A (what it reads)": lambda update: right_directions(update.A),
    "B (where it writes)": lambda update: left_directions(update.B),
}


class SimilarityExplorer(Explorer):
    """Widget: φ(i, j) of two adapters as a heat map, by layer and matrix; a cut through it at i, beside the floor.

    adapters   by label, `study.adapter_factors.adapter_updates` of each: the same projections in all
    pairs      which to compare, as (label, label)
    start      where a control stands at first, e.g. place="block 2 v"

    Shown are the first 8 directions of the one and 64 of the other (fewer where an adapter has fewer). `.data` holds φ,
    its floor and n.
    """

    size = (11, 3.6)
    colours = 128

    def __init__(self, adapters: dict[str, dict[str, Update]], pairs: list[tuple[str, str]], title: str, **start):
        self.adapters = adapters
        self.pairs = {f"{one} against {other}": (one, other) for one, other in pairs}
        self.places = {short(path): path for path in next(iter(adapters.values()))}
        used = [[next(iter(adapters[name].values())).r for name in pair] for pair in pairs]
        self.rows, self.columns = min(8, *(r for r, _ in used)), min(64, *(r for _, r in used))
        controls = {
            "pair": Choice("which two", tuple(self.pairs), next(iter(self.pairs))),
            "place": Choice("layer", tuple(self.places), next(iter(self.places))),
            "matrix": Choice("matrix", tuple(SIDES), next(iter(SIDES))),
            "i": Steps("i: directions of the first", range(1, self.rows + 1), 1),
            "j": Steps("j: directions of the second", range(1, self.columns + 1), 1),
        }
        self.directions = cache(self._directions)  # an SVD
        super().__init__(title, controls)
        self.set(**start)

    def _directions(self, name: str, place: str, matrix: str) -> Tensor:
        """The adapter's directions in one projection, (n, r)."""
        return SIDES[matrix](self.adapters[name][self.places[place]])

    def compute(self, pair: str, place: str, matrix: str, i: int, j: int) -> dict:
        """φ (rows, columns), its value at i and j, and the floor (mean, standard deviation) at this i for every j."""
        U, V = (self.directions(name, place, matrix) for name in self.pairs[pair])
        phi, n = similarity(U[:, : self.rows], V[:, : self.columns]).numpy(), len(U)
        floors = [floor(i, column, n) for column in range(1, self.columns + 1)]
        value, at = float(phi[i - 1, j - 1]), floors[j - 1]
        return {"phi": phi, "n": n, "i": i, "j": j, "value": value, "floor": at, "floors": floors}

    def draw(self, figure, data):
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        ticks = [1, *range(8, self.columns + 1, 8)]
        look = {"cmap": colormaps["viridis"].resampled(20), "vmin": 0, "vmax": 1, "aspect": "auto"}
        extent = (0.5, self.columns + 0.5, self.rows + 0.5, 0.5)
        self.heat = left.imshow(data["phi"], extent=extent, interpolation="nearest", **look)
        left.set(title="φ(i, j)", xlabel="j", ylabel="i", yticks=sorted({1, self.rows}), xticks=ticks)
        left.grid(False)
        figure.colorbar(self.heat, ax=left, ticks=[0, 0.5, 1], pad=0.02)
        (self.mark,) = left.plot([], [], "s", ms=11, markerfacecolor="none", color=ORANGE, markeredgewidth=3)

        self.steps = np.arange(1, self.columns + 1)
        (self.chance,) = right.fill(self.steps, 0 * self.steps, color=GREY, alpha=0.35, linewidth=0)
        (self.curve,) = right.plot(self.steps, 0 * self.steps, color=BLUE, linewidth=3)
        (self.dot,) = right.plot([], [], "o", color=ORANGE, markersize=12)
        right.set(xlabel="j", ylabel="φ(i, j) at this i", ylim=(-0.02, 1.05), xlim=(0, self.columns + 1), xticks=ticks)
        right.grid(True)
        names = ["measured", "chance, max(i, j) / n ± 2 std"]
        right.legend([self.curve, self.chance], names, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=11)
        self.move(data)
        return [self.heat, self.mark, self.chance, self.curve, self.dot]

    def move(self, data):
        phi, i, j = data["phi"], data["i"], data["j"]
        self.heat.set_data(phi)
        self.mark.set_data([j], [i])
        self.curve.set_data(self.steps, phi[i - 1])
        self.dot.set_data([j], [data["value"]])
        mean, std = (np.array([getattr(f, name) for f in data["floors"]]) for name in ("mean", "std"))
        band = np.concatenate([np.maximum(0, mean - 2 * std), (mean + 2 * std)[::-1]])
        self.chance.set_xy(np.column_stack([np.concatenate([self.steps, self.steps[::-1]]), band]))

    def describe(self, data):
        i, j, chance = data["i"], data["j"], data["floor"]
        away = (data["value"] - chance.mean) / chance.std if chance.std else 0.0
        words = f"{abs(away):.0f} standard deviations {'above' if away > 0 else 'below'} chance"
        if abs(away) <= 2:
            words = "within 2 standard deviations of chance"
        floor = f"max({i}, {j}) / {data['n']} = {chance.mean:.3f} ± {chance.std:.3f}"
        return f"φ({i}, {j}) = {data['value']:.2f}: {words}, which gives {floor}"


def short(path: str) -> str:
    """A projection's path as people say it: "transformer.h.2.attn.c_attn.q" is "block 2 q"."""
    parts = path.split(".")
    number = next((part for part in parts if part.isdigit()), "")
    name = parts[-1].removesuffix("_proj")
    return f"block {number} {name}" if number else path
