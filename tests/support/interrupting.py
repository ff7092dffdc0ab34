"""Ctrl-C at random instants of a training run: `python interrupting.py <folder> <trials>` prints figures as JSON.

Each trial is a forked child that trains; SIGINT comes once, or twice in quick succession. The child then looks at
what is left of its model, does the cell again, and resumes.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import torch

import lorakit as lk
from lorakit import lab
from tests.support.killing import PATIENCE, Progress, fork
from tests.support.tiny_models import same_tensors
from tests.support.training_runs import Bytes, fresh, frozen, run, trained

OPTIONS = {"checkpoint_every": 2, "eval_every": 5}


def usable(model, folder: Path) -> None:
    """Forward, generate, save, merge and back, all as if nothing had happened; and nothing is left behind."""
    modules = list(model.modules())
    assert not any(module.training for module in modules) and all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    assert lab.generate_answers(model, Bytes(), ["say a:"], 3)
    lk.save_adapter(model, folder / "adapter")
    lk.merge(model)
    lk.unmerge(model)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "our handler is gone"


def same_run(history, whole) -> bool:
    rows = ([{**row, "tokens_per_s": 0} for row in each.rows] for each in (history, whole))
    return next(rows) == next(rows) and not history.interrupted


def child(folder: Path, whole, wanted: dict, progress: Progress) -> None:
    model = fresh()
    base, random_state = frozen(model), torch.get_rng_state()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    history = None
    progress.put(1, 0)
    try:
        try:
            history = run(model, checkpoint=folder, **OPTIONS)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:  # before or after all that fit protects
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    progress.put(2, 0 if history is None else 1 + history.interrupted)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert same_tensors(frozen(model), base), "the base has changed"
    usable(model, folder)
    resumed = fresh()
    assert same_run(run(resumed, checkpoint=folder, resume=True, **OPTIONS), whole), "resumed to another run"
    assert same_tensors(trained(resumed), wanted)
    again = fresh()
    assert same_run(run(again, checkpoint=folder, **OPTIONS), whole), "the cell done again gives another run"
    assert same_tensors(trained(again), wanted)


def main(home: Path, trials: int) -> dict:
    whole_model, progress, found = fresh(), Progress(), Counter()
    run(fresh(), **OPTIONS)
    started = time.perf_counter()
    whole = run(whole_model, checkpoint=home / "whole", **OPTIONS)
    duration, wanted = time.perf_counter() - started, trained(whole_model)
    for trial in range(trials):
        folder, twice = home / str(trial), trial % 3 == 2
        progress.put(0, 0)
        pid = fork(lambda: child(folder, whole, wanted, progress))  # noqa: B023
        patience = time.monotonic() + PATIENCE
        while progress.get()[0] < 1:
            assert time.monotonic() < patience, "the child never began to train"
            time.sleep(1e-4)
        time.sleep(random.uniform(0, 0.9 * duration))
        for press in range(1 + twice):
            if press:
                time.sleep(random.uniform(0, 0.01))
            os.kill(pid, signal.SIGINT)
        assert os.waitpid(pid, 0)[1] == 0, f"trial {trial}: see above"
        how = ("raised", "finished", "interrupted")[progress.get()[1]]
        found[f"{'twice' if twice else 'once'}: {how}"] += 1
    return {"trials": trials, "milliseconds": 1e3 * duration, **found}


if __name__ == "__main__":
    torch.set_num_threads(1)
    random.seed(0)
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
