"""One GPT-2 block as data flows: its four weights to scale, and the adapters of q and v as the thin strips they are."""

from matplotlib.patches import Rectangle

from lorakit.show.diagrams import path
from lorakit.show.style import BLACK, GREY, ORANGE, CourseFigure, figure

FILL, INK = "#E3EDF5", "#8A5A00"  # a pale blue for frozen weights; ORANGE's darker brother, readable as text
GAP = 0.14  # between a weight and its adapter's strips, in units of the width d
STREAM = 2.75  # how high the residual stream runs above the middle of the weights
PLACES = {  # name: (left, inputs, outputs), lengths in units of d
    "attn.c_attn": (1.55, 1, 3),
    "attn.c_proj": (6.1, 1, 1),
    "mlp.c_fc": (8.75, 1, 4),
    "mlp.c_proj": (13.75, 4, 1),
}


def block_picture(d: int, r: int = 8) -> CourseFigure:
    """The four projections of a GPT-2 block of width `d`, each (in, out) as Conv1D stores it: rows in, columns out.

    Arrows show how data flows through them, off the residual stream and back onto it. At c_attn, at the same scale, the
    A (r × d) and B (d × r) of rank-`r` adapters on q and v, drawn transposed, as the layout (in, out) wants.
    """
    title = f"One block of GPT-2 to scale; in orange, rank-{r} adapters on q and v"
    fig, ax = figure(title, size=(10.6, 4.5), grid=False)
    for name, (left, inputs, outputs) in PLACES.items():
        ax.add_patch(Rectangle((left, -inputs / 2), outputs, inputs, facecolor=FILL, edgecolor=GREY))
        words = f"{name}\n{inputs * d} × {outputs * d}"
        ax.text(left + outputs / 2, -inputs / 2 - 0.15, words, ha="center", va="top")
    _adapters(ax, r / d)
    _flow(ax)
    ax.set(xlim=(-0.35, 16.35), ylim=(-3.3, 3.35), aspect="equal")
    ax.axis("off")
    return fig


def _adapters(ax, thin: float) -> None:
    """Strips along c_attn: an A for q and one for v on the side where x comes in, a B above each of the two slices."""
    left, _, _ = PLACES["attn.c_attn"]
    for i, name in enumerate("qkv"):
        ax.text(left + i + 0.5, 0, name, ha="center", va="center", fontsize=17, color=BLACK)
        if i:
            ax.plot([left + i] * 2, [-0.5, 0.5], ":", color=GREY)
        if name != "k":
            ax.add_patch(Rectangle((left + i, 0.5 + GAP), 1, thin, color=ORANGE, linewidth=0.5, snap=False))
            ax.text(left + i + 0.5, 0.56 + GAP + thin, f"B of {name}", ha="center", va="bottom", color=INK)
            away = left - GAP - thin - (thin + 0.06) * (name == "q")
            ax.add_patch(Rectangle((away, -0.5), thin, 1, color=ORANGE, linewidth=0.5, snap=False))
    ax.text(left - 0.1, -0.65, "A of q, v", ha="right", va="top", color=INK)


def _flow(ax) -> None:
    """The residual stream from left to right; attention and the MLP each read from it and add to it."""
    for start, first, between, words, second, plus in (
        (0.55, "attn.c_attn", 5.33, "attention", "attn.c_proj", 7.6),
        (8.2, "mlp.c_fc", 13.25, "GELU", "mlp.c_proj", 15.25),
    ):
        (left, _, wide), (next_left, _, next_wide) = PLACES[first], PLACES[second]
        path(ax, (start, STREAM), (start, 0), (left - (0.35 if first == "attn.c_attn" else 0.08), 0))
        path(ax, (left + wide + 0.08, 0), (next_left - 0.08, 0))
        ax.text(between, 0.15, words, ha="center", va="bottom")
        path(ax, (next_left + next_wide + 0.08, 0), (plus, 0), (plus, STREAM - 0.25))
        ax.text(plus, STREAM, "+", ha="center", va="center", fontsize=15, bbox=dict(boxstyle="circle,pad=0.12", fc="w"))
        ax.text(start + 0.1, STREAM - 0.5, "norm", ha="left", va="top")
    path(ax, (0.1, STREAM), (7.35, STREAM))
    path(ax, (7.85, STREAM), (15.0, STREAM))
    path(ax, (15.5, STREAM), (16.2, STREAM))
    ax.text(-0.05, STREAM, "x", ha="right", va="center", fontsize=19, fontweight="bold")
