"""A rank slider on a matrix: the matrix, its best rank-r copy, its spectrum, and what the copy costs."""

from torch import Tensor

from lorakit.show.explorer import Explorer, Steps
from lorakit.show.style import BLUE, GREY, ORANGE
from lorakit.study.rank import Factors, Truncation, break_even_rank

CROP = 64  # entries of a weight shown along each side; the numbers are always of the whole matrix


def rank_steps(full: int) -> tuple[int, ...]:
    """Ranks worth trying up to `full`: every one to 8, then four to each doubling, and the full rank itself."""
    ladder = [*range(1, 9), *(m << doubled for doubled in range(1, 10) for m in (5, 6, 7, 8))]
    return (*(r for r in ladder if r < full), full)


class RankExplorer(Explorer):
    """Widget: a slider over the rank of the best approximation of `matrix` (d, k).

    A matrix without a negative entry is taken for a picture, and its copy stands beside it. Another is a weight: a
    large one shows its top left corner, and beside it what the copy misses. `.data` is a `study.rank.Truncation`.
    """

    size = (9.5, 3.9)

    def __init__(self, matrix: Tensor, title: str, rank: int = 8):
        self.matrix = matrix.detach().float()
        self.is_picture = bool(self.matrix.min() >= 0)
        self.factors = Factors.of(self.matrix)
        super().__init__(title, {"rank": Steps("rank r", rank_steps(len(self.factors.s)), rank)})

    def compute(self, rank: int) -> Truncation:
        return self.factors.truncation(rank)

    def _shown(self, matrix: Tensor):
        return (matrix if self.is_picture else matrix[:CROP, :CROP]).numpy()

    def _second(self, rank: int):
        """What stands beside the matrix: a picture's copy, and what a weight's copy misses."""
        copy = self.factors.approximation(rank)
        return self._shown(copy if self.is_picture else self.matrix - copy)

    def draw(self, figure, data):
        left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.25])
        original = self._shown(self.matrix)
        if self.is_picture:
            look = {"cmap": "gray", "vmin": 0, "vmax": 1}
        else:
            limit = 3 * float(original.std())
            look = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
        left.imshow(original, interpolation="nearest", **look)
        self.image = middle.imshow(self._second(data.rank), interpolation="nearest", **look)
        d, k = self.factors.shape
        second = "its best rank-r copy" if self.is_picture else "what its best copy misses"
        for ax, words in ((left, f"original, {d} × {k}"), (middle, second), (right, "singular values")):
            ax.set_title(words, weight="normal", fontsize=13)
        if original.shape != (d, k):
            left.set_xlabel(f"top left {original.shape[0]} × {original.shape[1]}")
        for ax in (left, middle):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)

        s, even = self.factors.s.numpy(), break_even_rank(d, k)
        right.loglog(range(1, len(s) + 1), s, color=GREY)
        right.set(xlabel="singular value number", ylim=(None, 1.6 * s[0]))
        right.grid(True)
        right.axvline(even, color=GREY, linestyle=":", linewidth=1.5)
        right.text(even * 0.93, 1.2 * s[0], "break-even", ha="right", va="top", color=GREY, rotation=90, fontsize=12)
        (self.kept,) = right.plot([], [], color=BLUE, linewidth=4)
        self.edge = right.axvline(data.rank, color=ORANGE, linewidth=2.5)
        self.move(data)
        return [self.image, self.kept, self.edge]

    def move(self, data):
        self.image.set_data(self._second(data.rank))
        self.kept.set_data(range(1, data.rank + 1), self.factors.s[: data.rank])
        self.edge.set_xdata([data.rank, data.rank])

    def describe(self, data):
        d, k = self.factors.shape
        word = "smaller" if data.stored < data.full else "no smaller"
        return (
            f"r = {data.rank}: r(d + k) = {data.rank} × ({d} + {k}) = {data.stored:,} numbers "
            f"against {data.full:,}: {data.share:.1%}, {word}\n"
            f"relative error {data.relative_error:.3f} · energy kept {data.energy:.2%}"
        )
