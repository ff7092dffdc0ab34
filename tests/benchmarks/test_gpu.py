"""`python3 -m benchmarks.gpu`: every part runs, on a tiny shape, and what it leaves out is in the result."""

import json
import math
import multiprocessing
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import sweep, training
from benchmarks.gpu import tests as gpu_tests
from benchmarks.gpu.__main__ import PARTS, main, run
from benchmarks.gpu.cells import Budget, measured
from benchmarks.gpu.sizes import PAPER, TINY
from lorakit.lab.bases.shapes import random_gpt2

ROOT = Path(__file__).resolve().parents[2]
HEAD = {"what", "command", "device", "cuda", "threads", "versions", "date", "budget_s", "seconds", "rows"}


@pytest.fixture
def tiny_run(tmp_path):
    """Run one part as the command does; its rows, in which nothing is missing."""

    def rows(part, *fields):
        assert not run(part, "cpu", True, 1000.0, tmp_path)
        result = json.loads((tmp_path / f"gpu_{part}.json").read_text())
        assert set(result) == HEAD and result["device"] and result["versions"]["torch"]
        for row in result["rows"]:
            assert "not_done" not in row and set(fields) <= set(row), row
            assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))
        return result["rows"]

    return rows


@pytest.mark.parametrize("part, jobs", [
    ("latency", {"base", "merged", "unmerged", "houlsby", "pfeiffer", "prefix"}),
    ("mixed", {"base", "one adapter", "mixed", "peft mixed"}),
])  # fmt: skip
def test_every_job_is_timed_in_every_phase(tiny_run, part, jobs):
    rows = tiny_run(part, "ms", "quartiles_ms", "ratio", "noise")
    expected = {(job, phase) for job in jobs for phase in ("prefill", "decode")}
    assert {(row["job"], row["phase"]) for row in rows} == expected and all(row["ms"] > 0 for row in rows)


def test_memory_has_both_peaks_at_each_precision(tiny_run):
    rows = tiny_run("memory", "mib", "trained", "predicted_mib")
    assert [row["precision"] for row in rows[::2]] == ["fp32", "bf16", "autocast"]
    for full, lora in zip(rows[::2], rows[1::2], strict=True):
        assert lora["ratio"] == pytest.approx(lora["mib"] / full["mib"], rel=1e-3) and lora["ratio"] < 1


def test_training_compares_lorakit_peft_the_base_and_full_compiled_or_not(tiny_run, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **how: model)  # it takes seconds: the next test compiles
    rows = tiny_run("training", "ms", "ratio", "interval", "noise")
    names = {"base", "lorakit", "peft", "full"}
    adamw = {f"{name}, AdamW" for name in names - {"base"}}
    assert {row["job"] for row in rows if not row["compiled"]} == names | adamw
    compiled = {row["job"]: row for row in rows if row["compiled"]}
    expected = {"base", "lorakit", "peft", "lorakit, not compiled"}
    assert set(compiled) == expected and compiled["lorakit"]["compile_s"] > 0
    first = next(row for row in rows if row["job"] == "lorakit")
    assert first["same_logits_within"] < 1e-3 and first["over_peft"] > 0
    assert first["tokens_per_s"] == pytest.approx(1e3 * 2 * 16 / first["ms"], rel=1e-3)


def test_the_tests_are_counted_by_folder_and_a_failed_one_leaves_its_log(tmp_path, monkeypatch):
    place = tmp_path / "tests" / "core"
    place.mkdir(parents=True)
    (place / "test_new.py").write_text("def test_a(): pass\ndef test_b(): assert 1 == 2\n")
    monkeypatch.setattr("benchmarks.gpu.tests.ROOT", tmp_path)
    *rows, log = gpu_tests.rows("cpu", replace(TINY, tests=("tests/core",)), Budget(60))
    assert rows == [{"folder": "core", "passed": 1, "skipped": 0, "failed": 1}]
    assert log["not_done"] == "failed: see log" and any("assert 1 == 2" in line for line in log["log"])
    (row,) = gpu_tests.rows("cpu", replace(TINY, tests=("tests/core",)), Budget(0.01))
    assert row["not_done"].startswith("cut off after") and row["not_done"].endswith("before a test had ended")


def test_by_hand_and_lorakit_train_alike_and_leave_the_base_alone(tiny_run):
    mine, theirs = tiny_run("by_hand", "seconds", "first_loss", "right", "asked")
    assert mine["first_loss"] == pytest.approx(theirs["first_loss"]) and mine["apart"] < 1e-4
    assert mine["base_same"] and theirs["base_same"]


def test_a_sweep_gives_a_row_for_each_run_and_says_how_many_there_was_no_time_for(tiny_run):
    rows = tiny_run("sweep", "execution", "metrics", "seconds")
    assert {row["method"] for row in rows} == {"lora", "full"}
    assert list(sweep.rows("cpu", TINY, Budget(-1))) == [{"not_done": "2 runs: no time left"}]
    wanted = sweep.wanted(PAPER)
    assert len(wanted) == 50 and [run.seed for run in wanted[:10]] == [0] * 10


def test_the_model_with_adapters_is_compiled_as_one_graph():
    models = training.contestants(random_gpt2(TINY.shapes["tiny"], dropout=0.0))
    tokens = torch.randint(300, (2, 16), generator=torch.Generator().manual_seed(0))
    step = partial(training.training_step, tokens=tokens)
    _, said = training.compiled_jobs({"lorakit": models["lorakit"].train()}, step, "eager")
    assert said["lorakit"]["graphs"] == 1 and said["lorakit"]["graph_breaks"] == 0


def test_a_cell_without_time_out_of_memory_or_failing_says_so_and_the_next_is_measured(capsys):
    now = [0.0]
    errors = {
        "large": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB"),
        "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        "broken": ValueError("no\nsuch thing"),
    }

    def measure(cell, seconds):
        now[0] += 10
        if cell["name"] in errors:
            raise errors[cell["name"]]
        return [{"value": seconds}]

    names = (*errors, "good", "slow to begin", "late")
    least = lambda cell: 25 if cell["name"] == "slow to begin" else 1  # noqa: E731
    rows = list(measured([{"name": name} for name in names], Budget(60, lambda: now[0]), measure, least, longest=9))
    assert [row.get("not_done") for row in rows] == [
        "out of memory", "out of memory", "failed: ValueError: no", None, "no time left of the part's 60 s", None
    ]  # fmt: skip
    assert rows[3] == {"name": "good", "value": 9} and rows[5]["value"] == 9
    assert "ValueError" in capsys.readouterr().err, "and the traceback is on stderr"


def test_without_a_gpu_or_with_a_wrong_part_the_command_says_so_and_exits_with_2(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("benchmarks.gpu.__main__.no_cuda", lambda device: True)
    monkeypatch.setattr("benchmarks.gpu.__main__.WAYS", ["fork"])
    assert main(["--out", str(tmp_path)]) == 2 and not list(tmp_path.iterdir())
    said = capsys.readouterr().err
    assert said == "PyTorch finds no CUDA GPU here: --tiny shows on the CPU that everything runs\n"
    with pytest.raises(SystemExit, match="2"):
        main(["speed"])
    assert "no part named speed; there are tests, latency, " in capsys.readouterr().err


def test_a_part_that_fails_or_is_cut_off_keeps_what_it_measured(monkeypatch, tmp_path):
    def broken(error, *args):
        yield {"ms": 1.23456789}
        raise error

    def hanging(*args):
        yield {"ms": 1.0}
        time.sleep(60)

    command = ["latency", "mixed", "--tiny", "--seconds", "2", "--out", str(tmp_path)]
    rows_of = lambda name: json.loads((tmp_path / f"gpu_{name}.json").read_text())["rows"]  # noqa: E731
    monkeypatch.setattr(PARTS["latency"][0], "rows", partial(broken, ValueError("broken")))
    monkeypatch.setattr(PARTS["mixed"][0], "rows", lambda *a: iter([{"job": "base", "ms": 2.0}]))
    assert main(command) == 1, "and the other part runs"
    assert rows_of("latency") == [{"ms": 1.2346}, {"not_done": "failed: ValueError: broken"}]
    assert rows_of("mixed") == [{"job": "base", "ms": 2.0}]
    monkeypatch.setattr(PARTS["latency"][0], "rows", hanging)
    monkeypatch.setattr("benchmarks.gpu.__main__.GRACE", 1)
    assert (
        main(command) == 1 and rows_of("latency")[0] == {"ms": 1.0} and rows_of("mixed") == [{"job": "base", "ms": 2.0}]
    )
    assert rows_of("latency")[1]["not_done"].startswith("cut off 1 s beyond its")
    join = multiprocessing.Process.join

    def interrupted(process, timeout=None):
        if timeout is not None:
            time.sleep(3)
            raise KeyboardInterrupt
        join(process)

    monkeypatch.setattr("multiprocessing.process.BaseProcess.join", interrupted)
    assert main(command) == 130 and rows_of("latency") == [{"ms": 1.0}]


def test_it_runs_from_the_checkout_with_torch_and_transformers_alone(tmp_path):
    absent = ["accelerate", "pandas", "matplotlib", "IPython", "ipywidgets", "jupyter", "loralib", "sacrebleu"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "from benchmarks.gpu.__main__ import main\n"
        f"sys.exit(main(['mixed', 'sweep', '--tiny', '--seconds', '1000', '--out', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads((tmp_path / "gpu_sweep.json").read_text())
    assert result["rows"] == [{"not_done": "skipped: not installed: `pip install accelerate`"}]
    assert "peft" in result["versions"] and "accelerate" not in result["versions"]
    mixed = json.loads((tmp_path / "gpu_mixed.json").read_text())["rows"]
    assert {row["job"] for row in mixed} == {"base", "one adapter", "mixed"}, "PEFT needs accelerate, lorakit does not"
