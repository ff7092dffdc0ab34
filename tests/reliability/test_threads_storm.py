"""Threads generate while others switch, scale, merge, load, delete and eject at random: no output mixes two states."""

import copy
import random
import threading
import time

import pytest
import torch
from figures import record, size
from tiny_models import build, fill, ids, logits

import lorakit as lk
from lorakit.core import threads

OUTPUTS = size(600, 20_000)
READERS, WRITERS = 2, 2
NAMES = ("sql", "law", "med")
CONFIG = lk.LoRAConfig(r=2, targets=("q", "v", "mlp"))
PROMPTS = [ids(rows=1, tokens=n, seed=n) for n in (3, 5, 8)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three saved adapters."""
    donor, folder = build("gpt2"), tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(NAMES):
        lk.inject(donor, CONFIG, name=name)
        fill(donor, name, seed=seed + 1)
        lk.save_adapter(donor, folder / name)
    return {name: folder / name for name in NAMES}


def slow(model):
    """Let other threads in at every block, as a real model's products would."""
    for block in model.transformer.h:
        block.register_forward_pre_hook(lambda *_: time.sleep(random.random() * 4e-4))
    return model


def forward(model, prompt: int) -> bytes:
    return logits(model, PROMPTS[prompt]).numpy().tobytes()


def generate(model, prompt: int) -> bytes:
    """The logits of every step, and so the tokens too."""
    out = model.generate(
        PROMPTS[prompt], max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    return torch.stack(out.logits).numpy().tobytes()


CALLS = (forward, generate)


def every_state(folders) -> dict[tuple, set[bytes]]:
    """(call, prompt) -> the outputs of every state that the changes below can lead to."""
    model, found = build("gpt2"), {}

    def look():
        for call in CALLS:
            for prompt in range(len(PROMPTS)):
                found.setdefault((call, prompt), set()).add(call(model, prompt))

    look()
    for name in NAMES:
        lk.load_adapter(model, folders[name], name=name)
        for strength in (0.5, 1.0):
            lk.set_scale(model, strength)
            look()
            lk.merge(model)
            look()
            lk.unmerge(model)
    return found


def change(model, folders, chance: random.Random) -> None:
    """One change at random; LoRAError where it does not fit the state that the other changers have left."""
    name = chance.choice(NAMES)
    chance.choices(
        (
            lambda: lk.set_adapter(model, chance.choice((name, None))),
            lambda: lk.set_scale(model, chance.choice((0.5, 1.0))),
            lambda: lk.merge(model),
            lambda: lk.unmerge(model),
            lambda: lk.load_adapter(model, folders[name], name=name),
            lambda: lk.delete_adapter(model, name),
            lambda: lk.eject(model),
        ),
        weights=(6, 2, 3, 6, 6, 2, 1),
    )[0]()


def storm(model, folders, outputs: int, seconds: float) -> dict:
    """Run readers and writers until so many outputs were checked; returns counts, and anything that should not be."""
    allowed, seen = every_state(folders), {"outputs": 0, "changes": 0, "refused": 0, "mixtures": 0, "errors": []}
    counted, stop, slowest = threading.Lock(), threading.Event(), [0.0]
    for call, prompt in allowed:
        assert len(allowed[call, prompt]) == 1 + 2 * 2 * len(NAMES), "the states must differ, or nothing is tested"

    def read(number):
        chance = random.Random(number)
        while not stop.is_set():
            call, prompt = chance.choice(CALLS), chance.randrange(len(PROMPTS))
            out = call(model, prompt)
            with counted:
                seen["outputs"] += 1
                seen["mixtures"] += out not in allowed[call, prompt]

    def write(number):
        chance = random.Random(1000 + number)
        while not stop.is_set():
            begin = time.perf_counter()
            try:
                change(model, folders, chance)
                done = "changes"
            except lk.LoRAError:
                done = "refused"
            with counted:
                seen[done] += 1
                slowest[0] = max(slowest[0], time.perf_counter() - begin)
            time.sleep(chance.random() * 2e-3)

    def guarded(work, number):
        try:
            work(number)
        except BaseException as error:  # nothing but LoRAError from a change may happen, and nothing from a call
            seen["errors"].append(f"{type(error).__name__}: {error}")
            stop.set()

    workers = [threading.Thread(target=guarded, args=(read, i), daemon=True) for i in range(READERS)]
    workers += [threading.Thread(target=guarded, args=(write, i), daemon=True) for i in range(WRITERS)]
    deadline = time.monotonic() + seconds
    for worker in workers:
        worker.start()
    while seen["outputs"] < outputs and time.monotonic() < deadline and not stop.is_set():
        time.sleep(0.02)
    stop.set()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers), "a thread hangs"
    return seen | {"slowest_change_s": round(slowest[0], 3)}


def test_every_output_under_concurrent_changes_is_that_of_one_state(folders):
    model = slow(build("gpt2"))
    bare = logits(build("gpt2"))
    seen = storm(model, folders, OUTPUTS, seconds=1200)
    record("threads", readers=READERS, writers=WRITERS, **seen)
    assert not seen["errors"], seen
    assert seen["mixtures"] == 0, seen
    assert seen["outputs"] >= OUTPUTS and seen["changes"] >= OUTPUTS / 20, seen
    if lk.is_merged(model):
        lk.unmerge(model)
    lk.eject(model)
    assert torch.equal(logits(model), bare), "the weights have drifted"


def test_without_the_gate_the_same_storm_sees_mixtures(folders, monkeypatch):
    """The check above can fail: this is what it is there to see."""
    monkeypatch.setattr(threads, "calls_under_way", dict)
    monkeypatch.setattr(threads.Gate, "wait", lambda self: False)
    seen = storm(slow(build("gpt2")), folders, outputs=100_000, seconds=3)
    assert seen["mixtures"] or seen["errors"], seen


def test_a_copy_of_a_model_has_a_gate_of_its_own(folders):
    model = build("gpt2")
    lk.load_adapter(model, folders["sql"], name="sql")
    twin = copy.deepcopy(model)
    gates = {id(layer.gate) for layer in twin._lorakit.layers.values()}
    assert gates == {id(threads.gate_of(twin))} and threads.gate_of(twin) is not threads.gate_of(model)
    with threads.nobody_inside(model, "test"):
        done = []
        reader = threading.Thread(target=lambda: done.append(logits(twin)), daemon=True)
        reader.start()
        reader.join(10)
        assert done, "a call of the copy waits for the original"
