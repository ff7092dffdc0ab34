"""Schematic pictures, drawn to scale from the shapes that they explain."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lorakit.show.style import BLACK, BLUE, GREY, ORANGE, figure

FROZEN = "#BBD6E8"  # a pale BLUE that still shows when projected


def lora_diagram(d: int, k: int, r: int) -> Figure:
    """h = W0 x + s B A x with W0 (d, k), B (d, r) and A (r, k) drawn to one scale, and how many values each holds.

    The matrices are rectangles whose sides are d, k and r entries long; x and h are drawn as lines.
    Raises ValueError unless 1 <= r <= min(d, k).
    """
    if not 1 <= r <= min(d, k):
        raise ValueError(f"r must be between 1 and {min(d, k)} (the smaller of {d} and {k}), got {r}")
    unit = 1 / max(d, k)  # the length of one entry; the longest side is 1
    height, width, thin = d * unit, k * unit, r * unit
    frozen, trained = d * k, r * (d + k)
    fig, ax = figure(size=(9, 4.2), grid=False)
    title = f"Beside {frozen:,} frozen values, LoRA trains {trained:,}: {trained / frozen:.1%}"
    fig.suptitle(title, x=0.02, ha="left", fontsize=15, fontweight="bold")  # the axes may be narrower than it
    pen = _Pen(ax, height)
    pen.vector(height, "h", f"{d}")
    pen.sign("=")
    pen.matrix("W₀", d, k, unit, FROZEN, BLUE, f"{d} × {k}\nfrozen")
    pen.vector(width, "x", f"{k}")
    pen.sign("+  s ·", 0.30)
    pen.matrix("B", d, r, unit, ORANGE, BLACK, f"{d} × {r}\ntrained")
    pen.gap(max(0.16 - thin, 0.05))  # room for the labels of two neighbours that may both be narrow
    pen.matrix("A", r, k, unit, ORANGE, BLACK, f"{r} × {k}\ntrained")
    pen.vector(width, "x", f"{k}")
    room = 0.21
    ax.set(xlim=(-0.08, pen.x + 0.05), ylim=(-pen.tall / 2 - room, pen.tall / 2 + room), aspect="equal")
    ax.axis("off")
    return fig


class _Pen:
    """Draws the parts of an equation from left to right, all centred on one line."""

    def __init__(self, ax, tall: float):
        self.ax, self.x, self.tall = ax, 0.0, tall

    def gap(self, width: float) -> None:
        self.x += width

    def sign(self, text: str, width: float = 0.18) -> None:
        self.ax.text(self.x + width / 2, 0, text, ha="center", va="center", fontsize=17)
        self.x += width

    def matrix(self, name: str, rows: int, columns: int, unit: float, face: str, ink: str, below: str) -> None:
        width, height = columns * unit, rows * unit
        corner = (self.x, -height / 2)
        self.ax.add_patch(Rectangle(corner, width, height, facecolor=face, edgecolor="none", label=name))
        self._labels(self.x + width / 2, height, name, ink, below)
        self.x += width

    def vector(self, length: float, name: str, entries: str) -> None:
        self.gap(0.06)
        # Thinner than any matrix: one entry wide would often be less than a pixel.
        self.ax.plot([self.x, self.x], [-length / 2, length / 2], color=GREY, linewidth=1, linestyle=(0, (4, 2)))
        self._labels(self.x, length, name, GREY, entries)

    def _labels(self, x: float, height: float, name: str, ink: str, below: str) -> None:
        self.tall = max(self.tall, height)
        self.ax.text(x, height / 2 + 0.025, name, ha="center", va="bottom", fontsize=19, fontweight="bold", color=ink)
        self.ax.text(x, -height / 2 - 0.025, below, ha="center", va="top", fontsize=12, linespacing=1.25)
