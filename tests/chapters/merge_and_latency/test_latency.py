"""Chapter 09's pictures, its widget and the recorded grid say what the numbers say."""

import copy

import pandas as pd
import pytest
import torch

from lorakit.chapters.merge_and_latency import explorer as latency_widget
from lorakit.chapters.merge_and_latency import grid as latency_grid
from lorakit.chapters.merge_and_latency import plots
from lorakit.chapters.merge_and_latency.contenders import METHODS, adapted, contenders
from lorakit.core.errors import LoRAError
from lorakit.show.style import png
from lorakit.study.latency import Comparison, Latency


def cell(phase="prefill", batch=1, length=16, size="124M", houlsby=1.2):
    """A cell as it is recorded: 1 % of noise, and each ratio the same in every round."""
    ratios = {"base": 1.0, "merged": 1.0, "unmerged": 1.05, "houlsby": houlsby, "pfeiffer": 1.1, "prefix": 0.9}
    jobs = {name: Latency((r / 100,) * 4, (r,) * 4) for name, r in (ratios | {"base, again": 1.01}).items()}
    return latency_grid.cell_of((size, phase, batch, length), Comparison("base", jobs))


@pytest.fixture
def grid():
    cells = [cell(), cell(batch=4, length=64, houlsby=1.04), cell("decode", 1, 64), cell(size="355M", length=128)]
    return latency_grid.frame([*cells, cell("decode", size="355M")])


def test_the_grid_has_a_row_for_each_method_in_each_cell(grid):
    assert len(grid) == 5 * 6
    row = grid.query("method == 'houlsby' and batch == 4").iloc[0]
    assert row[["added", "low", "high", "noise", "ms"]].tolist() == pytest.approx([4, 4, 4, 1, 10.4])
    assert row["tokens"] == 256 and row["verdict"] == "slower"
    assert set(grid.query("phase == 'decode'")["tokens"]) == {1}


def test_the_title_counts_the_batches_where_a_method_is_slower(grid):
    figure = plots.added_figure(grid, "124M")
    assert "merged LoRA in 0 of 2 batches, Houlsby in 2" in figure.describe()
    assert png(figure).startswith(b"\x89PNG")


def test_the_widget_shows_the_nearest_cell_and_says_so(grid):
    explorer = latency_widget.LatencyExplorer(grid)
    assert "recorded: 124M, reading 1 × 16 tokens: the base takes 10.0 ms" in str(explorer)
    explorer.set(batch=4, length=64)
    assert explorer.data["key"] == explorer.data["asked"] and explorer.data["cell"].loc["houlsby", "added"] < 5
    explorer.set(size="355M")
    assert explorer.data["key"] == ("355M", "prefill", 1, 128) and "not recorded; the nearest" in str(explorer)
    explorer.control("phase").value = "writing a token"
    assert explorer.data["key"] == ("355M", "decode", 1, 16)


def test_the_button_measures_the_chosen_cell(grid, monkeypatch):
    asked = []

    def measure(models, phase, batch, length, repeats, seconds):
        asked.append((models, phase, batch, length))
        jobs = {name: Latency((0.5,) * 4, (1.5,) * 4) for name in ("base", *METHODS, "base, again")}
        return Comparison("base", jobs)

    monkeypatch.setattr(latency_widget, "gpt2_of_size", lambda size: size)
    monkeypatch.setattr(latency_widget, "contenders", lambda model: model)
    monkeypatch.setattr(latency_widget, "measure", measure)
    explorer = latency_widget.LatencyExplorer(grid)
    _ = explorer.widget
    before = explorer.png()
    explorer.press()
    assert asked == [("124M", "prefill", 1, 16)]
    assert "★ measured here: the base 500.0 ms" in str(explorer) and explorer.png() != before
    assert "★" not in str(explorer.set(batch=4)), "another cell was not measured"


def test_the_recorded_grid_holds_every_cell():
    found = latency_grid.recorded()
    wanted = {(size, *key) for size, keys in latency_grid.CELLS.items() for key in keys}
    assert set(found.groupby(latency_grid.KEY).groups) == wanted
    assert set(found["method"]) == {"base", *METHODS} == {"base", *plots.LOOKS}


def test_contenders_share_the_base_and_compute_what_they_should(make_tiny):
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


def test_cells_are_measured_as_they_are_recorded(make_tiny, monkeypatch):
    base = make_tiny(seed=1, dropout=0.0).requires_grad_(False)
    monkeypatch.setattr(latency_grid, "gpt2_of_size", lambda size: base)
    monkeypatch.setattr(latency_grid, "contenders", lambda model: {"base": model, "merged": copy.deepcopy(model)})
    monkeypatch.setattr(latency_grid, "CELLS", {"124M": [("prefill", 1, 8), ("decode", 2, 8)]})
    found = latency_grid.frame(latency_grid.measured(0.01))
    assert found["phase"].tolist() == ["prefill"] * 2 + ["decode"] * 2 and (found["ms"] > 0).all()


def test_merge_pictures_say_what_was_found():
    drifts = {"float32": pd.DataFrame({"rounds": [1, 100], "largest": [1e-8, 1e-7]})}
    figure = plots.drift_figure(drifts, "It grows", typical=0.05)
    assert figure.describe() == "Figure: It grows" and len(figure.axes[0].lines) == 2
    fine, over = (pd.DataFrame({"error": [1e-8, error], "bound": [2e-8, 2e-8]}) for error in (1e-9, 3e-8))
    assert "at most 50%" in plots.bounds_figure({"float32": fine}).describe()
    assert "an error exceeds its bound" in plots.bounds_figure({"float32": over}).describe()
