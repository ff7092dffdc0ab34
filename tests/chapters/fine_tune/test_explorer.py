"""The memory widget is a thin view over the prediction: its bars add up to the peaks it names."""

import pytest

from lorakit.chapters.fine_tune.explorer import PARTS, compare_memory, memory_explorer
from lorakit.chapters.fine_tune.plots import course, in_megabytes
from lorakit.study.memory_measured import Measured
from lorakit.study.parameters import Decoder

TINY = Decoder(2, 64, 2, 300, 128, 256)
HOW = dict(r=4, targets=("q", "v"), dtype="fp32", optimizer="adamw")


@pytest.fixture(scope="module")
def explorer():
    return memory_explorer()


def width(explorer, method):
    return sum(explorer.bars[method, part].get_width() for part in PARTS)


def test_the_bars_add_up_to_the_share(explorer):
    for settings in (dict(model="nano", batch=8, length=64), dict(model="GPT-3 175B", batch=1, length=2048)):
        explorer.set(**settings)
        assert width(explorer, "full") == pytest.approx(100)
        assert width(explorer, "lora") == pytest.approx(100 * explorer.data["share"])
        assert explorer.data["share"] == explorer.data["lora"].peak / explorer.data["full"].peak


def test_a_third_needs_adamw_and_few_tokens(explorer):
    explorer.set(model="gpt2", dtype="fp32", optimizer="AdamW", batch=1, length=16)
    assert "less than a third" in str(explorer)
    explorer.set(optimizer="SGD")
    assert "more than a third" in str(explorer)
    explorer.set(optimizer="AdamW", batch=128, length=1024)
    assert "more than a third" in str(explorer) and explorer.data["share"] > 0.6


def test_a_row_is_no_longer_than_the_context():
    assert compare_memory(TINY, batch=1, length=2048, **HOW)["length"] == 128


def test_picture_numbers_and_widget(explorer):
    pytest.importorskip("ipywidgets")
    bundle = explorer._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG") and len(bundle["image/png"]) < 40_000
    assert bundle["text/plain"] == str(explorer)
    before = explorer.widget.children[-2].value
    explorer.control("optimizer").value = "SGD with momentum"
    assert explorer.values["optimizer"] == "SGD with momentum" and explorer.widget.children[-2].value != before
    for name in explorer.controls:
        assert explorer.control(name).description


def test_moving_and_back_gives_the_same_picture(explorer):
    before, r = explorer.png(), explorer.values["r"]
    model = explorer.values["model"]
    explorer.set(model="gpt2-xl", r=64)
    assert explorer.png() != before
    explorer.set(model=model, r=r)
    assert explorer.png() == before


def test_a_course_is_drawn_in_four_layers_that_end_at_the_peak():
    parts = dict(weights=100, gradients=0, optimizer=50, activations=40, all_gradients=10, kept=30)
    phases = {"forward": (0.0, 1.0), "backward": (1.0, 3.0), "optimizer": (3.0, 4.0)}
    measured = Measured(
        **parts, times=(0.0, 1.0, 3.0, 4.0), live=(150, 190, 160, 150), grown=(0, 0, 10, 0), phases=phases
    )
    fig = course({"full": measured, "LoRA": measured}, "Up and down")
    assert len(fig.axes) == 2 and all(len(ax.collections) == 4 for ax in fig.axes)
    assert fig.axes[0].get_ylim()[1] * 1e6 >= measured.peak
    assert "Up and down" in fig.describe()


def test_the_table_sets_predicted_beside_measured():
    parts = dict(weights=2_000_000, gradients=0, optimizer=0, activations=2_000_000, all_gradients=0, kept=0)
    text = in_megabytes({"LoRA": (Measured(**parts), Measured(**parts | {"activations": 1_000_000}))})
    assert "LoRA" in text and "+33.3 %" in text and "4.0" in text and "3.0" in text
