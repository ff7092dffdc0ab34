"""Which directions do two adapters share? φ(i, j) for every i and j, beside what chance gives."""

from functools import cache

import torch
from matplotlib import colormaps

from lorakit.show.explorer import Choice, Explorer, Slider
from lorakit.show.style import BLUE, GREY, ORANGE
from lorakit.study.adapter_factors import Update
from lorakit.study.subspace import (
    Floor,
    floor,
    floor_table,
    left_directions,
    random_directions,
    right_directions,
    similarity,
)

CHANCE = "two random Gaussians"
SIDES = {"A (what it reads)": right_directions, "B (where it writes)": left_directions}


class SimilarityExplorer(Explorer):
    """See `similarity_explorer`."""

    size = (11, 4.6)
    colours = 128

    def __init__(self, adapters: dict[str, dict[str, Update]], pairs, title: str, start: dict):
        self.adapters = adapters
        self.pairs = {f"{one} against {other}": (one, other) for one, other in pairs}
        first = next(iter(adapters.values()))
        self.places = {short(path): path for path in first}
        used = [[next(iter(adapters[name].values())).r for name in pair] for pair in pairs]
        self.rows, self.columns = min(8, *(r for r, _ in used)), min(64, *(r for _, r in used))
        controls = {
            "pair": Choice("which two", (*self.pairs, CHANCE), next(iter(self.pairs))),
            "place": Choice("layer", tuple(self.places), next(iter(self.places))),
            "matrix": Choice("matrix", tuple(SIDES), next(iter(SIDES))),
            "i": Slider("i: directions of the first", 1, max(2, self.rows), 1),
            "j": Slider("j: directions of the second", 1, self.columns, 1),
        }
        for name, value in start.items():
            if name not in controls or not controls[name].allows(value):
                raise ValueError(f"cannot start at {name} = {value!r}; {name} is {controls.get(name, 'no control')}")
        controls = {name: type(c)(**{**c.__dict__, "value": start.get(name, c.value)}) for name, c in controls.items()}
        self.table = cache(self._table)  # the singular vectors of a pair are found once
        super().__init__(title, controls)

    def _table(self, pair: str, place: str, matrix: str) -> tuple[torch.Tensor, int]:
        """φ (rows, columns), and the n of the R^n that the directions live in."""
        path = self.places[place]
        if pair == CHANCE:
            update = next(iter(self.adapters.values()))[path]
            n = (update.A.shape[1], update.B.shape[0])[list(SIDES).index(matrix)]
            U, V = random_directions(n, self.rows, seed=0), random_directions(n, self.columns, seed=1)
        else:
            updates = [self.adapters[name][path] for name in self.pairs[pair]]
            U, V = (SIDES[matrix](u.A if SIDES[matrix] is right_directions else u.B) for u in updates)
        return similarity(U[:, : self.rows], V[:, : self.columns]), U.shape[0]

    def compute(self, pair: str, place: str, matrix: str, i: int, j: int) -> dict:
        phi, n = self.table(pair, place, matrix)
        i = min(i, self.rows)
        return {"phi": phi, "n": n, "i": i, "j": j, "value": float(phi[i - 1, j - 1]), "floor": floor(i, j, n)}

    def draw(self, figure, data):
        left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
        top, bottom = left.subplots(2, 1, sharex=True)
        extent = (0.5, self.columns + 0.5, self.rows + 0.5, 0.5)
        look = {
            "cmap": colormaps["viridis"].resampled(20),
            "vmin": 0,
            "vmax": 1,
            "aspect": "auto",
            "extent": extent,
            "interpolation": "nearest",
        }
        self.heat = top.imshow(data["phi"].numpy(), **look)
        self.chance = bottom.imshow(floor_table(*data["phi"].shape, data["n"]).numpy(), **look)
        top.set_title("φ(i, j), measured", weight="normal", fontsize=13)
        bottom.set_title("what chance gives: max(i, j) / n", weight="normal", fontsize=13)
        ticks = [t for t in (1, 8, 16, 24, 32, 40, 48, 56, 64) if t <= self.columns]
        for ax in (top, bottom):
            ax.set(yticks=[1, self.rows] if self.rows > 1 else [1])
            ax.set_ylabel("i", rotation=0)
            ax.grid(False)
        bottom.set(xlabel="j", xticks=ticks)
        left.colorbar(self.heat, ax=[top, bottom], ticks=[0, 0.5, 1], pad=0.02)
        (self.mark,) = top.plot([], [], "s", markersize=11, markerfacecolor="none", color=ORANGE, markeredgewidth=3)

        ax = right.subplots()
        j = torch.arange(1, self.columns + 1).numpy()
        (self.above,) = ax.fill(j, 0 * j, color=GREY, alpha=0.35, linewidth=0)
        (self.curve,) = ax.plot(j, 0 * j, color=BLUE, linewidth=3)
        (self.dot,) = ax.plot([], [], "o", color=ORANGE, markersize=12)
        ax.set(xlabel="j", ylabel="φ(i, j) at this i", ylim=(-0.02, 1.05), xlim=(0, self.columns + 1), xticks=ticks)
        ax.grid(True)
        names = ["measured", "chance ± 2 std"]
        ax.legend([self.curve, self.above], names, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=11)
        self.steps = j
        self.move(data)
        return [self.heat, self.chance, self.mark, self.above, self.curve, self.dot]

    def move(self, data):
        phi, i, j = data["phi"], data["i"], data["j"]
        self.heat.set_data(phi.numpy())
        self.chance.set_data(floor_table(*phi.shape, data["n"]).numpy())
        self.mark.set_data([j], [i])
        self.curve.set_data(self.steps, phi[i - 1].numpy())
        self.dot.set_data([j], [data["value"]])
        floors = [floor(i, int(step), data["n"]) for step in self.steps]
        low = [(step, max(0.0, f.mean - 2 * f.std)) for step, f in zip(self.steps, floors, strict=True)]
        high = [(step, f.mean + 2 * f.std) for step, f in zip(self.steps, floors, strict=True)]
        self.above.set_xy(low + high[::-1])

    def describe(self, data):
        chance: Floor = data["floor"]
        away = (data["value"] - chance.mean) / chance.std if chance.std else 0.0
        words = f"{abs(away):.0f} standard deviations {'above' if away > 0 else 'below'}"
        words = "within 2 standard deviations of chance" if abs(away) <= 2 else f"{words} chance"
        return (
            f"φ({data['i']}, {data['j']}) = {data['value']:.2f}: {words}, which gives "
            f"max({data['i']}, {data['j']}) / {data['n']} = {chance.mean:.3f} ± {chance.std:.3f}"
        )


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
    if len(adapters) < 2 and pairs is None:
        raise ValueError("two adapters are needed for a comparison")
    labels = list(adapters)
    pairs = [tuple(pair) for pair in pairs] if pairs is not None else [(labels[0], other) for other in labels[1:]]
    if unknown := {name for pair in pairs for name in pair} - set(labels):
        raise ValueError(f"no adapter labelled {sorted(unknown)[0]!r}: there are {', '.join(labels)}")
    places = {tuple(updates) for updates in adapters.values()}
    if len(places) > 1:
        raise ValueError("the adapters sit on different projections: compare adapters with the same targets")
    return SimilarityExplorer(adapters, pairs, title, start)


def short(path: str) -> str:
    """A projection's path as people say it: "transformer.h.2.attn.c_attn.q" is "block 2 q"."""
    parts = path.split(".")
    number = next((part for part in parts if part.isdigit()), "")
    name = parts[-1].removesuffix("_proj")
    return f"block {number} {name}" if number else path
