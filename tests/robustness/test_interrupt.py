"""Ctrl-C at random instants of a verb: the model is as before it, or as after it.

In training: the model is usable, the base untouched, and both a new start and `resume` give the same run.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

import lorakit as lk
from lorakit import lab
from lorakit.core.state import THREAD
from tests.support.figures import record, size
from tests.support.tiny_models import build, fill, logits, same_tensors, snapshot
from tests.support.training_runs import TOKENIZER, fresh, frozen, run, trained

CONFIGS = {
    "a": lk.LoRAConfig(r=2, alpha=4, targets=("q", "v")),
    "b": lk.LoRAConfig(r=3, alpha=9, targets=("c_attn", "mlp"), modules_to_save=("ln_f",)),
    "new": lk.LoRAConfig(r=2, alpha=4, targets=("o", "mlp", "k"), modules_to_save=("ln_f",)),
}


def model_with(*names: str):
    model = build("gpt2")
    for seed, name in enumerate(names):
        lk.inject(model, CONFIGS[name], name=name)
        fill(model, name, seed=seed)
    return model


def one_per_row(model, folder):
    with lk.using(model, ["a", None, "a"]):
        logits(model)


VERBS = {
    "inject the first": ((), lambda model, folder: lk.inject(model, CONFIGS["b"], name="b", seed=3)),
    "inject another": (("a", "b"), lambda model, folder: lk.inject(model, CONFIGS["new"], name="new", seed=3)),
    "load_adapter": (("a",), lambda model, folder: lk.load_adapter(model, folder, name="b")),
    "set_adapter": (("b", "a"), lambda model, folder: lk.set_adapter(model, "b")),
    "set_adapter None": (("a", "b"), lambda model, folder: lk.set_adapter(model, None)),
    "set_scale": (("a", "b"), lambda model, folder: lk.set_scale(model, 0.5)),
    "delete_adapter": (("a", "b"), lambda model, folder: lk.delete_adapter(model, "b")),
    "delete the last": (("a",), lambda model, folder: lk.delete_adapter(model, "a")),
    "eject": (("a", "b"), lambda model, folder: lk.eject(model)),
    "merge": (("a", "b"), lambda model, folder: lk.merge(model)),
    "unmerge": (("a", "b"), lambda model, folder: lk.unmerge(model)),
    "using": (("b", "a"), one_per_row),
    "save_adapter": (("a", "b"), lambda model, folder: lk.save_adapter(model, folder / "saved")),
}


COUNTED = {}


def seen(model) -> dict:
    """All that a verb could change, and what the model now computes; without the identity of new parameters."""
    found = snapshot(model)
    del found["ids"]
    found["hooks"] = {path: len(m._load_state_dict_pre_hooks) for path, m in model.named_modules()}
    found["using"] = THREAD.chosen
    found["tensors"]["logits"] = logits(model)
    return found


def same(one: dict, other: dict) -> bool:
    rest = all(one[what] == other[what] for what in one if what != "tensors")
    return rest and same_tensors(one["tensors"], other["tensors"])


def interrupted(act, *delays: float) -> None:
    """Do it, and press Ctrl-C after so many seconds: real signals, so they come where Python handles signals."""

    def press() -> None:
        for delay in delays:
            time.sleep(delay)
            os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    # Now and then torch's C code swallows a KeyboardInterrupt, or makes another error of it: no verb can help that, but
    # what it leaves must be whole all the same.
    with contextlib.suppress(KeyboardInterrupt, lk.LoRAError):
        presser.start()
        act()
        presser.join()
        time.sleep(0.01)
    with contextlib.suppress(KeyboardInterrupt):  # the second of two
        presser.join()
        time.sleep(0.01)


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_leaves_a_verb_undone_or_done(verb, tmp_path):
    interval, (names, act) = sys.getswitchinterval(), VERBS[verb]
    sys.setswitchinterval(1e-5)  # threads that take turns fast enough to press it within a verb of 0.1 ms
    lk.save_adapter(model_with("b"), tmp_path)

    def prepared():
        model = model_with(*names)
        if verb == "unmerge":
            lk.merge(model)
        return model

    bare, model = logits(build("gpt2")), prepared()
    before = seen(model)
    started = time.perf_counter()
    act(model, tmp_path)
    duration, after = time.perf_counter() - started, seen(model)
    outcomes, chance = {"undone": 0, "done": 0}, random.Random(verb)
    for _ in range(size(8, 60)):
        model = prepared()
        interrupted(lambda model=model: act(model, tmp_path), chance.uniform(0, duration))
        found = seen(model)
        outcome = "undone" if same(found, before) else "done" if same(found, after) else "half done"
        assert outcome in outcomes, (outcome, {key: (before[key], found[key]) for key in ("state", "using")})
        outcomes[outcome] += 1
        if lk.is_merged(model):
            lk.unmerge(model)
        lk.eject(model)
        assert torch.equal(logits(model), bare)
        lk.inject(model, CONFIGS["a"], name="again")
    sys.setswitchinterval(interval)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    COUNTED[verb] = outcomes
    if COUNTED.keys() == VERBS.keys():
        record("interrupted_verbs", **COUNTED)


def usable(model, folder: Path) -> None:
    """Forward, generate, save, merge and back, all as if nothing had happened; and nothing is left behind."""
    modules = list(model.modules())
    assert not any(module.training for module in modules) and all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    assert lab.generate_answers(model, TOKENIZER, ["say a:"], 3)
    lk.save_adapter(model, folder / "adapter")
    lk.merge(model)
    lk.unmerge(model)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "our handler is gone"


def test_ctrl_c_in_training_leaves_a_usable_model_and_a_run_that_can_go_on(tmp_path):
    """Once, or (in every third) twice in quick succession."""
    every, undisturbed, found, chance = {"checkpoint_every": 2, "eval_every": 5}, fresh(), Counter(), random.Random(0)
    run(fresh(), **every)
    started = time.perf_counter()
    whole = run(undisturbed, checkpoint=tmp_path / "whole", **every)
    duration = time.perf_counter() - started
    for trial in range(size(3, 60)):
        model, folder, histories = fresh(), tmp_path / str(trial), []
        base, random_state = frozen(model), torch.get_rng_state()
        delays = [chance.uniform(0, 0.9 * duration), chance.uniform(0, 0.01)][: 1 + (trial % 3 == 2)]

        def train(model=model, folder=folder, histories=histories) -> None:
            histories.append(run(model, checkpoint=folder, **every))

        interrupted(train, *delays)
        how = "raised" if not histories else "interrupted" if histories[0].interrupted else "finished"
        found[f"{('once', 'twice')[len(delays) - 1]}: {how}"] += 1
        assert torch.equal(torch.get_rng_state(), random_state)
        assert same_tensors(frozen(model), base), "the base has changed"
        usable(model, folder)
        for resume in (True, False):
            again = fresh()
            history = run(again, checkpoint=folder, resume=resume, **every)
            rows = ([{**row, "tokens_per_s": 0} for row in each.rows] for each in (history, whole))
            assert next(rows) == next(rows) and not history.interrupted, f"another run, resumed: {resume}"
            assert same_tensors(trained(again), trained(undisturbed))
    assert found["once: interrupted"] + found["twice: interrupted"], found
    record("interrupts", trials=size(3, 60), milliseconds=1e3 * duration, **found)


INTERRUPTED = """
import os, signal, sys

import lorakit as lk

class PressCtrlC:
    '''While GPT-2's code and what it needs are imported, deep inside load_base.'''

    pressed = False

    def find_spec(self, name, path, target=None):
        if name.startswith("sympy.calculus") and not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, PressCtrlC())
try:
    lk.load_base("nano")
    print("loaded")
except KeyboardInterrupt:
    print("interrupted", sys.meta_path[0].pressed)
model, tokenizer = lk.load_base("nano")
print(type(model).__name__)
"""


def test_a_load_that_ctrl_c_stops_can_be_tried_again():
    """Cut short there, sympy and torch cannot be imported again: every later load in the kernel would fail."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=240)
    assert done.stdout.split() == ["interrupted", "True", "GPT2LMHeadModel"], done.stdout + done.stderr[-3000:]
