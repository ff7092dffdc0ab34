"""A disk that is full, a folder that cannot be written: a LoRAError, the old files in every bit, and no litter."""

import errno
import json
import os
import re
import shutil

import pytest
import torch

import lorakit as lk
from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.lab.json_lines import append, read
from tests.support.disk_steps import At, watched
from tests.support.saving import adapted, contents
from tests.support.tiny_models import assert_same, build, fill, snapshot
from tests.support.training_runs import fit_module, fresh, frozen, run, trained

CODES = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO]


@pytest.fixture
def model():
    return adapted()


def fail_with(code):
    def fail():
        raise OSError(code, os.strerror(code))

    return fail


def fails_at_each_step(folder, code, save):
    """Do `save` with the n-th change to the folder failing, for every n; yields what it raised."""
    for n in range(1, 1000):
        at = At(n, fail_with(code))
        try:
            with watched(folder, at):
                save()
            if len(at.done) < n:
                return
            yield n, at.done[n - 1], None
        except LoRAError as error:
            yield n, at.done[n - 1], error
    raise AssertionError("a save with a thousand steps?")


@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
def test_a_save_that_fails_at_any_step_leaves_the_old_adapter_and_no_litter(model, tmp_path, code):
    folder = tmp_path / "adapter"
    lk.save_adapter(model, folder)
    fill(model, "a", seed=7)
    before, state = contents(folder), snapshot(model)
    failed = []
    for _, step, error in fails_at_each_step(folder, code, lambda: lk.save_adapter(model, folder)):
        after = contents(folder)
        assert after.keys() == before.keys(), f"{step}: {after.keys()}"
        if error is None:
            assert step in ("os.mkdir", "fsync"), step  # the folder is there; its sync comes after the renames
        else:
            assert str(folder) in str(error) and os.strerror(code) in str(error)
            failed.append(step)
        if after != before:  # only the second rename and what follows it can come too late
            assert failed.count("os.rename") == 2 or error is None
            check = lk.load_adapter(build("gpt2"), folder)
            assert torch.equal(check.transformer.h[0].attn.c_attn.adapters["default"].lora_A, factor(model))
            shutil.rmtree(folder)
            folder.mkdir()
            for path, data in before.items():
                (folder / path).write_bytes(data)
        assert_same(state, snapshot(model))
    assert {"open", "os.rename", "fsync"} <= set(failed)
    lk.save_adapter(model, folder)


def factor(model):
    return model.transformer.h[0].attn.c_attn.adapters["a"].lora_A


@pytest.mark.parametrize("size", [0, 100, 1500])
def test_a_file_that_may_not_grow_fails_the_save_for_real(model, tmp_path, size):
    """RLIMIT_FSIZE: the write itself fails half way, in the system and not in a test's hook."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    lk.save_adapter(model, tmp_path)
    before = contents(tmp_path)
    fill(model, "a", seed=7)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        with pytest.raises(LoRAError, match="File too large"):
            lk.save_adapter(model, tmp_path)
        with pytest.raises(lab.CheckpointNotSaved, match="File too large"):
            save_checkpoint(tmp_path / "run")
        with pytest.raises(LoRAError, match="File too large"):
            lab.History(rows=[{"step": n} for n in range(1000)]).to_json(tmp_path / "history.json")
        rows = tmp_path.parent / f"{tmp_path.name}.jsonl"
        with pytest.raises(LoRAError, match="File too large"):
            append(rows, {"run": "x" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(tmp_path) == before
    assert read(rows) == [] and rows.read_bytes() == b""


def save_checkpoint(folder):
    from lorakit.lab.checkpoint import save_checkpoint

    model = fresh()
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    save_checkpoint(folder, parameters, torch.optim.AdamW(parameters.values()), {"rows": []})


def test_a_file_in_the_place_of_a_folder_and_a_folder_in_the_place_of_a_file(model, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(LoRAError, match="file"):
        lk.save_adapter(model, tmp_path / "file")
    with pytest.raises(LoRAError, match="file"):
        lk.save_adapter(model, tmp_path / "file" / "deeper")
    with pytest.raises(lab.CheckpointNotSaved, match="choose another folder"):
        run(fresh(), checkpoint=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "adapter" / "adapter_config.json").mkdir(parents=True)
    with pytest.raises(LoRAError, match="adapter_config.json|directory"):
        lk.save_adapter(model, tmp_path / "adapter")
    assert not list((tmp_path / "adapter").glob(".*.tmp"))
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(LoRAError, match="rows.jsonl"):
        append(tmp_path / "rows.jsonl", {})
    (tmp_path / "history.json").mkdir()
    with pytest.raises(LoRAError, match="history.json"):
        lab.History().to_json(tmp_path / "history.json")


def test_a_folder_that_vanishes_in_the_midst_of_a_save(model, tmp_path):
    steps = set()
    for n in range(1, 20):
        folder = tmp_path / str(n)
        lk.save_adapter(model, folder)
        at = At(n, lambda folder=folder: shutil.rmtree(folder))
        try:
            with watched(folder, lambda what, at=at: len(at.done) >= at.n or at(what)):
                lk.save_adapter(model, folder)
        except LoRAError as error:
            assert str(folder) in str(error)
            steps.add(at.done[-1])
    assert {"open", "os.rename"} <= steps


def test_training_goes_on_when_its_disk_is_full_and_says_so(tmp_path, monkeypatch):
    whole = fresh()
    expected = run(whole)
    real, failing = fit_module.save_checkpoint, {4, 6}

    def sometimes_full(folder, parameters, optimizer, state):
        if len(state["rows"]) not in failing:
            return real(folder, parameters, optimizer, state)
        with watched(folder, At(2, fail_with(errno.ENOSPC))):
            real(folder, parameters, optimizer, state)

    monkeypatch.setattr(fit_module, "save_checkpoint", sometimes_full)
    model = fresh()
    with pytest.warns(UserWarning, match=r"step [46] cannot be written .* No space left .* Training goes on") as warned:
        history = run(model, checkpoint=tmp_path, checkpoint_every=2)
    assert len(warned) == 2 and history.losses == expected.losses
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize("at_step", [2, 3, 4])  # open, fsync, rename
def test_a_full_disk_at_the_end_costs_the_checkpoint_and_not_the_run(tmp_path, monkeypatch, at_step):
    whole = fresh()
    expected = run(whole)
    run(fresh(), checkpoint=tmp_path)
    before = contents(tmp_path)
    real = fit_module.save_checkpoint

    def full(folder, *rest):
        with watched(folder, At(at_step, fail_with(errno.ENOSPC))):
            real(folder, *rest)

    monkeypatch.setattr(fit_module, "save_checkpoint", full)
    model = fresh()
    base = frozen(model)
    with pytest.raises(lab.CheckpointNotSaved, match="The model keeps what it learnt in 10 steps") as caught:
        run(model, checkpoint=tmp_path)
    assert caught.value.history.losses == expected.losses
    assert contents(tmp_path) == before, "the checkpoint of the run before is whole"
    assert all(torch.equal(value, trained(whole)[name]) for name, value in trained(model).items())
    assert all(torch.equal(value, base[name]) for name, value in frozen(model).items())
    assert not model.training and all(p.grad is None for p in model.parameters())
    lk.save_adapter(model, tmp_path / "adapter")


def test_a_folder_that_cannot_be_written_is_found_before_training(tmp_path):
    model = fresh()
    before = snapshot(model)
    with pytest.raises(lab.CheckpointNotSaved, match="choose another folder") as caught:
        run(model, checkpoint="/proc/nowhere")
    assert caught.value.history is None
    assert_same(before, snapshot(model))


def test_a_finished_run_resumes_from_a_folder_that_cannot_be_written(tmp_path):
    """A read-only disk: nothing has to be written, so nothing is."""
    first, second = fresh(), fresh()
    expected = run(first, checkpoint=tmp_path)
    with watched(tmp_path, lambda what: fail_with(errno.EROFS)()):
        assert run(second, checkpoint=tmp_path, resume=True).rows == expected.rows
        with pytest.raises(lab.CheckpointNotSaved, match="choose another folder"):
            run(fresh(), checkpoint=tmp_path)
    assert all(torch.equal(value, trained(first)[name]) for name, value in trained(second).items())


def test_half_a_record_never_reaches_a_sweeps_file_and_old_halves_are_mended(tmp_path):
    file, rows = tmp_path / "rows.jsonl", [{"run": n} for n in range(3)]
    for row in rows:
        append(file, row)
    whole, line = file.read_bytes(), json.dumps({"run": 3, "text": "long enough"}).encode() + b"\n"
    for cut in range(len(line)):
        file.write_bytes(whole + line[:cut])
        assert len(read(file)) == 3
        append(file, {"run": 4})
        assert [row["run"] for row in read(file)] == [0, 1, 2, 4]
    file.write_bytes(whole)
    for _, _, error in fails_at_each_step(tmp_path, errno.ENOSPC, lambda: append(file, {"run": 5})):
        if error is not None:  # the folder is there already, so that it cannot be made is none
            assert re.search("Records before it are kept", str(error)) and file.read_bytes() == whole
        file.write_bytes(whole)
