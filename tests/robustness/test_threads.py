"""Threads inside `using` generate and call while others switch and scale at random: no output is another adapter's."""

import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import torch

import lorakit as lk
from tests.support.figures import record, size
from tests.support.tiny_models import build, fill, ids, logits

OUTPUTS = size(300, 20_000)
READERS, WRITERS = 3, 2
NAMES = ("sql", "law", "med")
STRENGTHS = (0.5, 1.0)
CHOICES = (*NAMES, None, ("sql", None, "law"))
CONFIG = lk.LoRAConfig(r=2, targets=("q", "v", "mlp"))
PROMPTS = [ids(rows=3, tokens=n, seed=n) for n in (3, 5, 8)]


@pytest.fixture
def model():
    """Three adapters, and blocks that let other threads in, as a real model's products would."""
    model = build("gpt2")
    for seed, name in enumerate(NAMES):
        lk.inject(model, CONFIG, name=name)
        fill(model, name, seed=seed + 1)
    for block in model.transformer.h:
        block.register_forward_pre_hook(lambda *_: time.sleep(random.random() * 4e-4))
    return model


def forward(model, prompt: int) -> bytes:
    return logits(model, PROMPTS[prompt]).numpy().tobytes()


def generate(model, prompt: int) -> bytes:
    """The logits of every step, and so the tokens too."""
    options = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)
    return torch.stack(model.generate(PROMPTS[prompt], **options).logits).numpy().tobytes()


CALLS = (forward, generate)


def right_outputs(model) -> dict[tuple, set[bytes]]:
    """(choice, call, prompt) -> its outputs at each strength that its adapters may have."""
    found = {}
    for first in STRENGTHS:
        for second in STRENGTHS:
            for name, strength in zip(NAMES, (first, second, first), strict=True):
                lk.set_adapter(model, name)
                lk.set_scale(model, strength)
            for choice in CHOICES:
                with lk.using(model, choice):
                    for call in CALLS:
                        for prompt in range(len(PROMPTS)):
                            found.setdefault((choice, call, prompt), set()).add(call(model, prompt))
    return found


def storm(model, outputs: int, seconds: float) -> dict:
    """Readers answer, each inside `using`, and writers switch and scale, until so many were checked."""
    right, seen = right_outputs(model), {"outputs": 0, "switches": 0, "wrong": 0}
    counted, stop = threading.Lock(), threading.Event()

    def read(chance):
        choice, call, prompt = chance.choice(CHOICES), chance.choice(CALLS), chance.randrange(len(PROMPTS))
        with lk.using(model, choice):
            out = call(model, prompt)
        with counted:
            seen["outputs"] += 1
            seen["wrong"] += out not in right[choice, call, prompt]

    def write(chance):
        lk.set_adapter(model, chance.choice(NAMES))
        lk.set_scale(model, chance.choice(STRENGTHS))
        with counted:
            seen["switches"] += 1
        time.sleep(chance.random() * 1e-3)

    def work(action, number):
        chance = random.Random(number)
        while not stop.is_set():
            action(chance)

    roles, deadline = [read] * READERS + [write] * WRITERS, time.monotonic() + seconds
    with ThreadPoolExecutor(len(roles)) as pool:
        workers = [pool.submit(work, role, number) for number, role in enumerate(roles)]
        while seen["outputs"] < outputs and time.monotonic() < deadline and not any(map(Future.done, workers)):
            time.sleep(0.02)
        stop.set()
    seen["errors"] = [repr(worker.exception()) for worker in workers if worker.exception()]
    return seen


def test_every_output_inside_using_is_that_of_its_own_adapter(model):
    seen = storm(model, OUTPUTS, seconds=1200)
    record("threads", readers=READERS, writers=WRITERS, **seen)
    assert not seen["errors"] and seen["wrong"] == 0, seen
    assert seen["outputs"] >= OUTPUTS and seen["switches"] >= OUTPUTS / 4, seen
