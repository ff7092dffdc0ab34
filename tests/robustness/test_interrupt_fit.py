"""Ctrl-C in training: the model is usable, the base untouched, and both a new start and `resume` give the same run."""

import os
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
import torch

import lorakit as lk
from lorakit.lab.checkpoint import CheckpointNotSaved
from tests.support.figures import record, size
from tests.support.interrupting import Pressing
from tests.support.killing import equal
from tests.support.processes import figures_of
from tests.support.training_runs import fit_module, fresh, frozen, run, trained

HERE = Path(__file__).parents[1] / "support"
TRIALS = size(9, 60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="interrupts forked children")
def test_ctrl_c_at_any_instant_leaves_a_usable_model_and_a_run_that_can_go_on(tmp_path):
    found = figures_of(HERE / "interrupting.py", tmp_path, TRIALS)
    record("interrupts", **found)
    counted = Counter(found)
    assert counted["once: interrupted"] + counted["twice: interrupted"] >= TRIALS / 4


@pytest.fixture
def whole():
    model = fresh()
    return run(model, steps=3).losses, trained(model)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
@pytest.mark.parametrize("times", [1, 2, 4])
def test_ctrl_c_before_any_line_of_the_loop_leaves_nothing_half_put_back(tmp_path, whole, times):
    files = tuple(f"lorakit/lab/{name}.py" for name in ("loop", "step", "interrupt", "checkpoint"))
    with Pressing(0, files) as counting:
        run(fresh(), steps=3, checkpoint=tmp_path / "counted", checkpoint_every=1)
    cases = size(12, 60)
    interrupted = 0
    for case in range(cases):
        model = fresh()
        base, random_state, handler = frozen(model), torch.get_rng_state(), signal.getsignal(signal.SIGINT)
        folder = tmp_path / str(case)
        with Pressing(1 + (case * counting.lines + case % 7) // cases, files, times) as press:
            try:
                interrupted += run(model, steps=3, checkpoint=folder, checkpoint_every=1).interrupted
            except KeyboardInterrupt:
                interrupted += 1
        assert signal.getsignal(signal.SIGINT) is handler, press.where
        assert torch.equal(torch.get_rng_state(), random_state), press.where
        assert equal(frozen(model), base), press.where
        assert not any(module.training for module in model.modules()), press.where
        assert all(p.grad is None for p in model.parameters()), press.where
        resumed = fresh()
        losses = run(resumed, steps=3, checkpoint=folder, checkpoint_every=1, resume=True).losses
        assert losses == whole[0] and equal(trained(resumed), whole[1]), press.where
        assert len(list(folder.iterdir())) == 1, press.where
        lk.eject(model)
    assert interrupted >= cases / 3


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
def test_a_second_ctrl_c_after_a_checkpoint_that_failed_still_returns_the_history(tmp_path, monkeypatch):
    """That failure has been a warning already; the run it did not stop is the reader's to keep."""

    def full(folder, parameters, optimizer, state):
        raise CheckpointNotSaved(f"step {len(state['rows'])}: disk full")

    def press_twice(module, inputs):
        calls.append(module.training)
        if sum(calls) == 4:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(fit_module, "save_checkpoint", full)
    model, calls = fresh(), []
    model.register_forward_pre_hook(press_twice)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.warns(UserWarning, match="step 2: disk full"):
            history = run(model, checkpoint=tmp_path, checkpoint_every=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.interrupted and len(history.rows) == 3
