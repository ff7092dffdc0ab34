"""One GPT-2 block drawn to scale: its four weights, and the adapters of q and v as the thin strips they are."""

from matplotlib.patches import Rectangle

from lorakit.show.style import BLACK, GREY, ORANGE, CourseFigure, figure

FILL, INK = "#E3EDF5", "#8A5A00"  # a pale blue for frozen weights; ORANGE's darker brother, readable as text
GAP = 0.14  # between a weight and its adapter's strips, in units of the width d


def block_picture(d: int, r: int = 8) -> CourseFigure:
    """The four projections of a GPT-2 block of width `d`, each (in, out) as Conv1D stores it: rows in, columns out.

    Beside c_attn, at the same scale, the A (r × d) and B (d × r) of rank-`r` adapters on q and v; both are drawn
    transposed, as the layout (in, out) wants. Lengths are in units of d.
    """
    fig, ax = figure(
        f"One block of GPT-2 to scale; in orange, rank-{r} adapters on q and v", size=(9.6, 5.2), grid=False
    )
    places = {  # name: (left, bottom, inputs, outputs)
        "attn.c_attn": (0.0, 2.55, 1, 3),
        "attn.c_proj": (3.5, 2.55, 1, 1),
        "mlp.c_fc": (0.0, 0.55, 1, 4),
        "mlp.c_proj": (5.2, 0.0, 4, 1),
    }
    for name, (left, bottom, inputs, outputs) in places.items():
        ax.add_patch(Rectangle((left, bottom), outputs, inputs, facecolor=FILL, edgecolor=GREY))
        ax.text(left + outputs / 2, bottom - 0.1, f"{name}\n{inputs * d} × {outputs * d}", ha="center", va="top")
    left, bottom, _, outputs = places["attn.c_attn"]
    thin, top = r / d, bottom + 1 + GAP
    for i, name in enumerate("qkv"):
        ax.text(left + i + 0.5, bottom + 0.5, name, ha="center", va="center", fontsize=17, color=BLACK)
        if i:
            ax.plot([left + i] * 2, [bottom, bottom + 1], ":", color=GREY)
        if name != "k":
            ax.add_patch(Rectangle((left + i, top), 1, thin, color=ORANGE, linewidth=0, snap=False))
            ax.text(left + i + 0.5, top + thin + 0.05, f"B of {name}", ha="center", va="bottom", color=INK)
            away = left - GAP - thin - (thin + 0.06) * (name == "q")
            ax.add_patch(Rectangle((away, bottom), thin, 1, color=ORANGE, linewidth=0, snap=False))
    ax.text(left - GAP - 2 * thin - 0.14, bottom + 0.5, "A of q\nand of v", ha="right", va="center", color=INK)
    ax.set(xlim=(-1.05, 6.3), ylim=(-0.75, 4.1), aspect="equal")
    ax.axis("off")
    return fig
