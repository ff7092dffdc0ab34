"""Chapter 12's table and widget: each variant at its own rate, beside LoRA and beside LoRA's rate."""

from dataclasses import asdict, replace

import pytest

from lorakit.chapters.variants import step_time, table
from lorakit.chapters.variants.experiments import fair_and_careless, variants
from lorakit.chapters.variants.explorer import RateExplorer
from lorakit.chapters.variants.plots import lead_figure
from lorakit.chapters.variants.table import LORA, TWICE, VARIANTS
from lorakit.core.errors import LoRAError
from lorakit.lab import records
from lorakit.lab.sweep import Run
from tests.support.tiny_sweep import letters
from tests.support.training_runs import TOKENIZER

BITS = {"pissa": 2.6, "dora": 2.4, "lora": 2.5}  # at the best rate, the one that each search begins with


def row(run: Run) -> dict:
    (start,) = (each.lr for each in variants() if replace(each, lr=run.lr, seed=run.seed) == run)
    bits = BITS.get(run.method, 2.7) + 0.1 * (run.lr != start) + 0.001 * run.seed
    scores = {split: {"bits_per_byte": bits, "loss": bits} for split in ("validation", "test")}
    more = {"trainable": 40_960, "seconds": 1.0}
    return {"run": asdict(run) | {"targets": list(run.targets)}, "metrics": scores | {"last_loss": 1.0}} | more


@pytest.fixture
def runs(monkeypatch):
    """Made-up records of the whole sweep."""
    monkeypatch.setenv("LORAKIT_BUDGET", "class")
    monkeypatch.setattr(table, "recorded_times", lambda: {LORA: 1.0, "DoRA": 1.25})
    rows: list[dict] = []
    while missing := [run for run in fair_and_careless(rows) if run not in {Run.of(row) for row in rows}]:
        rows += map(row, missing)
    return records.frame(rows)


def test_the_table_has_each_at_its_own_rate_and_at_loras(runs):
    found = table.fair_table(runs)
    assert list(found.index) == [LORA, *VARIANTS, TWICE]
    assert found["rate"].to_dict() == dict(
        zip(found.index, [1e-2, 1e-2, 1e-3, 1e-3, 1e-2, 3e-2, 1e-1, 1e-2], strict=True)
    )
    assert found.loc["DoRA", "gain"] == pytest.approx(100 * 0.1 / 2.501)
    assert found.loc["DoRA", "low"] < found.loc["DoRA", "gain"] < found.loc["DoRA", "high"]
    assert found.loc["PiSSA", "careless"] == pytest.approx(-100 * 0.2 / 2.501)
    assert found.loc["rsLoRA", "gain"] == 0 and found.loc[LORA, ["gain", "low", "high"]].eq(0).all()
    assert found.loc["DoRA", "step"] == 1.25
    neutral = table.neutral_table(found)
    assert neutral.loc["DoRA"].tolist() == [4.0, -0.9] and neutral["PEFT's, points"].isna().sum() == 2


def test_the_widget_names_who_wins_at_a_rate(runs):
    explorer = RateExplorer(runs, "who wins?")
    assert explorer.set(lr="0.001").data["bits"].index[0] == "PiSSA"
    assert explorer.set(lr="0.01").data["bits"].index[0] == "DoRA"
    assert "each at its own rate: DoRA 2.40 · " in str(explorer)
    assert lead_figure(table.fair_table(runs), "a title").describe() == "Figure: a title"


def test_the_steps_that_are_timed_train(monkeypatch, make_tiny):
    monkeypatch.setattr(step_time, "load_base", lambda name, device: (make_tiny(seed=1, dropout=0.0), TOKENIZER))
    monkeypatch.setitem(step_time.TASKS, "python", letters)
    small = [replace(run, r=min(run.r, 16)) for run in variants()]  # VeRA's 1,024 would take a wider model
    monkeypatch.setattr(step_time, "variants", lambda: small)
    found = step_time.measure(repeats=2)
    assert set(found.jobs) == {LORA, *VARIANTS, f"{LORA}, again"}


def test_a_variant_that_is_not_there_is_refused():
    with pytest.raises(LoRAError, match="method must be among"):
        replace(variants()[0], method="lora_xs")
