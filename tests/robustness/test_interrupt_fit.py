"""Ctrl-C in training: the model is usable, the base untouched, and both a new start and `resume` give the same run."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from lorakit.lab import checkpoint
from tests.support.figures import record, size
from tests.support.processes import figures_of
from tests.support.training_runs import fresh, run

HERE = Path(__file__).parents[1] / "support"
TRIALS = size(6, 60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="interrupts forked children")
def test_ctrl_c_at_any_instant_leaves_a_usable_model_and_a_run_that_can_go_on(tmp_path):
    found = figures_of(HERE / "interrupting.py", tmp_path, TRIALS)
    record("interrupts", **found)
    counted = Counter(found)
    assert counted["once: interrupted"] + counted["twice: interrupted"] >= TRIALS / 4


def test_a_second_ctrl_c_after_a_checkpoint_that_failed_still_returns_the_history(tmp_path, monkeypatch):
    """That failure has been a warning already; the run it did not stop is the reader's to keep."""

    def full(folder, parameters, optimizer, state):
        raise checkpoint.CheckpointNotSaved(f"step {len(state['rows'])}: disk full")

    def press_twice(module, inputs):
        calls.append(module.training)
        if sum(calls) == 4:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(checkpoint, "save_checkpoint", full)
    model, calls = fresh(), []
    model.register_forward_pre_hook(press_twice)
    with pytest.warns(UserWarning, match="step 2: disk full"):
        history = run(model, checkpoint=tmp_path, checkpoint_every=2)
    assert history.interrupted and len(history.rows) == 3
