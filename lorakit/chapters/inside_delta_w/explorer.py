"""Which directions do two adapters share? φ(i, j) for every i and j, beside what chance gives."""

from functools import cache

import numpy as np
from matplotlib import colormaps

from lorakit.show.explorer import Choice, Explorer, Slider
from lorakit.show.style import BLUE, GREY, ORANGE
from lorakit.study.adapter_factors import Update
from lorakit.study.subspace import (
    floor,
    floor_table,
    left_directions,
    random_directions,
    right_directions,
    similarity,
)

CHANCE = "two random Gaussians"
SIDES = {
    "A (what it reads)": lambda update: right_directions(update.A),
    "B (where it writes)": lambda update: left_directions(update.B),
}


class SimilarityExplorer(Explorer):
    """See `similarity_explorer`."""

    size = (11, 4.6)
    colours = 128

    def __init__(self, adapters: dict[str, dict[str, Update]], pairs: list[tuple[str, str]], title: str):
        self.adapters = adapters
        self.pairs = {f"{one} against {other}": (one, other) for one, other in pairs} | {CHANCE: pairs[0]}
        self.places = {short(path): path for path in next(iter(adapters.values()))}
        used = [[next(iter(adapters[name].values())).r for name in pair] for pair in pairs]
        self.rows, self.columns = min(8, *(r for r, _ in used)), min(64, *(r for _, r in used))
        controls = {
            "pair": Choice("which two", tuple(self.pairs), next(iter(self.pairs))),
            "place": Choice("layer", tuple(self.places), next(iter(self.places))),
            "matrix": Choice("matrix", tuple(SIDES), next(iter(SIDES))),
            "i": Slider("i: directions of the first", 1, max(2, self.rows), 1),
            "j": Slider("j: directions of the second", 1, self.columns, 1),
        }
        self.table = cache(self._table)  # the singular vectors of a pair are found once
        super().__init__(title, controls)

    def _table(self, pair: str, place: str, matrix: str) -> tuple[np.ndarray, int]:
        """φ (rows, columns), and the n of the R^n that the directions live in."""
        U, V = (SIDES[matrix](self.adapters[name][self.places[place]]) for name in self.pairs[pair])
        if pair == CHANCE:
            U, V = (random_directions(len(U), p, seed) for seed, p in enumerate((self.rows, self.columns)))
        return similarity(U[:, : self.rows], V[:, : self.columns]).numpy(), len(U)

    def compute(self, pair: str, place: str, matrix: str, i: int, j: int) -> dict:
        """φ and its floor (mean and standard deviation) at i and j, and for all that is drawn around it."""
        phi, n = self.table(pair, place, matrix)
        i = min(i, self.rows)
        floors = [floor(i, column, n) for column in range(1, self.columns + 1)]
        value, at = float(phi[i - 1, j - 1]), floors[j - 1]
        return {"phi": phi, "n": n, "i": i, "j": j, "value": value, "floor": at, "floors": floors}

    def draw(self, figure, data):
        left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
        ticks = [1, *range(8, self.columns + 1, 8)]
        look = {"cmap": colormaps["viridis"].resampled(20), "vmin": 0, "vmax": 1, "aspect": "auto"}
        look |= {"extent": (0.5, self.columns + 0.5, self.rows + 0.5, 0.5), "interpolation": "nearest"}
        titles = "φ(i, j), measured", "what chance gives: max(i, j) / n"
        axes = left.subplots(2, 1, sharex=True)
        self.heats = [ax.imshow(data["phi"], **look) for ax in axes]
        for ax, title in zip(axes, titles, strict=True):
            ax.set_title(title, weight="normal", fontsize=13)
            ax.set(yticks=sorted({1, self.rows}), xticks=ticks)
            ax.set_ylabel("i", rotation=0)
            ax.grid(False)
        axes[1].set(xlabel="j")
        left.colorbar(self.heats[0], ax=axes, ticks=[0, 0.5, 1], pad=0.02)
        (self.mark,) = axes[0].plot([], [], "s", ms=11, markerfacecolor="none", color=ORANGE, markeredgewidth=3)

        ax = right.subplots()
        self.steps = np.arange(1, self.columns + 1)
        (self.chance,) = ax.fill(self.steps, 0 * self.steps, color=GREY, alpha=0.35, linewidth=0)
        (self.curve,) = ax.plot(self.steps, 0 * self.steps, color=BLUE, linewidth=3)
        (self.dot,) = ax.plot([], [], "o", color=ORANGE, markersize=12)
        ax.set(xlabel="j", ylabel="φ(i, j) at this i", ylim=(-0.02, 1.05), xlim=(0, self.columns + 1), xticks=ticks)
        ax.grid(True)
        names = ["measured", "chance ± 2 std"]
        ax.legend([self.curve, self.chance], names, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=11)
        self.move(data)
        return [*self.heats, self.mark, self.chance, self.curve, self.dot]

    def move(self, data):
        phi, i, j = data["phi"], data["i"], data["j"]
        for heat, table in zip(self.heats, (phi, floor_table(*phi.shape, data["n"]).numpy()), strict=True):
            heat.set_data(table)
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


def similarity_explorer(
    adapters: dict[str, dict[str, Update]], pairs=None, title: str = "What two adapters share", **start
) -> SimilarityExplorer:
    """Widget: φ(i, j) of two adapters as a heat map beside the floor, by layer and matrix; a cut through it at i.

    adapters   by label, `study.adapter_factors.adapter_updates` of each: the same projections in all
    pairs      which to compare, as (label, label); None: the first with each of the others
    start      where a control stands at first, e.g. place="block 2 v"

    Shown are the first 8 directions of the one and 64 of the other (fewer where an adapter has fewer). `.data` holds φ,
    its floor and n. Raises ValueError where the adapters cannot be compared.
    """
    if len({tuple(updates) for updates in adapters.values()}) > 1:
        raise ValueError("the adapters sit on different projections: compare adapters with the same targets")
    first, *others = adapters
    return SimilarityExplorer(adapters, pairs or [(first, other) for other in others], title).set(**start)


def short(path: str) -> str:
    """A projection's path as people say it: "transformer.h.2.attn.c_attn.q" is "block 2 q"."""
    parts = path.split(".")
    number = next((part for part in parts if part.isdigit()), "")
    name = parts[-1].removesuffix("_proj")
    return f"block {number} {name}" if number else path
