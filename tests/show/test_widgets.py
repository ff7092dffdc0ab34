"""Widgets are thin: their numbers come from pure functions, and their controls raise what goes wrong."""

import sys

import pytest
import torch

from lorakit import show
from lorakit.chapters.lora_layer.explorer import alpha_rank_explorer
from lorakit.chapters.matrix_rank.explorer import rank_explorer, rank_steps
from lorakit.show.target_picker import count_choice, readable
from lorakit.study.parameters import SHAPES
from lorakit.study.scaling import example_factors, scaling, unit_size

PNG = b"\x89PNG"


def make_weight():
    W = torch.randn(24, 36, generator=torch.Generator().manual_seed(0))
    return rank_explorer(W, "A weight")


def make_all():
    return {
        "image": rank_explorer(show.portrait(60), "An image"),
        "weight": make_weight(),
        "alpha": alpha_rank_explorer(),
        "targets": show.target_picker(),
    }


@pytest.fixture(scope="module")
def explorers():
    return make_all()


@pytest.mark.parametrize("name", ["image", "weight", "alpha", "targets"])
def test_shows_picture_numbers_and_widget(explorers, name):
    pytest.importorskip("ipywidgets")
    bundle = explorers[name]._repr_mimebundle_()
    assert bundle["image/png"].startswith(PNG) and len(bundle["image/png"]) < 80_000
    assert bundle["text/plain"] == str(explorers[name])
    assert "application/vnd.jupyter.widget-view+json" in bundle


@pytest.mark.parametrize("name", ["image", "weight", "alpha", "targets"])
def test_moving_a_control_and_back_gives_the_same_picture(explorers, name):
    explorer = explorers[name]
    control, there = {"alpha": ("r", 64), "targets": ("r", 256)}.get(name, ("rank", 2))
    before, back = explorer.png(), explorer.values[control]
    explorer.set(**{control: there})
    assert explorer.png() != before
    explorer.set(**{control: back})
    assert explorer.png() == before


def test_a_slider_moves_the_numbers_and_the_picture():
    pytest.importorskip("ipywidgets")
    explorer = make_weight()
    slider, picture = explorer.control("rank"), explorer.widget.children[-2]
    before = picture.value
    slider.value = 3
    assert explorer.data.rank == 3 and explorer.data.stored == 3 * (24 + 36)
    assert picture.value != before and "r = 3" in explorer.widget.children[-1].value


def test_setting_from_code_moves_the_slider():
    pytest.importorskip("ipywidgets")
    explorer = alpha_rank_explorer()
    explorer.set(r=16, alpha=32)
    assert (explorer.control("r").value, explorer.control("alpha").value) == (16, 32)
    assert explorer.data["now"].scaling == 2


def test_an_error_in_the_numbers_is_raised_by_the_slider(monkeypatch):
    pytest.importorskip("ipywidgets")
    explorer = make_weight()
    slider = explorer.control("rank")
    monkeypatch.setattr(explorer, "compute", lambda rank: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        slider.value = 3


def test_values_out_of_range_are_refused(explorers):
    with pytest.raises(ValueError, match="rank must be one of"):
        explorers["weight"].set(rank=999)
    with pytest.raises(ValueError, match="no control 'alpha'"):
        explorers["weight"].set(alpha=1)
    with pytest.raises(ValueError, match="kind"):
        rank_explorer(torch.eye(3), "?", kind="photo")


def test_every_control_has_a_label_a_screen_reader_can_say(explorers):
    pytest.importorskip("ipywidgets")
    for explorer in explorers.values():
        for name in explorer.controls:
            assert explorer.control(name).description


def test_without_ipywidgets_the_picture_stays_and_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    explorer = make_weight()
    bundle = explorer._repr_mimebundle_()
    assert bundle["image/png"].startswith(PNG) and "pip install ipywidgets" in bundle["text/plain"]
    with pytest.raises(ImportError, match="pip install ipywidgets"):
        _ = explorer.widget


def test_rank_steps_end_at_the_full_rank():
    assert rank_steps(5) == (1, 2, 3, 4, 5)
    assert rank_steps(768)[-2:] == (640, 768)


def test_picker_counts_what_the_paper_counts():
    data = count_choice(SHAPES["GPT-3 175B"], ["q", "v"], 4)
    assert data["total"] == 18_874_368 and data["fp16"] == 37_748_736
    assert data["percent"] == pytest.approx(0.0108, abs=1e-4)


def test_fusing_replaces_the_slices_where_there_is_a_fused_projection():
    fused = count_choice(SHAPES["gpt2"], ["q", "v", "mlp"], 8, fused=True)
    assert list(fused["counts"]) == ["c_attn", "mlp"]
    apart = count_choice(SHAPES["GPT-3 175B"], ["q", "v"], 8, fused=True)
    assert list(apart["counts"]) == ["q", "v"] and apart["no c_attn"]
    assert count_choice(SHAPES["gpt2"], ["o"], 8, fused=True)["counts"].keys() == {"o"}


def test_picker_says_what_to_do_when_nothing_is_chosen():
    picker = show.target_picker().set(q=False, v=False)
    assert "tick a target" in str(picker)


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


def test_scaling_rules_in_closed_form():
    assert scaling(16, 8) == 2 and scaling(16, 64, use_rslora=True) == 2
    with pytest.raises(ValueError, match="at least 1"):
        scaling(16, 0)


def test_update_size_equals_the_dense_update():
    B, A, x = example_factors("random", d=12, R=4)
    size = unit_size([(B, A, x)], r=4).scaled(scaling(8, 4))
    delta = 2 * B @ A
    assert size.norm == pytest.approx(float(torch.linalg.norm(delta)), rel=1e-5)
    assert size.output_change == pytest.approx(float((x @ delta.T).square().mean().sqrt()), rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "rslora", "growth"), [("random", True, 1), ("aligned", False, 1), ("random", False, 1 / 8)]
)
def test_which_rule_keeps_the_update_steady_depends_on_the_directions(kind, rslora, growth):
    draws = [example_factors(kind, seed=seed) for seed in range(24)]
    one, many = (unit_size(draws, r).scaled(scaling(16, r, rslora)).output_change for r in (1, 64))
    assert many / one == pytest.approx(growth, rel=0.35)


def test_figure_shows_itself_small_and_names_its_message():
    fig, ax = show.figure("One message")
    ax.plot([1, 2], [3, 4])
    bundle = fig._repr_mimebundle_()
    assert bundle["image/png"].startswith(PNG) and len(bundle["image/png"]) < 30_000
    assert bundle["text/plain"] == "Figure: One message"
    fig, axes = show.figure("Two panels", columns=2)
    axes[0].set_title("left")
    assert fig.describe() == "Figure: Two panels | left"
