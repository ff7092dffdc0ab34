"""One look for every plot of the course: readable when projected, colour-blind-safe, small when saved."""

import io

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart with any common colour blindness; the first two carry most plots.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
)
GREY = "#767676"
MARKS = {"✓": ("#00664B", "#E6F5F0"), "✗": ("#A34700", "#FDF0E6"), "○": ("#555", "#F2F2F2")}  # ink and paper
DPI = 80  # 8 inches are 640 pixels: a plot is 15-30 kB in a saved notebook

STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so pictures are the same on every machine
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE[:6]),
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "legend.fontsize": 13,
    "legend.frameon": False,
    "lines.linewidth": 2.2,
    "lines.markersize": 7,
    "image.cmap": "viridis",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.12,  # inches: no label touches the edge
    "figure.constrained_layout.h_pad": 0.06,
}


class CourseFigure(Figure):
    """A matplotlib figure that shows itself in a notebook as a small PNG, whichever backend is on.

    Its text form is its title, so a saved page can be compared and read without the picture.
    """

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": png(self), "text/plain": self.describe()}

    def describe(self) -> str:
        titles = [self.get_suptitle()] + [ax.get_title(loc) for ax in self.axes for loc in ("left", "center")]
        return "Figure: " + " | ".join(" ".join(title.split()) for title in titles if title)


def figure(title: str | None = None, *, rows: int = 1, columns: int = 1, size=(8, 4), grid: bool = True, **subplots):
    """A figure in the course's style and its axes: (fig, ax), or (fig, array of axes) for several.

    `title` states the plot's one message. `size` is in inches (80 pixels each); further arguments go to `subplots`.
    End a cell with `fig`, or return it from a function, to show it.
    """
    matplotlib.rcParams.update(STYLE)
    fig = CourseFigure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(fig)
    axes = fig.subplots(rows, columns, **subplots)
    for ax in fig.axes:
        ax.grid(grid)
    if title and rows * columns == 1:
        axes.set_title(title)
    elif title:
        fig.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=STYLE["axes.titlesize"])
    return fig, axes


def log_x(ax, ticks, labels=None) -> None:
    """Make the x axis logarithmic, marked at `ticks` alone: with their numbers, or with `labels`."""
    ax.set_xscale("log")
    ax.set_xticks(ticks, labels or [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def png(fig: Figure, dpi: int = DPI) -> bytes:
    """The figure as PNG bytes with at most 256 colours, about a third of the full-colour size."""
    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=dpi)
    return small_png(raw)


def small_png(picture, colours: int = 256) -> bytes:
    """PNG bytes with a palette of at most `colours`, from a file-like PNG or an (h, w, 3 or 4) uint8 array."""
    from PIL import Image  # a requirement of matplotlib, so always there

    image = (Image.open(picture) if hasattr(picture, "read") else Image.fromarray(picture)).convert("RGB")
    # A photograph would take every place in the palette and turn the lines grey: the course's colours come first,
    # and nothing too near to them (the nearest colour is looked up coarsely, and white must stay white).
    fixed = [tuple(bytes.fromhex(colour[1:])) for colour in (*PALETTE, GREY, "#FFFFFF")]
    found = image.quantize(colours - len(fixed)).getpalette()
    rest = zip(found[0::3], found[1::3], found[2::3], strict=True)
    far = [c for c in rest if all(max(abs(a - b) for a, b in zip(c, f, strict=True)) > 15 for f in fixed)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for colour in fixed + far for channel in colour])
    out = io.BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()
