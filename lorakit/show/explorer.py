"""The base of the course's widgets: named controls → a pure function → a picture that redraws at once, and numbers.

matplotlib's layout is what makes live plots slow. Here a figure is laid out once; what never moves is kept as a
background, and a change draws only the moving artists over it (about 10 ms against 230 ms for a full redraw).
"""

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from lorakit.show.style import DPI, STYLE, small_png


@dataclass(frozen=True)
class Steps:
    """A slider over listed values, such as the powers of two or range(1, 9)."""

    label: str
    options: Sequence
    value: Any
    widget: ClassVar = "SelectionSlider"  # of ipywidgets


class Choice(Steps):
    """A menu."""

    widget = "Dropdown"


@dataclass(frozen=True)
class Toggle:
    """On or off."""

    label: str
    value: bool


class Explorer:
    """A widget made of four parts that a subclass fills in.

    `controls`           name → Steps, Choice or Toggle (set in `__init__`, before calling this one)
    `compute(**values)`  the numbers, from the controls' values alone; tested without any widget
    `draw(figure, data)` makes the axes and returns the artists that move
    `move(data)`         moves them; limits and ticks stay as they are. Left out, every change draws all anew: for menus
    `describe(data)`     the numbers in words: one line, or a few

    `explorer.set(rank=8)` moves a control from code, `explorer.control("rank")` is its ipywidget, `explorer.data` what
    `compute` returned last. Without a kernel or without ipywidgets the picture and the numbers still show.
    """

    size: ClassVar[tuple[float, float]] = (9, 4)  # inches, 80 pixels each
    colours: ClassVar[int] = 48  # of the saved picture; a colour scale needs more
    compute: Callable[..., Any]
    draw: Callable[[Figure, Any], list[Artist]]
    describe: Callable[[Any], str]

    def __init__(self, title: str, controls: dict):
        self.title, self.controls = title, controls
        self.values = {name: control.value for name, control in controls.items()}
        self._widgets = None
        matplotlib.rcParams.update(STYLE)
        self.figure = Figure(figsize=self.size, dpi=DPI)
        self._canvas = FigureCanvasAgg(self.figure)
        self.data = self.compute(**self.values)
        self._lay_out(self.data)

    # -- state

    def set(self, **values) -> "Explorer":
        """Move controls by name, recompute and redraw. A widget that is shown refuses what it does not offer."""
        self.values |= values
        self.data = self.compute(**self.values)
        self.move(self.data)
        if self._widgets:
            self._show()
        return self

    # -- the picture

    def move(self, data) -> None:
        self._lay_out(data)

    def _lay_out(self, data) -> None:
        """Draw and lay out the figure, then keep everything that does not move as the background."""
        self.figure.clear()
        self.figure.set_layout_engine("constrained")
        self._moving = list(self.draw(self.figure, data))
        self._canvas.draw()
        self.figure.set_layout_engine("none")
        # An image covers its frame, so the frames move along with the artists and are drawn after them.
        frames = [spine for ax in self.figure.axes for spine in ax.spines.values() if spine.get_visible()]
        self._moving += frames
        for artist in self._moving:
            artist.set_animated(True)
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(self.figure.bbox)

    def _pixels(self) -> np.ndarray:
        """The picture now: (height, width, 3) uint8."""
        self._canvas.restore_region(self._background)
        for artist in self._moving:
            self.figure.draw_artist(artist)
        return np.asarray(self._canvas.buffer_rgba())[..., :3]

    def live_png(self) -> bytes:
        """The picture for the live widget: quick to write rather than small."""
        out = io.BytesIO()
        Image.fromarray(self._pixels()).save(out, "png", compress_level=1)
        return out.getvalue()

    def png(self) -> bytes:
        """The picture for a page without a kernel: title above, numbers below, small."""
        width = self.size[0]
        parts = [
            _strip(self.title, width, weight="bold", size=STYLE["axes.titlesize"]),
            self._pixels().copy(),
            _strip(self.describe(self.data), width),
        ]
        return small_png(np.concatenate(parts), colours=self.colours)

    # -- the widget

    @property
    def widget(self):
        """The ipywidget: controls, picture, numbers. Raises ImportError without ipywidgets."""
        if self._widgets is None:
            self._widgets = self._build()
            self._show()
        return self._widgets["box"]

    def control(self, name: str):
        """The ipywidget of one control; assigning its `.value` acts as a user would, and raises what goes wrong."""
        _ = self.widget
        return self._widgets["controls"][name]

    def _build(self) -> dict:
        import ipywidgets as w

        toggles = [name for name, c in self.controls.items() if isinstance(c, Toggle)]
        others = {name: c for name, c in self.controls.items() if name not in toggles}
        wide = 8 * max((len(c.label) for c in others.values()), default=0)
        look = dict(style={"description_width": f"{wide + 8}px"}, layout=w.Layout(width=f"{wide + 340}px"))
        controls = {}
        for name, c in self.controls.items():
            said = dict(description=c.label, tooltip=c.label, value=self.values[name])  # with no tooltip it says "null"
            if name in toggles:
                beside = w.Layout(width="auto", margin="0 18px 0 0")
                controls[name] = w.Checkbox(**said, indent=False, layout=beside)
            else:
                controls[name] = getattr(w, c.widget)(**said, **look, options=c.options)
            controls[name].observe(lambda change, name=name: self._changed(name, change["new"]), "value")
        rows = [controls[name] for name, c in others.items() if len(c.options) > 1]  # one value is no choice
        if toggles:
            rows.append(w.HBox([controls[name] for name in toggles], layout=w.Layout(flex_flow="row wrap")))
        heading, numbers = w.HTML(f"<b style='font-size:16px'>{self.title}</b>"), w.HTML()
        picture = w.Image(format="png", width=int(self.size[0] * DPI), layout=w.Layout(max_width="100%"))
        box = w.VBox([heading, *rows, picture, numbers])
        return {"box": box, "controls": controls, "picture": picture, "numbers": numbers}

    def _changed(self, name: str, value) -> None:
        if self.values[name] != value:  # `set` writes to the controls too; do not answer our own change
            self.set(**{name: value})

    def _show(self) -> None:
        self._widgets["picture"].value = self.live_png()
        lines = escape(self.describe(self.data)).replace("\n", "<br>")
        look = "font-size:15px;line-height:1.5;overflow-wrap:anywhere"
        # A status: a screen reader says the numbers when a control has moved.
        self._widgets["numbers"].value = f"<div role='status' style='{look}'>{lines}</div>"
        for name, control in self._widgets["controls"].items():
            control.value = self.values[name]  # an unchanged value tells nobody

    def __str__(self) -> str:
        return f"{self.title}\n{self.describe(self.data)}"

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": str(self), "image/png": self.png()}
        try:
            return self.widget._repr_mimebundle_() | bundle
        except ImportError:
            return bundle


def _strip(text: str, width: float, size: float = STYLE["font.size"], weight: str = "normal") -> np.ndarray:
    """`text` as a strip of pixels `width` inches wide, wrapped: (height, width, 3) uint8."""
    columns = int(width * 125 / size)  # about what a line of this width holds
    lines = [row for line in text.splitlines() for row in textwrap.wrap(line, columns)]
    height = (len(lines) * size * 1.5 + 6) / 72
    strip = Figure(figsize=(width, height), dpi=DPI)
    canvas = FigureCanvasAgg(strip)
    strip.text(0.01, 0.5, "\n".join(lines), va="center", fontsize=size, fontweight=weight, linespacing=1.3)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
