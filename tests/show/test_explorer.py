"""An explorer is thin: its numbers come from a pure function, and its controls raise what goes wrong."""

import sys

import pytest

from lorakit import show
from lorakit.show.explorer import Choice, Explorer, Steps, Toggle
from lorakit.show.sizes import readable

PNG = b"\x89PNG"


class Line(Explorer):
    """One of everything: y = slope · x, or its mirror image, in a colour."""

    def __init__(self):
        controls = {
            "slope": Steps("slope", range(1, 6), 1),
            "x": Steps("x", (1, 2, 4), 2),
            "colour": Choice("colour", ("black", "red"), "black"),
            "mirrored": Toggle("mirrored", False),
        }
        super().__init__("A line", controls)

    def compute(self, slope, x, colour, mirrored):
        return {"y": (-1 if mirrored else 1) * slope * x, "x": x, "colour": colour}

    def draw(self, figure, data):
        ax = figure.subplots()
        ax.set(xlim=(0, 5), ylim=(-25, 25))
        (self.line,) = ax.plot([0, data["x"]], [0, data["y"]], "o-")
        return [self.line]

    def move(self, data):
        self.line.set(xdata=[0, data["x"]], ydata=[0, data["y"]], color=data["colour"])

    def describe(self, data):
        return f"y = {data['y']}"


def test_a_slider_moves_the_numbers_and_the_picture():
    pytest.importorskip("ipywidgets")
    explorer = Line()
    picture, numbers = explorer.widget.children[-2:]
    before = picture.value
    explorer.control("slope").value = 3
    assert explorer.data["y"] == 6 and picture.value != before and "y = 6" in numbers.value


def test_setting_from_code_moves_every_kind_of_control():
    pytest.importorskip("ipywidgets")
    explorer, wanted = Line(), dict(slope=5, x=4, colour="red", mirrored=True)
    explorer.set(**wanted)
    assert {name: explorer.control(name).value for name in wanted} == wanted
    assert explorer.data["y"] == -20


def test_a_control_with_one_value_is_not_shown():
    pytest.importorskip("ipywidgets")
    explorer = Line()
    shown = len(explorer.widget.children)
    explorer.controls["x"], explorer._widgets = Steps("x", (2,), 2), None
    assert len(explorer.widget.children) == shown - 1 and explorer.data["x"] == 2


def test_an_error_in_the_numbers_is_raised_by_the_slider(monkeypatch):
    pytest.importorskip("ipywidgets")
    explorer = Line()
    slider = explorer.control("slope")
    monkeypatch.setattr(explorer, "compute", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        slider.value = 3


def test_without_ipywidgets_the_picture_stays(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert Line()._repr_mimebundle_()["image/png"].startswith(PNG)


def test_figure_shows_itself_small_and_names_its_message():
    fig, ax = show.figure("One message")
    ax.plot([1, 2], [3, 4])
    bundle = fig._repr_mimebundle_()
    assert bundle["image/png"].startswith(PNG) and len(bundle["image/png"]) < 30_000
    assert bundle["text/plain"] == "Figure: One message"
    fig, axes = show.figure("Two panels", columns=2)
    axes[0].set_title("left")
    assert fig.describe() == "Figure: Two panels | left"


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (4_718_592, "", "4.72M"),
        (174_563_733_504, "", "175B"),
        (37_748_736, "B", "37.7 MB"),
        (0, "", "0"),
        (999_999, "", "1M"),
    ],
)
def test_readable_numbers(number, unit, text):
    assert readable(number, unit) == text
