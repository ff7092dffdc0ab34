"""Where threads meet forks, compiled code, callbacks, and classes that resist."""

import os
import signal
import sys
import threading

import pytest
import torch
from tiny_models import assert_same, ids, logits, same_bits, snapshot
from torch import nn
from waiting import NEVER, SOON, run, stopping_at

import lorakit as lk
from lorakit.core import threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_during_a_change_is_not_held_up_by_it(model):
    ready, leave = threading.Event(), threading.Event()

    def hold():
        with threads.nobody_inside(model, "test"), threads.gate_of(model).moved, threads._gates_lock:
            ready.set()
            assert leave.wait(60)

    holder, _ = run(hold)
    assert ready.wait(SOON)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        done = False
        try:
            torch.set_num_threads(1)
            lk.set_adapter(model, "sql")
            done = torch.isfinite(logits(model)).all() and lk.active_adapter(model) == "sql"
        finally:
            os._exit(0 if done else 1)
    leave.set()
    holder.join(SOON)
    assert os.waitpid(child, 0)[1] == 0


def test_compiled_calls_wait_for_a_change_too(model, saved):
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        compiled(input_ids=ids())
        with threads.nobody_inside(model, "test"):
            reader, got = run(lambda: compiled(input_ids=ids()).logits.detach())
            reader.join(10 * NEVER)
            assert reader.is_alive(), "compiled code went through the gate"
            lk.set_adapter(model, "sql")
        reader.join(60)
        assert same_bits(got[0], compiled(input_ids=ids()).logits)


def test_a_verb_within_a_call_that_another_change_waits_for_is_refused_at_once(model):
    arrived, go_on, refused = threading.Event(), threading.Event(), []

    def callback(tokens, scores):
        arrived.set()
        assert go_on.wait(60)
        try:
            lk.set_scale(model, 0.5)
        except lk.LoRAError as error:
            refused.append(str(error))
        return scores

    reader, _ = run(lambda: model.generate(ids(), max_new_tokens=1, do_sample=False, logits_processor=[callback]))
    assert arrived.wait(SOON)
    writer, done = run(lambda: lk.set_adapter(model, "sql"))
    writer.join(NEVER)
    go_on.set()
    reader.join(SOON), writer.join(SOON)
    assert not reader.is_alive() and not writer.is_alive(), "each waits for the other"
    assert done == [None] and "within a call" in refused[0]


def test_leaving_a_mixed_batch_waits_for_as_long_as_it_takes(model, monkeypatch):
    monkeypatch.setattr(threads, "PATIENCE", 0.1)
    with stopping_at(model.transformer.h[1]) as stop:
        with pytest.raises(ZeroDivisionError), lk.mixed_batch(model, ["law", "sql", None]):
            rows = logits(model)
            reader, got = stop.call(lambda: logits(model))
            threading.Timer(0.5, stop.go_on.set).start()
            raise ZeroDivisionError  # the error of the block is what comes out of it
        reader.join(SOON)
    assert same_bits(got[0], rows)


def test_a_verb_in_a_verb_lets_ctrl_c_end_its_wait(model):
    before = snapshot(model)
    with stopping_at(model.transformer.h[1]) as stop:
        reader, _ = stop.call(lambda: logits(model))
        threading.Timer(NEVER, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            lk.merge(model)
        assert reader.is_alive()
        stop.go_on.set()
        reader.join(SOON)
    assert_same(before, snapshot(model))


def test_a_handler_that_steps_aside_at_the_first_ctrl_c_is_not_put_back(model):
    def politely(*_):
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, politely)
    with threads.one_verb(model, "test") as (_, ctrl_c):
        signal.raise_signal(signal.SIGINT)
        ctrl_c.deliver()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
            ctrl_c.deliver()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_layer_that_was_taken_out_between_two_instructions_of_its_call_is_looked_up_anew(model):
    """The call has fetched the adapted layer's forward, and meanwhile the layer is a plain one again."""
    layer = model.transformer.h[0].mlp.c_fc
    forward = layer.forward
    lk.eject(model)
    with torch.no_grad():
        assert same_bits(forward(torch.ones(1, 1, 24)), layer(torch.ones(1, 1, 24)))


class Resists(nn.Linear):
    def __init_subclass__(cls):
        raise TypeError("no subclasses")


class OwnRows(nn.Linear):
    rows = None

    def __init__(self, *args):
        super().__init__(*args)
        self.rows = 3


def made_in_inference_mode():
    with torch.inference_mode():
        return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: nn.Sequential(nn.Linear(4, 4), Resists(4, 4)), "refuses subclasses"),
        (lambda: nn.Sequential(nn.Linear(4, 4), OwnRows(4, 4)), "named rows"),
        (made_in_inference_mode, "inference_mode"),
    ],
)
def test_a_layer_that_cannot_be_adapted_is_refused_before_anything_changes(make, says):
    net = make()
    before = snapshot(net)
    with pytest.raises(lk.LoRAError, match=says):
        lk.inject(net, lk.LoRAConfig(r=1, targets=("0", "1")))
    assert_same(before, snapshot(net))


def test_a_strength_without_a_float_is_refused(model):
    with pytest.raises(lk.LoRAError, match="finite number"):
        lk.set_scale(model, 10**400)


def test_stacks_are_read_without_touching_variables():
    """Reading another thread's variables crashes Python 3.11 (and keeps them alive): only code is looked at."""
    from lorakit.core import stacks

    names = {name for function in (stacks._look, stacks.is_under_way) for name in function.__code__.co_names}
    assert "f_code" in names and "f_locals" not in names and "f_globals" not in names
    assert hasattr(sys, "_current_frames")
