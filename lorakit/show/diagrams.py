"""Schematic pictures of how data flows, with the sizes that they explain drawn to scale."""

from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from lorakit.show.style import BLACK, BLUE, GREY, ORANGE, figure

FROZEN = "#BBD6E8"  # a pale BLUE that still shows when projected
LANE = 0.64  # how far the middle of a path lies above or below the middle of the picture


def lora_diagram(d: int, k: int, r: int) -> Figure:
    """h = W0 x + s B A x as data flows: x splits, goes through the frozen W0 and through A and B, and is summed.

    A vector's length, k, r or d entries, is the height of its line and of the shape's side that it enters or leaves, to
    one scale; how many values each matrix holds is written beside it. Raises ValueError unless 1 <= r <= min(d, k).
    """
    if not 1 <= r <= min(d, k):
        raise ValueError(f"r must be between 1 and {min(d, k)} (the smaller of {d} and {k}), got {r}")
    scale = 1 / max(d, k)  # the length of one entry; the longest side is 1
    inputs, neck, outputs = k * scale, r * scale, d * scale
    frozen, trained = d * k, r * (d + k)
    fig, ax = figure(size=(9, 4.6), grid=False)
    title = f"Beside {frozen:,} frozen values, LoRA trains {trained:,}: {trained / frozen:.1%}"
    fig.suptitle(title, x=0.02, ha="left", fontsize=15, fontweight="bold")  # the axes may be narrower than it

    vector(ax, 0.0, inputs, "x", f"{k}")
    block(ax, "W₀", (1.0, 2.9), LANE, (inputs, outputs), FROZEN)
    ax.text(1.95, LANE + 0.53, f"{d} × {k}, frozen", ha="center", va="bottom", fontsize=13)
    block(ax, "A", (1.0, 1.75), -LANE, (inputs, neck), ORANGE)
    block(ax, "neck", (1.75, 2.15), -LANE, (neck, neck), ORANGE)
    block(ax, "B", (2.15, 2.9), -LANE, (neck, outputs), ORANGE)
    for x, words, side in ((1.0, f"{r} × {k}", "left"), (1.95, "trained", "center"), (2.9, f"{d} × {r}", "right")):
        ax.text(x, -LANE - 0.53, words, ha=side, va="top", fontsize=13)
    ax.text(1.95, -LANE + neck / 2 + 0.05, f"{r}", ha="center", va="bottom", fontsize=13)
    vector(ax, 5.0, outputs, "h", f"{d}")

    path(ax, (0.08, 0), (0.5, 0), (0.5, LANE), (0.97, LANE))
    path(ax, (0.5, 0), (0.5, -LANE), (0.97, -LANE))
    path(ax, (2.95, LANE), (4.2, LANE), (4.2, 0.13))
    path(ax, (2.95, -LANE), (3.3, -LANE))
    path(ax, (3.86, -LANE), (4.2, -LANE), (4.2, -0.13))
    ax.text(3.58, -LANE, "× α / r", ha="center", va="center", fontsize=14)
    ax.text(4.2, 0, "+", ha="center", va="center", fontsize=17, bbox=dict(boxstyle="circle,pad=0.15", fc="white"))
    path(ax, (4.36, 0), (4.93, 0))
    ax.set(xlim=(-0.35, 5.35), ylim=(-1.34, 1.32))
    ax.axis("off")
    return fig


def block(ax, name: str, across: tuple[float, float], middle: float, heights: tuple[float, float], face: str) -> None:
    """A matrix, as tall on the left as what enters it and on the right as what leaves it."""
    (left, right), (enters, leaves) = across, heights
    corners = [(left, -enters / 2), (left, enters / 2), (right, leaves / 2), (right, -leaves / 2)]
    ax.add_patch(
        Polygon([(x, middle + y) for x, y in corners], facecolor=face, edgecolor=face, linewidth=1, label=name)
    )
    if name != "neck":
        # In the wider half of a shape that narrows.
        x = left + (right - left) * (0.5 if enters == leaves else 0.3 if enters > leaves else 0.7)
        ax.text(x, middle, name, ha="center", va="center", fontsize=19, fontweight="bold", color=BLACK)


def vector(ax, x: float, length: float, name: str, entries: str) -> None:
    ax.plot([x, x], [-length / 2, length / 2], color=BLUE, linewidth=4, solid_capstyle="butt")
    ax.text(x, length / 2 + 0.04, name, ha="center", va="bottom", fontsize=19, fontweight="bold", color=BLUE)
    ax.text(x, -length / 2 - 0.04, entries, ha="center", va="top", fontsize=13)


def path(ax, *points: tuple[float, float]) -> None:
    """A line through the points, with an arrow's head at the last."""
    ax.plot(*zip(*points[:-1], strict=True), color=GREY, linewidth=1.8, solid_joinstyle="miter")
    way = dict(arrowstyle="-|>", color=GREY, linewidth=1.8, shrinkA=0, shrinkB=0, mutation_scale=16)
    ax.annotate("", xy=points[-1], xytext=points[-2], arrowprops=way)
