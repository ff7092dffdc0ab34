"""A disk that is full, a folder that cannot be written: a LoRAError, the old files in every bit, and no litter."""

import errno
import json
import os
from types import SimpleNamespace

import pytest
import torch

import lorakit as lk
from lorakit import LoRAError, lab
from lorakit.lab.checkpoint import Checkpoints
from lorakit.lab.json_lines import append, read
from tests.support.disk_steps import At, fail_with, watched
from tests.support.saving import adapted, contents, version_in
from tests.support.tiny_models import assert_same, fill, logits, same_tensors, snapshot
from tests.support.training_runs import fresh, frozen, run, trained


@pytest.fixture
def model():
    return adapted()


def fails_at_each_step(folder, code, save):
    """Do `save` with the n-th change to the folder failing, for every n; yields what was to be done, and the error."""
    for n in range(1, 1000):
        at, error = At(n, fail_with(code)), None
        try:
            with watched(folder, at):
                save()
        except (LoRAError, KeyboardInterrupt) as raised:
            error = raised
        if len(at.done) < n:
            return
        yield at.done[n - 1], error


@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EROFS, errno.EACCES, None], ids=["full", "read-only", "not mine", "Ctrl-C"]
)
def test_a_save_that_fails_at_any_step_leaves_the_old_adapter_and_no_litter(model, tmp_path, code):
    folder = lk.save_adapter(model, tmp_path / "adapter")
    fill(model, "sql", seed=7)
    before, state, failed = contents(folder), snapshot(model), []
    for step, error in fails_at_each_step(folder, code, lambda: lk.save_adapter(model, folder)):
        assert contents(folder).keys() == before.keys(), step
        if error is None:
            assert step == "os.mkdir", step  # the folder is there
        else:
            assert code is None or (str(folder) in str(error) and os.strerror(code) in str(error))
            failed.append(step)
        if contents(folder) != before:  # only the second rename can come too late
            assert failed.count("os.rename") == 2 or error is None
            assert version_in(folder, {"new": logits(model)}) == "new"
            for path, data in before.items():
                (folder / path).write_bytes(data)
        assert_same(state, snapshot(model))
    assert {"open", "os.rename", "fsync"} <= set(failed)
    lk.save_adapter(model, folder)


@pytest.mark.parametrize("size", [0, 1500])
def test_a_file_that_may_not_grow_fails_the_save_for_real(model, tmp_path, size):
    """RLIMIT_FSIZE: the write itself fails half way, in the system and not in a test's hook."""
    resource, signal = pytest.importorskip("resource"), pytest.importorskip("signal")
    lk.save_adapter(model, tmp_path)
    before, rows = contents(tmp_path), tmp_path.parent / f"{tmp_path.name}.jsonl"
    fill(model, "sql", seed=7)
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    parameters = {name: p for name, p in fresh().named_parameters() if p.requires_grad}
    step = SimpleNamespace(parameters=parameters, optimizer=torch.optim.AdamW(parameters.values()))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        for save in (
            lambda: lk.save_adapter(model, tmp_path),
            Checkpoints(tmp_path / "run", None, model, step, lab.History()).save,
            lambda: append(rows, {"run": "x" * 5000}),
        ):
            with pytest.raises(LoRAError, match="File too large"):
                save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(tmp_path) == before
    assert read(rows) == []


def test_a_file_in_the_place_of_a_folder_and_a_folder_in_the_place_of_a_file(model, tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "deeper", "/proc/nowhere"):
        with pytest.raises(LoRAError, match="cannot write"):
            lk.save_adapter(model, place)
        with pytest.raises(lab.CheckpointNotSaved, match="choose another folder") as caught:
            run(fresh(), checkpoint=place)
        assert caught.value.history is None, "found before training"
    assert (tmp_path / "file").read_text() == "mine"
    for folder, save in (
        ("adapter/adapter_config.json", lambda: lk.save_adapter(model, tmp_path / "adapter")),
        ("rows.jsonl", lambda: append(tmp_path / "rows.jsonl", {})),
    ):
        (tmp_path / folder).mkdir(parents=True)
        with pytest.raises(LoRAError, match=folder.partition("/")[0]):
            save()
    assert not contents(tmp_path / "adapter"), "the weights were not replaced alone"


def test_training_goes_on_when_its_disk_is_full_and_says_so(tmp_path, monkeypatch):
    expected, real = run(fresh()), Checkpoints.save

    def sometimes_full(saved):
        with watched(saved.folder, At(2 if len(saved.history.rows) in (4, 6) else 0, fail_with(errno.ENOSPC))):
            real(saved)

    monkeypatch.setattr(Checkpoints, "save", sometimes_full)
    with pytest.warns(UserWarning, match=r"step [46] cannot be written .* No space left .* Training goes on") as warned:
        history = run(fresh(), checkpoint=tmp_path, checkpoint_every=2)
    assert len(warned) == 2 and history.losses == expected.losses
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize("at_step", [2, 3, 4])  # open, fsync, rename
def test_a_full_disk_at_the_end_costs_the_checkpoint_and_not_the_run(tmp_path, monkeypatch, at_step):
    whole, model = fresh(), fresh()
    expected, base, real = run(whole, checkpoint=tmp_path), frozen(model), Checkpoints.save
    before = contents(tmp_path)

    def full(saved):
        with watched(saved.folder, At(at_step, fail_with(errno.ENOSPC))):
            real(saved)

    monkeypatch.setattr(Checkpoints, "save", full)
    with pytest.raises(lab.CheckpointNotSaved, match="step 10 .* the model keeps what it learnt") as caught:
        run(model, checkpoint=tmp_path)
    assert caught.value.history.losses == expected.losses
    assert contents(tmp_path) == before, "the checkpoint of the run before is whole"
    assert same_tensors(trained(model), trained(whole)) and same_tensors(frozen(model), base)
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_a_finished_run_resumes_from_a_folder_that_cannot_be_written(tmp_path):
    """A read-only disk: nothing has to be written, so nothing is."""
    expected = run(fresh(), checkpoint=tmp_path)
    with watched(tmp_path, lambda what: fail_with(errno.EROFS)()):
        assert run(fresh(), checkpoint=tmp_path, resume=True).rows == expected.rows


def test_half_a_record_never_reaches_a_sweeps_file_and_old_halves_are_mended(tmp_path):
    file = tmp_path / "rows.jsonl"
    for number in range(3):
        append(file, {"run": number})
    whole, line = file.read_bytes(), json.dumps({"run": 3, "text": "long enough"}).encode() + b"\n"
    for cut in range(len(line)):
        file.write_bytes(whole + line[:cut])
        assert len(read(file)) == 3
        append(file, {"run": 4})
        assert [row["run"] for row in read(file)] == [0, 1, 2, 4]
    file.write_bytes(whole)
    for _, error in fails_at_each_step(tmp_path, errno.ENOSPC, lambda: append(file, {"run": 5})):
        if error is not None:  # the folder is there already, so that it cannot be made is none
            assert "Records before it are kept" in str(error) and file.read_bytes() == whole
        file.write_bytes(whole)
