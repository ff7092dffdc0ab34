"""Sweeps: what a record holds, that finished runs are not done again, and what happens when one fails."""

import json
import os
from dataclasses import replace

import pytest

from lorakit import lab
from lorakit.chapters import experiments, results
from lorakit.core.errors import LoRAError
from lorakit.lab import Example, Task, json_lines, sweep
from lorakit.lab.old_records import best_lr, load, select, summarise, value
from lorakit.lab.sweep import Run, run_one
from tests.support.processes import run_command


@pytest.fixture
def small(monkeypatch, make_tiny, tiny_tokenizer):
    """A base and a task so small that a run takes a tenth of a second; `calls` counts the bases loaded."""
    calls = []

    def load_base(name, device=None):
        calls.append(name)
        return make_tiny(seed=1, dropout=0.0), tiny_tokenizer

    examples = [Example(f"{word}:", f" {word}{word}") for word in ("ab", "cd", "ef", "gh")]

    def task(scorer=lambda answers, examples: {"execution": sum(map(bool, answers)) / len(answers)}):
        return Task("text_to_sql", examples, examples[:2], examples[2:], "execution", scorer, max_new_tokens=4)

    monkeypatch.setattr(sweep, "load_base", load_base)
    monkeypatch.setitem(sweep.TASKS, "text_to_sql", task)
    monkeypatch.setitem(sweep.TASKS, "python", lambda: task(None))
    return calls


LORA = Run(method="lora", r=2, alpha=4, targets=("q", "v"), lr=1e-2, steps=2, batch_size=2, precision="no")


def test_a_record_says_what_was_run_and_what_came_out(small):
    row = run_one(LORA, progress=False)
    assert Run.of(json.loads(json.dumps(row))) == LORA, "a record leads back to its run, through JSON too"
    assert row["trainable"] == 2 * 2 * 2 * (32 + 32)
    assert set(row["metrics"]) == {"validation", "test", "last_loss"}
    assert set(row["metrics"]["test"]) == {"execution", "loss"}
    assert row["device"] == "cpu" and row["versions"]["torch"] and row["seconds"] > 0


def test_the_same_run_gives_the_same_numbers(small):
    first, second = (run_one(LORA, progress=False)["metrics"] for _ in range(2))
    assert first == second
    assert run_one(replace(LORA, seed=1), progress=False)["metrics"] != first


def test_full_fine_tuning_trains_everything_and_records_its_curve(small):
    row = run_one(replace(LORA, method="full", eval_every=1), progress=False)
    assert row["trainable"] > 30_000
    assert row["curve"]["step"] == [1, 2] and len(row["curve"]["loss"]) == 2
    assert len(row["curve"]["validation_execution"]) == 2


def test_a_task_without_a_scorer_is_recorded_in_bits_per_byte(small):
    metrics = run_one(replace(LORA, task="python"), progress=False)["metrics"]
    assert 0 < metrics["test"]["bits_per_byte"] < 20
    assert "execution" not in metrics["test"]


def test_a_finished_run_is_not_done_again_and_an_interrupted_sweep_goes_on(small, tmp_path, monkeypatch):
    runs = [replace(LORA, seed=seed) for seed in range(3)]
    file = tmp_path / "rows.jsonl"
    real = sweep.run_one

    def stops_at_the_third(run, **options):
        if run.seed == 2:
            raise KeyboardInterrupt
        return real(run, **options)

    monkeypatch.setattr(sweep, "run_one", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(runs, file, progress=False)
    assert len(json_lines.read(file)) == 2
    monkeypatch.setattr(sweep, "run_one", real)
    before = len(small)
    rows = sweep.sweep(runs, file, progress=False)
    assert [row["run"]["seed"] for row in rows] == [0, 1, 2] and len(small) == before + 1
    assert sweep.sweep(runs, file, progress=False) == [json.loads(json.dumps(row)) for row in rows]


def test_half_a_last_line_is_done_again_and_any_other_broken_line_is_an_error(small, tmp_path):
    file = tmp_path / "rows.jsonl"
    sweep.sweep([LORA], file, progress=False)
    whole = file.read_text()
    file.write_text(whole + whole[:50])
    assert len(json_lines.read(file)) == 1
    json_lines.append(file, {"run": 2})
    assert file.read_text() == whole + '{"run": 2}\n'
    file.write_text("nonsense\n" + whole)
    with pytest.raises(LoRAError, match="line 1 is not JSON"):
        json_lines.read(file)


TWO_WRITERS = """
import os, sys, time
from pathlib import Path
from lorakit.lab import json_lines

def slow_ending(file, real=json_lines._ending):
    found = real(file)
    time.sleep(0.002)  # what the other writes in here must not be cut off
    return found

json_lines._ending = slow_ending
folder, children = Path(sys.argv[1]), []
for n in range(0, 50, 2):  # a killed process has been here
    (folder / f"{n}.jsonl").write_text('{"writer":')
for writer in range(2):
    if not (child := os.fork()):
        for n in range(50):
            json_lines.append(folder / "rows.jsonl", {"writer": writer, "n": n})
            json_lines.check_writable(folder / f"{n}.jsonl")
            json_lines.append(folder / f"{n}.jsonl", {"writer": writer})
        os._exit(0)
    children.append(child)
assert not any(os.waitpid(child, 0)[1] for child in children)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="locks and forks")
def test_two_processes_that_append_to_one_file_lose_no_record(tmp_path):
    run_command(["-c", TWO_WRITERS, str(tmp_path)])
    rows = json_lines.read(tmp_path / "rows.jsonl")
    assert sorted((row["writer"], row["n"]) for row in rows) == [(w, n) for w in range(2) for n in range(50)]
    lost = [n for n in range(50) if len(json_lines.read(tmp_path / f"{n}.jsonl")) != 2]
    assert not lost, "new files, and ones whose last line is torn"


def test_trying_whether_records_can_be_written_leaves_no_file(tmp_path):
    json_lines.check_writable(tmp_path / "deep" / "rows.jsonl")
    assert not list((tmp_path / "deep").iterdir())
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(LoRAError, match="choose another file"):
        json_lines.check_writable(tmp_path / "rows.jsonl")


def test_a_diverged_run_is_recorded_with_its_reason_and_not_averaged(small, tmp_path, monkeypatch):
    row = run_one(replace(LORA, lr=1e30, steps=4), progress=False)
    assert "learning rate" in row["diverged"] and "metrics" not in row
    monkeypatch.setattr("lorakit.lab.old_records.RESULTS", tmp_path)
    sweep.sweep([replace(LORA, lr=1e30, steps=4), LORA], tmp_path / "one.jsonl", progress=False)
    assert [row["run"]["lr"] for row in load("one")] == [1e-2]


def test_an_adapter_can_be_kept_and_loaded(small, tmp_path, make_tiny):
    import lorakit as lk

    run_one(LORA, keep=tmp_path / "sql", progress=False)
    model = make_tiny(seed=1)
    lk.load_adapter(model, tmp_path / "sql", name="sql")
    assert lk.adapter_names(model) == ["sql"] or lk.adapter_names(model) == ("sql",)
    with pytest.raises(LoRAError, match="has none"):
        run_one(replace(LORA, method="full"), keep=tmp_path / "full", progress=False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"task": "chess"}, "task must be one of"),
        ({"method": "magic"}, "method must be one of"),
        ({"method": "subspace"}, "subspace needs a d of at least 1"),
        ({"measure": ("weight",)}, "measure must be among"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(LoRAError, match=message):
        replace(LORA, **wrong)


def rows(*points):
    """Records with nothing but what averaging needs: (r, lr, seed, validation, test)."""
    return [
        {"run": {"r": r, "lr": lr, "seed": seed, "targets": ["q", "v"]},
         "metrics": {"validation": {"execution": validation}, "test": {"execution": test, "loss": 1 - test}}}
        for r, lr, seed, validation, test in points
    ]  # fmt: skip


def test_a_summary_is_mean_extremes_and_sample_deviation():
    (only,) = summarise(rows((1, 0.1, 0, 0, 0.5), (1, 0.1, 1, 0, 0.7)), ("r", "targets"))
    assert only.key == (1, ("q", "v")) and only.n == 2
    assert (only.mean, only.low, only.high) == pytest.approx((0.6, 0.5, 0.7))
    assert only.std == pytest.approx(0.1 * 2**0.5)


def test_the_learning_rate_is_chosen_on_validation_not_on_test():
    table = rows((1, 0.1, 0, 0.9, 0.1), (1, 0.2, 0, 0.8, 0.9), (2, 0.1, 0, 0.1, 0), (2, 0.2, 0, 0.3, 0))
    assert best_lr(table, metric="validation.execution") == {(1,): 0.1, (2,): 0.2}
    assert best_lr(table, metric="test.loss") == {(1,): 0.2, (2,): 0.1}, "for a loss, less is better"


def test_rows_are_selected_by_fields_and_a_wrong_field_or_metric_is_named():
    table = rows((1, 0.1, 0, 0, 0), (2, 0.1, 0, 0, 0))
    assert len(select(table, r=1)) == 1 and len(select(table, targets=("q", "v"))) == 2
    with pytest.raises(LoRAError, match="no field 'rank'"):
        select(table, rank=1)
    with pytest.raises(LoRAError, match="no metric 'test.bleu'"):
        value(table[0], "test.bleu")


def test_every_experiment_is_runs_and_its_final_runs_follow_from_its_grid():
    """Made-up results for every grid: the final runs must be at the rate with the best validation score."""
    for experiment in experiments.EXPERIMENTS.values():
        grid = experiment.grid()
        assert grid and len(set(grid)) == len(grid), experiment.name
        made = [
            {
                "run": json.loads(json.dumps(Run.of({"run": vars(run)}).__dict__)),
                "metrics": {
                    "validation": dict.fromkeys(("execution", "bleu", "all", "accuracy"), run.lr)
                    | dict.fromkeys(("loss", "bits_per_byte"), -run.lr)
                },
            }
            for run in grid
        ]
        for run in experiment.final(made):
            if run.method == "subspace":  # the best was the largest step, 10; lr = 10 / √d
                assert run.lr == pytest.approx(10 / run.d**0.5, rel=0.01)
            else:
                same = [(one.method, one.size, one.hidden) == (run.method, run.size, run.hidden) for one in grid]
                same = [one for one, fits in zip(grid, same, strict=True) if fits]
                rates = [one.lr for one in same if one.steps == run.steps] or [one.lr for one in same]
                assert run.lr == max(rates), experiment.name


def test_choices_of_matrices_hold_the_same_number_of_parameters():
    from lorakit.study.parameters import Decoder, count_lora_parameters

    nano = Decoder(4, 256, 4, 4096, 256, inner=1024)
    counts = [count_lora_parameters(nano, targets, r) for targets, r in experiments.MATRICES]
    assert counts[:-1] == [40_960] * 8 and counts[-1] == 36_864


def test_the_command_makes_grid_and_final_and_says_what_it_cannot_make(small, tmp_path, monkeypatch, capsys):
    final = lambda rows: [replace(LORA, lr=best_lr(rows, ("r",))[2,], seed=seed) for seed in (0, 1)]  # noqa: E731
    made = experiments.Experiment("tiny", "00", "", lambda: [LORA, replace(LORA, lr=1e-4)], final)

    def no_data():
        raise LoRAError("the data is not here")

    monkeypatch.setitem(experiments.EXPERIMENTS, "tiny", made)
    again = experiments.Experiment("again", "00", "", lambda: [LORA])
    monkeypatch.setitem(experiments.EXPERIMENTS, "again", again)
    monkeypatch.setitem(experiments.EXPERIMENTS, "absent", experiments.Experiment("absent", "00", "", no_data))
    assert results.main(["absent", "tiny", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "tiny: 3 runs" in said.out and "the data is not here" in said.err
    assert "| tiny.jsonl | 00 |  | 3 | 2 | 2 | cpu |" in (tmp_path / "README.md").read_text()
    before = len(small)
    assert results.main(["again", "--out", str(tmp_path)]) == 0
    assert len(small) == before, "what another sweep has recorded is not run again"
    with pytest.raises(SystemExit):
        results.main(["nothing"])


def test_truncation_at_rank_0_is_the_base_and_everything_is_the_trained_model(small, make_tiny, tiny_tokenizer):
    measured = replace(LORA, method="full", task="python", measure=("truncation", "spectra"), lr=1e-2, steps=4)
    row = run_one(measured, progress=False)
    by_rank = {point["k"]: point["loss"] for point in row["truncation"]}
    base = lab.mean_loss(make_tiny(seed=1), tiny_tokenizer, sweep.TASKS["python"]().test)
    assert by_rank[0] == pytest.approx(base, rel=1e-5)
    assert by_rank[None] == pytest.approx(row["metrics"]["test"]["loss"], rel=1e-5)
    assert by_rank[256] == pytest.approx(by_rank[None], rel=0.05) and by_rank[256] != by_rank[None], "the biases moved"
    assert by_rank[32] == by_rank[256], "no matrix here has more than 32 directions"
    lengths = {name: len(found["delta"]) for name, found in row["spectra"].items()}
    assert lengths["transformer.h.0.attn.c_attn.weight"] == 32 and not any("bias" in name for name in lengths)
