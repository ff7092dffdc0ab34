"""`python3 -m benchmarks.gpu`: every part runs, on a tiny shape, and what it leaves out is in the result."""

import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import memory, report, training
from benchmarks.gpu import sweep as smollm2
from benchmarks.gpu.__main__ import PARTS, main
from benchmarks.gpu.cells import Budget, as_rows, measured
from benchmarks.gpu.precision import products
from benchmarks.gpu.sizes import PAPER, TINY
from lorakit.chapters.experiment import Experiment
from lorakit.chapters.results import EXPERIMENTS
from lorakit.lab import sweep
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.lab.sweep import Run
from lorakit.study.latency import compare
from lorakit.study.memory_measured import measure_step
from tests.support.tiny_sweep import LORA, shrink

ROOT = Path(__file__).resolve().parents[2]
NOTE = {"what", "command", "device", "cuda", "threads", "versions", "date", "budget_s", "seconds", "rows"}


@pytest.fixture
def small(monkeypatch, make_tiny, tiny_tokenizer):
    """A base and a task so small that a run takes a tenth of a second."""
    shrink(monkeypatch, make_tiny, tiny_tokenizer)
    for name in [name for name in EXPERIMENTS if name.startswith("smollm2_")]:
        monkeypatch.delitem(EXPERIMENTS, name)


@pytest.fixture
def tiny_run(tmp_path):
    """Run parts as the command does; their results by name."""

    def run(*parts):
        assert main([*parts, "--tiny", "--seconds", "1000", "--out", str(tmp_path)]) == 0
        return {name: json.loads((tmp_path / f"gpu_{name}.json").read_text()) for name in parts}

    return run


def finite(value) -> bool:
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def whole(result: dict, fields: set[str]) -> list[dict]:
    """The rows of a result in which nothing is missing."""
    assert set(result) == NOTE and result["device"] and result["versions"]["torch"] and result["date"]
    assert result["rows"] and finite(result["rows"])
    for row in result["rows"]:
        assert "not_done" not in row and fields <= set(row), row
    return result["rows"]


def test_latency_times_every_method_in_every_cell(tiny_run, capsys):
    rows = whole(tiny_run("latency")["latency"], {"precision", "batch", "ms", "quartiles_ms", "ratio", "noise"})
    assert {row["job"] for row in rows} == {"base", "merged", "unmerged", "houlsby", "pfeiffer", "prefix"}
    assert {(row["precision"], row["phase"]) for row in rows} == {
        (precision, phase) for precision in ("fp32", "bf16") for phase in ("prefill", "decode")
    }
    assert all(row["ms"] > 0 for row in rows)
    printed = capsys.readouterr().out
    assert "precision  phase" in printed and "gpu_latency.json" in printed


def test_memory_has_both_peaks_and_the_prediction_beside_them(tiny_run):
    rows = whole(tiny_run("memory")["memory"], {"full_mib", "lora_mib", "ratio", "a_third", "out_of_memory"})
    assert [row["precision"] for row in rows] == ["fp32", "autocast", "bf16"]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["lora_mib"] / row["full_mib"], rel=1e-3) and row["ratio"] < 1
        assert row["a_third"] == (row["ratio"] <= 1 / 3) and not row["out_of_memory"]
        if row["precision"] == "autocast":
            assert row["predicted_ratio"] is None
        else:
            assert row["predicted_full_mib"] == pytest.approx(row["full_mib"], rel=0.06)
            # A processor with bf16 instructions copies the operands of a product: 0.1 MiB at this size.
            copies = 0.11 if row["precision"] == "bf16" else 0
            assert 0.94 * (row["lora_mib"] - copies) <= row["predicted_lora_mib"] <= 1.06 * row["lora_mib"]


def test_training_compares_lorakit_peft_the_base_and_full_compiled_or_not(tiny_run, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **how: model)  # it takes seconds: the next test compiles
    rows = whole(tiny_run("training")["training"], {"tokens_per_s", "ms", "ratio", "interval", "noise"})
    eager = {row["job"] for row in rows if not row["compiled"]}
    names = {"base", "lorakit", "peft", "full"}
    assert eager == names | {f"{name}, AdamW" for name in names - {"base"}}
    compiled = {row["job"]: row for row in rows if row["compiled"]}
    assert set(compiled) == names | {"lorakit, not compiled"}
    for name in names:
        assert compiled[name]["compile_s"] > 0 and compiled[name]["graph_breaks"] == 0
    first = next(row for row in rows if row["job"] == "lorakit")
    assert first["same_logits_within"] < 1e-3 and first["over_peft"] > 0
    assert first["tokens_per_s"] == pytest.approx(1e3 * 2 * 16 / first["ms"], rel=1e-3)


def test_the_model_with_adapters_is_compiled_as_one_graph_and_what_there_is_no_time_for_is_left_out():
    models = training.contestants(random_gpt2(TINY.shapes["tiny"], dropout=0.0))
    tokens = torch.randint(300, (2, 16), generator=torch.Generator().manual_seed(0))
    jobs, said = training.compiled_jobs(
        {"lorakit": models["lorakit"].train(), "full": models["full"]},
        partial(training.training_step, tokens=tokens),
        "eager",
        Budget(0),
    )
    assert list(jobs) == ["lorakit"], "the first is there whatever is left"
    assert said["lorakit"]["graphs"] == 1 and said["lorakit"]["graph_breaks"] == 0 and said["lorakit"]["compile_s"] > 0
    assert said["full"] == {"not_done": "no time left of the part's 0 s to compile it"}


def test_mixed_rows_is_timed_against_peft_and_one_adapter(tiny_run):
    rows = whole(tiny_run("mixed")["mixed"], {"adapters", "phase", "ms", "ratio"})
    assert {row["job"] for row in rows} == {"base", "one adapter", "mixed", "peft mixed"}
    assert {row["phase"] for row in rows} == {"prefill", "decode"}
    assert all(row["over_peft"] > 0 and row["over_one_adapter"] > 0 for row in rows if row["job"] == "mixed")


def test_the_sweep_records_its_runs_and_does_none_twice(small, tiny_run, tmp_path, monkeypatch):
    rows = whole(tiny_run("sweep")["sweep"], {"method", "r", "lr", "seed", "trainable", "seconds", "metrics"})
    assert [row["method"] for row in rows] == ["lora", "full"]
    assert len((tmp_path / "tiny_gpu.jsonl").read_text().splitlines()) == 2
    monkeypatch.setattr(sweep, "run_one", lambda *a, **k: pytest.fail("it was recorded"))
    assert tiny_run("sweep")["sweep"]["rows"] == rows


def test_the_sweeps_named_smollm2_are_run_grid_first(small, tmp_path, monkeypatch):
    asked = Experiment("smollm2_x", "", lambda: [LORA], lambda rows: [LORA, Run.of({"run": vars(LORA) | {"seed": 1}})])
    monkeypatch.setitem(EXPERIMENTS, "smollm2_x", asked)
    rows = list(smollm2.rows("cpu", PAPER, Budget(1000), tmp_path))
    assert [row["seed"] for row in rows] == [0, 1] and all("metrics" in row for row in rows)
    assert (tmp_path / "smollm2_x_gpu.jsonl").is_file()


def test_without_time_the_reported_runs_wait_for_the_grid(small, tmp_path, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "smollm2_x", Experiment("smollm2_x", "", lambda: [LORA]))
    rows = list(smollm2.rows("cpu", PAPER, Budget(0), tmp_path))
    assert ["no time left" in row["not_done"] for row in rows] == [True, False]
    assert "wait for the grid" in rows[1]["not_done"]


def test_a_sweep_that_cannot_be_made_says_what_is_missing(small, tmp_path, monkeypatch):
    def reason():
        (row,) = smollm2.rows("cpu", PAPER, Budget(1000), tmp_path)
        return row["not_done"]

    assert reason() == "skipped: no chapter declares a sweep named smollm2_*"
    absent = Experiment("smollm2_x", "", lambda: [Run.of({"run": vars(LORA) | {"base": "./absent"}})])
    monkeypatch.setitem(EXPERIMENTS, "smollm2_x", absent)
    assert reason().startswith("skipped: the base model './absent' could not be loaded. No config.json in: absent.")
    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda name: None)
    assert reason() == "skipped: accelerate is not installed: `pip install accelerate`"


def test_a_cell_without_time_out_of_memory_or_failing_says_so_and_the_next_is_measured(capsys):
    now = [0.0]

    def measure(cell, seconds):
        now[0] += 10
        if cell["name"] == "large":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB")
        if cell["name"] == "cublas":
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        if cell["name"] == "broken":
            raise ValueError("no\nsuch thing")
        return [{"value": seconds}]

    names = ("large", "cublas", "broken", "good", "slow to begin", "late")
    least = lambda cell: 25 if cell["name"] == "slow to begin" else 1  # noqa: E731
    rows = list(measured([{"name": name} for name in names], Budget(60, lambda: now[0]), measure, least, longest=9))
    assert [row.get("not_done") for row in rows] == [
        "out of memory", "out of memory", "failed: ValueError: no", None, "no time left of the part's 60 s", None
    ]  # fmt: skip
    assert rows[3] == {"name": "good", "value": 9} and rows[5]["value"] == 9
    assert "ValueError" in capsys.readouterr().err, "and the traceback is on stderr"


def test_the_seconds_of_a_cell_are_its_share_of_what_is_left():
    now, given = [0.0], []

    def measure(cell, seconds):
        given.append(seconds)
        now[0] += 2 * seconds  # each takes twice as long as it should
        return []

    rows = list(measured([{"n": n} for n in range(3)], Budget(90, lambda: now[0]), measure))
    assert given == [30, 15] and [row["n"] for row in rows] == [2], "the third found no time"


def test_memory_that_is_not_enough_is_recorded_and_the_next_method_measured(monkeypatch):
    def peak(cell, method, device, sizes):
        if method == "full":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2**20, 10

    monkeypatch.setattr(memory, "peak_of_step", peak)
    row = next(memory.rows("cpu", TINY, Budget(1000)))
    assert row["out_of_memory"] == ["full"] and row["full_mib"] is None and row["lora_mib"] == 1
    assert row["ratio"] is None and row["a_third"] is None and row["predicted_full_mib"] > 0


def test_the_peak_on_a_gpu_is_what_is_held_and_what_the_step_adds_to_it(monkeypatch, tiny_model):
    """With numbers in the place of CUDA's counts: 1,700 bytes at the worst moment, 1,000 of them before the step."""
    counts = {"memory_allocated": 1000, "max_memory_allocated": 1700}
    for name in ("synchronize", "reset_peak_memory_stats", *counts):
        monkeypatch.setattr(torch.cuda, name, partial(lambda value, *a: value, counts.get(name)))
    ids = torch.arange(8)[None]
    loss = lambda: tiny_model(input_ids=ids, labels=ids).loss  # noqa: E731
    found, here = memory.cuda_peak(tiny_model, loss), measure_step(tiny_model, loss)
    assert found == here.weights + here.optimizer + 700
    assert all(p.grad is None for p in tiny_model.parameters())


def test_products_are_rounded_to_tf32_only_where_that_was_asked_for():
    before = torch.get_float32_matmul_precision()
    for precision, said in (("tf32", "high"), ("fp32", "highest"), ("bf16", "highest")):
        with products(precision):
            assert torch.get_float32_matmul_precision() == said
    assert torch.get_float32_matmul_precision() == before


def test_without_a_gpu_the_command_says_so_on_one_line_and_exits_with_2(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.err == "PyTorch finds no CUDA GPU here: --tiny shows on the CPU that everything runs\n"
    assert not said.out and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [(["speed"], "no part named speed; there are latency, memory"), (["--device", "gpu"], "--device must be like")],
)
def test_wrong_arguments_are_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_a_part_that_fails_costs_no_other_and_the_exit_code_tells(monkeypatch, tmp_path, capsys):
    def rows(device, sizes, budget):
        yield {"precision": "fp32", "ms": 1.0}
        raise ValueError("broken")

    monkeypatch.setattr(PARTS["latency"][0], "rows", rows)
    monkeypatch.setattr(PARTS["mixed"][0], "rows", lambda *a: iter([{"job": "base", "ms": 2.0}]))
    assert main(["latency", "mixed", "--tiny", "--out", str(tmp_path)]) == 1
    found = {name: json.loads((tmp_path / f"gpu_{name}.json").read_text())["rows"] for name in ("latency", "mixed")}
    assert found["latency"] == [{"precision": "fp32", "ms": 1.0}, {"not_done": "failed: ValueError: broken"}]
    assert found["mixed"] == [{"job": "base", "ms": 2.0}]
    assert "failed: ValueError: broken" in capsys.readouterr().out


def test_what_was_measured_is_in_the_file_when_the_run_is_cut_off(monkeypatch, tmp_path):
    def rows(device, sizes, budget):
        yield {"ms": 1.23456789}
        raise KeyboardInterrupt

    monkeypatch.setattr(PARTS["latency"][0], "rows", rows)
    assert main(["latency", "--tiny", "--out", str(tmp_path)]) == 130
    assert json.loads((tmp_path / "gpu_latency.json").read_text())["rows"] == [{"ms": 1.2346}]


def test_the_table_shows_reasons_in_place_of_numbers():
    shown = report.table([{"a": 12345.6, "b": [1.0, 2.5]}, {"a": True, "not_done": "no time left"}], ("a", "b"))
    assert [line.split() for line in shown.splitlines()] == [
        ["a", "b"], ["12,346", "1", "to", "2.5"], ["yes", "–", "no", "time", "left"]
    ]  # fmt: skip


def test_rows_of_a_comparison_leave_the_second_base_out_but_keep_its_noise():
    rows = as_rows(compare({"base": lambda: None, "other": lambda: None}, repeats=2))
    assert [row["job"] for row in rows] == ["base", "other"] and rows[0]["noise"] == rows[1]["noise"]


def test_it_runs_from_the_checkout_without_accelerate_matplotlib_or_jupyter(tmp_path):
    absent = ["accelerate", "matplotlib", "IPython", "ipywidgets", "jupyter", "loralib", "sacrebleu"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "from benchmarks.gpu.__main__ import main\n"
        f"sys.exit(main(['mixed', 'sweep', '--tiny', '--seconds', '1000', '--out', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((tmp_path / "gpu_sweep.json").read_text())["rows"] == [
        {"not_done": "skipped: accelerate is not installed: `pip install accelerate`"}
    ]
    mixed = json.loads((tmp_path / "gpu_mixed.json").read_text())["rows"]
    assert {row["job"] for row in mixed} == {"base", "one adapter", "mixed"}, "PEFT needs accelerate, lorakit does not"
