"""Chapter 09's pictures, its widget and the recorded grid say what the numbers say."""

import copy

import pytest

from lorakit.chapters.merge_and_latency import grid as latency_grid
from lorakit.chapters.merge_and_latency import merge_plots, plots
from lorakit.chapters.merge_and_latency.contenders import METHODS, adapted, contenders, gpt2_of_size
from lorakit.chapters.merge_and_latency.explorer import latency_explorer
from lorakit.chapters.merge_and_latency.recorded import Cell, Recording, Times, recorded
from lorakit.core.errors import LoRAError
from lorakit.show.style import png
from lorakit.study.merge_error import Drift, LayerError, LogitError


def cell(phase="prefill", batch=1, length=16, size="124M", houlsby=1.2, noise=0.02):
    ratios = {"base": 1.0, "merged": 1.0, "unmerged": 1.05, "houlsby": houlsby, "pfeiffer": 1.1, "prefix": 0.99}
    jobs = {name: Times(10 * r, (9.0 * r, 11.0 * r), r, (r - 0.01, r + 0.01)) for name, r in ratios.items()}
    verdicts = {name: "slower" if r - 0.01 > 1 + noise else "noise" for name, r in ratios.items() if name != "base"}
    return Cell(size, phase, batch, length, 8, noise, jobs, verdicts)


@pytest.fixture
def grid():
    cells = (cell(), cell(batch=4, length=64, houlsby=1.04), cell("decode", 1, 64), cell(size="355M", length=128))
    return Recording({"device": "test"}, cells)


def test_the_title_compares_the_smallest_and_the_largest_work(grid):
    figure = plots.added_figure(grid, "124M")
    assert "Houlsby adds 20 % at 16 tokens, 4 % at 256 tokens" in figure.describe()
    assert png(figure).startswith(b"\x89PNG")
    assert "writing a token: Houlsby adds 20 % at 1 token" in plots.added_figure(grid, "124M", "decode").describe()


def test_the_papers_table_shows_what_was_measured_and_says_what_was_not(grid):
    lines = plots.paper_table(grid).splitlines()
    assert "32 × 512" in lines[1] and "not measured" in lines[1]
    assert "+30.3%" in lines[3] and "+20.0%" in lines[3] and "+10.0%" in lines[3]


def test_ranges_and_verdicts_are_counted(grid):
    cells = grid.of(phase="prefill")
    assert plots.range_words(cells, "houlsby") == "+4 to +20 %"
    assert plots.verdict_table(cells, "unmerged") == "3 × slower"
    assert plots.verdict_table(cells, "merged") == "3 × noise"


def test_ways_to_switch_are_compared_by_their_ratio():
    figure = plots.switch_figure({"set_adapter": 0.5, "merge, unmerge": 50.0})
    assert "merge, unmerge takes 100 × as long as set_adapter" in figure.describe()


def test_the_widget_shows_the_nearest_cell_and_says_so(grid):
    explorer = latency_explorer(grid)
    assert explorer.data["exact"] and "recorded: 124M, reading 1 × 16 tokens" in str(explorer)
    explorer.set(batch=4, length=64)
    assert explorer.data["exact"] and explorer.data["cell"].added("houlsby") == pytest.approx(0.04)
    explorer.set(size="355M")
    assert not explorer.data["exact"] and explorer.data["cell"].key == ("355M", "prefill", 1, 128)
    assert "not recorded; the nearest" in str(explorer)
    explorer.control("phase").value = "writing a token"
    assert explorer.data["cell"].phase == "decode" or explorer.data["asked"][1] == "decode"
    assert explorer.png().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no cells"):
        latency_explorer(Recording({}, ()))


def test_the_button_measures_the_chosen_cell(grid, monkeypatch):
    asked = []

    def measure(models, phase, batch, length, repeats, seconds):
        asked.append((phase, batch, length))
        raise KeyboardInterrupt

    monkeypatch.setattr("lorakit.chapters.merge_and_latency.contenders.gpt2_of_size", lambda size: size)
    monkeypatch.setattr("lorakit.chapters.merge_and_latency.contenders.contenders", lambda model: {"base": model})
    monkeypatch.setattr(latency_grid, "measure", measure)
    explorer = latency_explorer(grid)
    _ = explorer.widget
    with pytest.raises(KeyboardInterrupt):
        explorer.press()
    assert asked == [("prefill", 1, 16)] and not explorer.live
    assert not explorer.button.disabled, "the button comes back, whatever happened"


def test_a_recording_survives_its_file(grid, tmp_path):
    grid.write(tmp_path / "latency_x.json")
    again = recorded("x", tmp_path)
    assert again.cells == grid.cells and again.note == grid.note
    with pytest.raises(LoRAError, match="latency_y.json is missing"):
        recorded("y", tmp_path)


def test_the_recorded_grid_holds_every_cell_of_the_cpu():
    assert {cell.key for cell in recorded("cpu").cells} == set(latency_grid.cells_for("cpu"))


def test_contenders_share_the_base_and_compute_what_they_should(make_tiny):
    import torch

    base = make_tiny(seed=1, dropout=0.0).requires_grad_(False)
    ids = torch.arange(6)[None]
    everyone = contenders(base, ("merged", "unmerged"))
    assert set(everyone) == {"base", "merged", "unmerged"}
    expected = base(ids).logits
    for model in everyone.values():
        assert torch.allclose(model(ids).logits, expected, atol=1e-5), "fresh adapters add nothing"
    assert everyone["unmerged"].lm_head.weight.data_ptr() == base.lm_head.weight.data_ptr()
    with pytest.raises(LoRAError, match="method must be one of"):
        adapted(base, "nothing")
    with pytest.raises(LoRAError, match="size must be one of"):
        gpt2_of_size("1B")
    assert set(METHODS) == set(plots.LOOKS)


def test_a_cell_is_measured_and_a_recorded_one_is_not_measured_again(make_tiny, tmp_path, monkeypatch):
    base = make_tiny(seed=1, dropout=0.0).requires_grad_(False)
    made = []
    monkeypatch.setattr(latency_grid, "gpt2_of_size", lambda *a: made.append(a) or base)
    monkeypatch.setattr(latency_grid, "contenders", lambda model: {"base": model, "merged": copy.deepcopy(model)})
    cells = [("124M", "prefill", 1, 8), ("124M", "decode", 2, 8)]
    found = latency_grid.record(tmp_path / "x.json", cells, "cpu", "float32", 0.01, [])
    assert [c.key for c in found.cells] == cells and all(c.jobs["merged"].ms > 0 for c in found.cells)
    again = latency_grid.record(tmp_path / "x.json", cells, "cpu", "float32", 0.01, [])
    assert again.cells == found.cells and len(made) == 1
    with pytest.raises(LoRAError, match="was recorded with dtype"):
        latency_grid.record(tmp_path / "x.json", cells, "cpu", "float16", 0.01, [])
    with pytest.raises(LoRAError, match="phase must be"):
        latency_grid.measure({"base": base}, "sleep", 1, 8)


def test_merge_pictures_say_what_was_found():
    drifts = {"float32": [Drift(1, 0.1, 1e-8), Drift(100, 0.25, 1e-7)]}
    figure = merge_plots.drift_figure({**drifts, "bfloat16": drifts["float32"]}, "It grows", typical=0.05)
    assert figure.describe() == "Figure: It grows" and len(figure.axes[0].lines) == 3
    fine = LayerError("a", 1e-8, 2e-8, 1e-7, 1e-8, 4e-8)
    assert "the nearest comes to 50%" in merge_plots.bounds_figure({"float32": [fine, fine]}).describe()
    over = LayerError("a", 3e-8, 2e-8, 1e-7, 1e-8, 4e-8)
    assert "an error exceeds its bound" in merge_plots.bounds_figure({"float32": [fine, over]}).describe()
    table = merge_plots.logits_table({"bfloat16": LogitError(1000, 1e-2, 2e-2, 3e-2, 7)})
    assert "7 of 1,000" in table
