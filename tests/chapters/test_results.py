"""Every recorded sweep is what `make results` declares: nothing is shown that was not run, and nothing is missing."""

import pytest

from lorakit.chapters.experiments import EXPERIMENTS
from lorakit.chapters.results import index
from lorakit.lab.json_lines import read
from lorakit.lab.old_records import RESULTS, select, value
from lorakit.lab.sweep import Run

NAMES = list(EXPERIMENTS)


@pytest.fixture(autouse=True)
def class_budget(monkeypatch):
    monkeypatch.setenv("LORAKIT_BUDGET", "class")


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_sweep_holds_exactly_the_declared_runs(name):
    rows = read(RESULTS / f"{name}.jsonl")
    experiment = EXPERIMENTS[name]
    found = [Run.of(row) for row in rows]
    assert len(set(found)) == len(found), "a run is recorded once"
    grid = experiment.grid()
    final = experiment.final([row for row in rows if Run.of(row) in set(grid) and "metrics" in row])
    assert set(found) == {*grid, *final}


@pytest.mark.parametrize("name", NAMES)
def test_every_record_has_what_a_reader_needs_to_do_it_again(name):
    for row in read(RESULTS / f"{name}.jsonl"):
        assert row["device"] and row["date"] and row["versions"]["torch"] and row["threads"] >= 1
        assert row["trainable"] > 0
        if "diverged" not in row:
            for split in ("validation", "test"):
                scores = row["metrics"][split]
                assert all(isinstance(score, float) and score >= 0 for score in scores.values())
            assert row["seconds"] > 0


@pytest.mark.parametrize("task", ["text_to_sql", "python"])
def test_the_rank_tables_have_three_seeds_at_every_rank(task):
    rows = [row for row in read(RESULTS / f"rank_{task}.jsonl") if "metrics" in row]
    for r in (1, 2, 4, 8, 64):
        rates = {row["run"]["lr"] for row in select(rows, method="lora", r=r)}
        assert any(len(select(rows, method="lora", r=r, lr=lr)) >= 3 for lr in rates), r
    assert len(select(rows, method="full")) >= 3


def test_curves_end_at_the_reported_validation_score():
    for row in read(RESULTS / "fine_tune.jsonl"):
        assert row["curve"]["step"][-1] == row["run"]["steps"] == len(row["curve"]["loss"])
        # the curve is validated in bf16, the final score in fp32: a few answers of 300 may differ
        assert row["curve"]["validation_execution"][-1] == pytest.approx(value(row, "validation.execution"), abs=0.02)


def test_the_index_of_the_results_is_up_to_date():
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == index(RESULTS)
