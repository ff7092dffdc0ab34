"""Sweeps: what a record holds, that finished runs are not done again, and what happens when one fails."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import lorakit as lk
from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.lab import json_lines, records, sweep
from lorakit.lab.sweep import Run, run_one
from tests.support.processes import at_once
from tests.support.tiny_sweep import LORA, letters, shrink


@pytest.fixture
def small(monkeypatch, make_tiny, tiny_tokenizer):
    return shrink(monkeypatch, make_tiny, tiny_tokenizer)


def test_a_record_says_what_was_run_and_what_came_out_and_so_does_a_second_one(small):
    row = run_one(LORA, progress=False)
    assert Run.of(json.loads(json.dumps(row))) == LORA, "a record leads back to its run, through JSON too"
    assert row["trainable"] == 2 * 2 * 2 * (32 + 32)
    assert set(row["metrics"]) == {"validation", "test", "last_loss"}
    assert set(row["metrics"]["test"]) == {"execution", "loss"}
    assert "CPU" in row["device"] and row["versions"]["torch"] and row["seconds"] > 0
    assert run_one(LORA, progress=False)["metrics"] == row["metrics"]
    assert run_one(replace(LORA, seed=1), progress=False)["metrics"] != row["metrics"]


def test_full_fine_tuning_trains_everything(small):
    assert run_one(replace(LORA, method="full"), progress=False)["trainable"] > 30_000


def test_a_finished_run_is_not_done_again_and_an_interrupted_sweep_goes_on(small, tmp_path, monkeypatch):
    runs = [replace(LORA, seed=seed) for seed in range(3)]
    file = tmp_path / "rows.jsonl"

    def stops_at_the_third(run, **options):
        if run.seed == 2:
            raise KeyboardInterrupt
        return run_one(run, **options)

    monkeypatch.setattr(sweep, "run_one", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(runs, file, progress=False)
    assert len(json_lines.read(file)) == 2
    monkeypatch.setattr(sweep, "run_one", run_one)
    rows = sweep.sweep(runs, file, progress=False)
    assert [row["run"]["seed"] for row in rows] == [0, 1, 2] and len(small) == 3
    assert sweep.sweep(runs, file, progress=False) == [json.loads(json.dumps(row)) for row in rows]


def test_a_broken_line_that_is_not_the_last_is_an_error(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('nonsense\n{"run": 1}\n')
    with pytest.raises(LoRAError, match="line 1 is not JSON"):
        json_lines.read(file)


def append_fifty(writer: int, file: Path) -> None:
    for n in range(50):
        json_lines.append(file, {"writer": writer, "n": n})


def test_two_processes_that_append_to_one_file_lose_no_record(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"writer":')  # a killed process has been here
    at_once(append_fifty, 2, file)
    rows = json_lines.read(file)
    assert sorted((row["writer"], row["n"]) for row in rows) == [(w, n) for w in range(2) for n in range(50)]


def test_a_file_that_cannot_be_written_is_found_before_the_first_run(small, tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(LoRAError, match="choose another file"):
        sweep.sweep([LORA], tmp_path / "folder" / "rows.jsonl", progress=False)
    assert small == []


def test_a_diverged_run_is_recorded_with_its_reason_and_not_done_again(small, tmp_path):
    diverges = replace(LORA, lr=1e30, steps=4)
    row, _ = sweep.sweep([diverges, LORA], tmp_path / "one.jsonl", progress=False)
    assert "learning rate" in row["diverged"] and "metrics" not in row
    assert records.frame(json_lines.read(tmp_path / "one.jsonl"))["lr"].tolist() == [1e-2]
    assert sweep.sweep([diverges], tmp_path / "one.jsonl", progress=False)[0]["diverged"] and len(small) == 2


def test_an_adapter_can_be_kept_and_loaded(small, tmp_path, make_tiny):
    run_one(LORA, keep=tmp_path / "sql", progress=False)
    model = make_tiny(seed=1)
    lk.load_adapter(model, tmp_path / "sql", name="sql")
    assert list(lk.adapter_names(model)) == ["sql"]


@pytest.mark.parametrize("wrong", [{"task": "chess"}, {"method": "magic"}, {"measure": ("weight",)}])
def test_a_run_of_what_does_not_exist_is_refused(wrong):
    ((name, _),) = wrong.items()
    with pytest.raises(LoRAError, match=f"{name} must be among .*, got (chess|magic|weight)"):
        replace(LORA, **wrong)


def test_truncation_at_rank_0_is_the_base_and_everything_is_the_trained_model(small, make_tiny, tiny_tokenizer):
    everything = ("truncation", "spectra", "low_rank")
    measured = replace(LORA, method="full", task="python", measure=everything, lr=1e-2, steps=4)
    row = run_one(measured, progress=False)
    by_rank = {point["k"]: point["loss"] for point in row["truncation"]}
    base = lab.mean_loss(make_tiny(seed=1), tiny_tokenizer, letters().test)
    assert by_rank[0] == pytest.approx(base, rel=1e-5)
    assert by_rank[None] == pytest.approx(row["metrics"]["test"]["loss"], rel=1e-5)
    assert by_rank[256] == pytest.approx(by_rank[None], rel=0.05) and by_rank[256] != by_rank[None], "the biases moved"
    assert by_rank[32] == by_rank[256], "no matrix here has more than 32 directions"
    few = {point["k"]: point["loss"] for point in row["low_rank"]["cut"]}
    assert few == pytest.approx(by_rank, rel=1e-4), "the same curve, where there are 64 examples or fewer"
    of_W, of_delta = {name: ranks for name, *ranks in row["low_rank"]["rank90"]}["transformer.h.0.attn.c_attn.weight"]
    assert 1 <= of_delta <= 32 and 1 <= of_W <= 32
    lengths = {name: len(found["delta"]) for name, found in row["spectra"].items()}
    assert lengths["transformer.h.0.attn.c_attn.weight"] == 32 and not any("bias" in name for name in lengths)
