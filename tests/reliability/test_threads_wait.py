"""A change of adapters waits for calls that other threads have under way, and holds new ones up: step by step."""

import os
import signal
import threading
import time

import pytest
import torch
from tiny_models import assert_same, build, fill, ids, logits, same_bits, snapshot
from waiting import NEVER, SOON, run, stopping_at

import lorakit as lk
from lorakit.core import threads

CHANGES = {
    "set_adapter": lambda model, folder: lk.set_adapter(model, "sql"),
    "set_adapter None": lambda model, folder: lk.set_adapter(model, None),
    "set_scale": lambda model, folder: lk.set_scale(model, 0.5),
    "merge": lambda model, folder: lk.merge(model),
    "unmerge": lambda model, folder: lk.unmerge(model),
    "load_adapter": lambda model, folder: lk.load_adapter(model, folder, name="new"),
    "inject": lambda model, folder: lk.inject(model, lk.LoRAConfig(r=1, targets=("o",)), name="new"),
    "delete_adapter": lambda model, folder: lk.delete_adapter(model, "law"),
    "eject": lambda model, folder: lk.eject(model),
}


@pytest.fixture(params=CHANGES)
def change(request, model, saved):
    """Each change in turn, of a model that is ready for it."""
    if request.param == "unmerge":
        lk.merge(model)
    return lambda: CHANGES[request.param](model, saved)


def test_a_change_waits_for_a_forward_that_another_thread_has_under_way(change, model):
    old = logits(model)
    with stopping_at(model.transformer.h[1]) as stop:
        reader, got = stop.call(lambda: logits(model))
        writer, done = run(change)
        writer.join(NEVER)
        assert writer.is_alive(), "the change did not wait for the forward"
        stop.go_on.set()
        reader.join(SOON), writer.join(SOON)
    assert not isinstance(done[0], BaseException), done[0]
    assert same_bits(got[0], old), "the output mixes two states"
    assert not same_bits(logits(model), old)


def test_a_change_waits_for_the_whole_of_a_generation(change, model):
    arrived, go_on = threading.Event(), threading.Event()

    def between_tokens(tokens, scores):
        if tokens.shape[1] == 9:  # two of six tokens have been written
            arrived.set()
            assert go_on.wait(60)
        return scores

    options = dict(max_new_tokens=6, do_sample=False, output_logits=True, return_dict_in_generate=True)
    old = torch.stack(model.generate(ids(), **options).logits)
    reader, got = run(lambda: torch.stack(model.generate(ids(), logits_processor=[between_tokens], **options).logits))
    assert arrived.wait(SOON)
    writer, done = run(change)
    late, _ = run(lambda: time.sleep(0.05) or model.generate(ids(), **options))
    writer.join(NEVER)
    assert writer.is_alive(), "the change did not wait for the generation"
    assert late.is_alive(), "a call that came later must wait for the change, or it might never get its turn"
    go_on.set()
    reader.join(SOON), writer.join(SOON), late.join(SOON)
    assert not late.is_alive() and not isinstance(done[0], BaseException), done
    assert same_bits(got[0], old), "the generation mixes two states"


def test_a_call_that_begins_during_a_change_sees_all_of_it(change, model, monkeypatch):
    old, halfway, go_on = logits(model), threading.Event(), threading.Event()
    writers, closes = [], threads.Gate.close

    def close(gate, *arguments):
        closes(gate, *arguments)
        if threading.current_thread() in writers:
            halfway.set()
            assert go_on.wait(60)

    monkeypatch.setattr(threads.Gate, "close", close)
    begin = threading.Event()
    writer, done = run(lambda: begin.wait() and change())
    writers.append(writer)
    begin.set()
    assert halfway.wait(SOON)
    reader, got = run(lambda: logits(model))
    inner, hidden = run(lambda: model.transformer(input_ids=ids())[0].detach())  # not by way of the model's own forward
    reader.join(NEVER)
    assert reader.is_alive() and inner.is_alive(), "a call went into the model in the middle of a change"
    go_on.set()
    writer.join(SOON), reader.join(SOON), inner.join(SOON)
    assert not isinstance(done[0], BaseException), done[0]
    assert same_bits(got[0], logits(model)) and not same_bits(got[0], old)
    with torch.no_grad():
        assert same_bits(hidden[0], model.transformer(input_ids=ids())[0])


def test_the_first_adapter_of_a_model_comes_between_two_calls(tmp_path):
    donor = build("gpt2")
    lk.inject(donor, lk.LoRAConfig(r=2, targets=("q", "mlp")))
    fill(donor, "default")
    folder = lk.save_adapter(donor, tmp_path)
    model = build("gpt2")
    old = logits(model)
    with stopping_at(model.transformer.h[1]) as stop:
        reader, got = stop.call(lambda: logits(model))
        writer, _ = run(lambda: lk.load_adapter(model, folder))
        writer.join(NEVER)
        late, later = run(lambda: logits(model))
        direct, hidden = run(lambda: model.transformer.h[1].mlp(torch.ones(1, 1, 24)).detach())
        late.join(NEVER)
        assert writer.is_alive() and late.is_alive() and direct.is_alive()
        stop.go_on.set()
        for thread in (reader, writer, late, direct):
            thread.join(SOON)
    assert same_bits(got[0], old)
    assert same_bits(later[0], logits(donor))
    with torch.no_grad():
        assert same_bits(hidden[0], donor.transformer.h[1].mlp(torch.ones(1, 1, 24)))


def test_a_saved_head_and_its_adapter_change_together():
    model = build("bert_classifier")
    config = lk.LoRAConfig(r=2, targets=("q",), modules_to_save=("classifier",))
    for name in ("one", "two"):
        lk.inject(model, config, name=name)
        fill(model, name)
        with torch.no_grad():
            model.classifier.weight.normal_(generator=torch.Generator().manual_seed(len(name) + ord(name[0])))
    lk.set_adapter(model, "one")
    old = logits(model)
    with stopping_at(model.bert.encoder.layer[1]) as stop:
        reader, got = stop.call(lambda: logits(model))
        writer, _ = run(lambda: lk.set_adapter(model, "two"))
        writer.join(NEVER)
        stop.go_on.set()
        reader.join(SOON), writer.join(SOON)
    assert same_bits(got[0], old)
    assert lk.active_adapter(model) == "two" and not same_bits(logits(model), old)


def test_a_change_that_would_wait_too_long_is_refused_and_changes_nothing(change, model, monkeypatch):
    monkeypatch.setattr(threads, "PATIENCE", 0.1)
    before = snapshot(model)
    with stopping_at(model.transformer.h[1]) as stop:
        reader, _ = stop.call(lambda: logits(model))
        with pytest.raises(lk.LoRAError, match="another thread has been inside a model"):
            change()
        stop.go_on.set()
        reader.join(SOON)
    assert_same(before, snapshot(model))
    change()


def test_a_call_that_would_wait_too_long_for_a_change_is_refused(model, monkeypatch):
    monkeypatch.setattr(threads, "PATIENCE", 0.1)
    with threads.nobody_inside(model, "test"):
        reader, got = run(lambda: logits(model))
        reader.join(SOON)
        second, refused = run(lambda: lk.set_adapter(model, "sql"))
        second.join(SOON)
    assert isinstance(got[0], lk.LoRAError) and "changing the model's adapters" in str(got[0])
    assert isinstance(refused[0], lk.LoRAError) and "cannot switch adapters" in str(refused[0])
    assert lk.active_adapter(model) == "law"


def test_a_mixed_batch_begins_and_ends_between_the_calls_of_other_threads(model):
    lk.set_adapter(model, None)
    old, mixed_now, leave = logits(model), threading.Event(), threading.Event()
    names = ["law", "sql", None]

    def mix():
        with lk.mixed_batch(model, names):
            mixed_now.set()
            assert leave.wait(60)
            return logits(model)

    with stopping_at(model.transformer.h[1]) as stop:
        reader, got = stop.call(lambda: logits(model))
        mixer, rows = run(mix)
        assert not mixed_now.wait(NEVER)
        stop.go_on.set()
        assert mixed_now.wait(SOON)
    assert same_bits(got[0], old)
    with pytest.raises(lk.LoRAError, match="mixed_batch"):  # refused at once: the block may take as long as it likes
        lk.set_adapter(model, "law")
    inside = logits(model)  # a thread started within the block to stream a generation sees the block's rows
    leave.set()
    mixer.join(SOON)
    assert same_bits(inside, rows[0]) and not same_bits(inside, old)
    assert same_bits(logits(model), old)


def test_a_thread_may_change_adapters_from_within_its_own_call(model):
    """As a streamer or a stopping criterion would: its own doing is no surprise to it."""

    def switch(tokens, scores):
        lk.set_adapter(model, "sql")
        return scores

    model.generate(ids(), max_new_tokens=3, do_sample=False, logits_processor=[switch])
    assert lk.active_adapter(model) == "sql"


def test_a_function_named_generate_is_one_call(model):
    """As every library names it, whatever wraps the model: transformers, a pipeline, somebody's own sampling loop."""
    arrived, go_on = threading.Event(), threading.Event()

    def generate():  # two calls of the model that belong together
        first = logits(model)
        arrived.set()
        assert go_on.wait(60)
        return first, logits(model)

    reader, got = run(generate)
    assert arrived.wait(SOON)
    writer, _ = run(lambda: lk.set_adapter(model, "sql"))
    writer.join(NEVER)
    assert writer.is_alive()
    go_on.set()
    reader.join(SOON), writer.join(SOON)
    assert same_bits(*got[0])


def test_ctrl_c_during_a_change_arrives_when_the_change_is_whole(model):
    handler = signal.getsignal(signal.SIGINT)
    for _ in range(200):
        whole = False
        with pytest.raises(KeyboardInterrupt), threads.nobody_inside(model, "test"):
            signal.raise_signal(signal.SIGINT)
            lk.set_adapter(model, None)
            whole = True
        assert whole and not threads.gate_of(model).closed and signal.getsignal(signal.SIGINT) is handler
    lk.set_adapter(model, "law")


def test_ctrl_c_ends_the_wait_for_another_thread_and_changes_nothing(model):
    before = snapshot(model)
    with stopping_at(model.transformer.h[1]) as stop:
        reader, _ = stop.call(lambda: logits(model))
        threading.Timer(NEVER, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            lk.set_adapter(model, "sql")
        assert reader.is_alive()
        stop.go_on.set()
        reader.join(SOON)
    assert_same(before, snapshot(model))
    assert not threads.gate_of(model).closed


def test_a_call_held_up_by_one_change_and_found_inside_by_the_next_looks_its_layer_up_anew(model):
    gate, change = threads.gate_of(model), threads.nobody_inside(model, "test")
    with change:
        reader, got = run(lambda: model.transformer.h[0].mlp.c_fc(torch.ones(1, 1, 24)).detach())
        reader.join(NEVER)
        assert reader.is_alive()
        lk.eject(model)
        gate.moved.acquire()  # the reader, though woken, cannot go on yet
    gate.closed, gate.owner, gate.inside = True, threading.get_ident(), threads.calls_under_way()
    gate.moved.release()
    reader.join(SOON)
    gate.open()
    with torch.no_grad():
        assert same_bits(got[0], model.transformer.h[0].mlp.c_fc(torch.ones(1, 1, 24)))
