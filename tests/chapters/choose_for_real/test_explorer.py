"""The budget planner widget: its numbers are the planner's, in any order of the controls."""

from lorakit.chapters.choose_for_real.explorer import CARDS, PlanExplorer
from lorakit.study.parameters import SHAPES
from lorakit.study.plan import plan


def test_the_widget_shows_the_plan():
    explorer = PlanExplorer("GPT-3 13B").set(base="4-bit", r=16, targets="all", length=1024)
    found = plan(SHAPES["GPT-3 13B"], "4-bit", r=16, targets=("q", "k", "v", "o", "mlp"), batch=1, length=1024)
    assert explorer.data["plan"] == found
    assert f"{found.percent:.3g} %" in explorer.describe(explorer.data)
    assert explorer.data["cards"] == {card: found.peak <= card * 1e9 for card in CARDS}


def test_every_choice_of_every_control_can_be_drawn():
    explorer = PlanExplorer("nano")
    for name, control in explorer.controls.items():
        for value in getattr(control, "options", (True, False)):
            data = explorer.set(**{name: value}).data
            assert data["plan"].peak > 0 and data["plan"].peak < data["full"]
        explorer.set(**{name: control.value})
    assert explorer.png()[:4] == b"\x89PNG"


def test_a_row_is_cut_to_the_context():
    assert PlanExplorer("nano").set(length=4096).data["length"] == 256
