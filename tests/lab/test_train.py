"""The command: it trains, saves, resumes, and says in one line what it cannot do."""

import errno
import json

import pytest

import lorakit as lk
from lorakit import lab
from lorakit.lab import train
from lorakit.lab.checkpoint import Checkpoints
from tests.support.disk_steps import At, fail_with, watched

EXAMPLES = [lab.Example(f"say {letter}:", f" {letter * 3}") for letter in "abcdefgh"]


@pytest.fixture
def command(tiny_model, tiny_tokenizer, tmp_path, monkeypatch):
    """Runs the command on a tiny model and a tiny task; returns its exit code."""
    tiny_model.save_pretrained(tmp_path / "tiny")
    tiny_tokenizer.save_pretrained(tmp_path / "tiny")
    task = lab.Task("e2e", EXAMPLES, EXAMPLES, EXAMPLES, "share", lambda a, e: {"share": 0.25}, 4, "A note.")
    monkeypatch.setitem(train.TASKS, "e2e", lambda: task)
    fixed = ["--model", str(tmp_path / "tiny"), "--task", "e2e", "--out", str(tmp_path / "out"), "--device", "cpu"]

    def run(*arguments):
        return train.main([*fixed, "--batch-size", "4", "--quiet", *arguments])

    run.out = tmp_path / "out"
    run.base = tmp_path / "tiny"
    return run


def test_it_trains_scores_and_saves_an_adapter_that_loads(command, capsys):
    assert command("--steps", "3", "--r", "2", "--targets", "q", "v") == 0
    said = capsys.readouterr().out
    assert "test before: share 0.25" in said and "test after: share 0.25" in said and "A note." in said
    assert "training 512 of" in said  # 2 layers x (q, v) x r 2 x (32 + 32)
    model, tokenizer = lk.load_base(str(command.base), device="cpu")
    lk.load_adapter(model, command.out / "adapter", name="e2e")
    scores = json.loads((command.out / "scores.json").read_text())
    assert lab.mean_loss(model, tokenizer, EXAMPLES) == pytest.approx(scores["after"]["loss"], rel=1e-5)
    assert scores["after"]["loss"] != scores["before"]["loss"]
    assert scores["command"].startswith("python -m lorakit.lab.train --model") and scores["versions"]["torch"]
    assert len(json.loads((command.out / "history.json").read_text())["rows"]) == 3


def test_full_fine_tuning_saves_a_model(command, capsys):
    assert command("--steps", "2", "--full", "--lr", "1e-3") == 0
    assert "(100.00%)" in capsys.readouterr().out
    model, tokenizer = lk.load_base(str(command.out / "model"), device="cpu")
    scores = json.loads((command.out / "scores.json").read_text())
    assert lab.mean_loss(model, tokenizer, EXAMPLES) == pytest.approx(scores["after"]["loss"], rel=1e-5)


def losses(folder):
    return [row["loss"] for row in json.loads((folder / "history.json").read_text())["rows"]]


def test_it_resumes(command):
    assert command("--steps", "4", "--schedule", "constant") == 0
    whole = losses(command.out)
    assert command("--steps", "2", "--schedule", "constant") == 0
    assert command("--steps", "4", "--schedule", "constant", "--resume") == 0
    assert losses(command.out) == whole


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model", "./absent"], "error: the base model './absent' could not be loaded"),
        (["--r", "1000"], "error: r must be between 1 and 32"),
        (["--targets", "nothing"], "error: "),
        (["--lr", "-1"], "error: lr must be 0 or more"),
        (["--shard"], "error: there is one process, so nothing to cut the base up over"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(command, capsys, arguments, message):
    assert command("--steps", "2", *arguments) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith(message) and "\n" not in said


def test_ctrl_c_saves_what_was_learnt_and_is_exit_code_130(command, monkeypatch, capsys):
    fit = lab.fit

    def interrupted(*arguments, **options):
        history = fit(*arguments, **options)
        history.interrupted = True
        return history

    monkeypatch.setattr(lab, "fit", interrupted)
    assert command("--steps", "2") == 130
    assert (command.out / "adapter" / "adapter_model.safetensors").is_file()
    assert "--resume goes on" in capsys.readouterr().out


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_full_disk_at_the_last_checkpoint_costs_neither_the_result_nor_its_scores(
    command, monkeypatch, capsys, interrupted
):
    save = Checkpoints.save

    def full(saved):
        saved.history.interrupted = interrupted
        with watched(saved.folder, At(2, fail_with(errno.ENOSPC))):
            save(saved)

    monkeypatch.setattr(Checkpoints, "save", full)
    with pytest.warns(UserWarning, match="step 2 cannot be written .* No space left .* saved all the same"):
        assert command("--steps", "2") == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("error: the checkpoint of step 2 cannot be written")
    assert "--resume" not in said.out and not list((command.out / "checkpoint").iterdir())
    model, tokenizer = lk.load_base(str(command.base), device="cpu")
    lk.load_adapter(model, command.out / "adapter", name="e2e")
    assert len(losses(command.out)) == 2
    assert (command.out / "scores.json").is_file() != interrupted, "as after any Ctrl-C"
    if not interrupted:
        after = json.loads((command.out / "scores.json").read_text())["after"]
        assert lab.mean_loss(model, tokenizer, EXAMPLES) == pytest.approx(after["loss"], rel=1e-5)
