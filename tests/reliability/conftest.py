"""A model with adapters, and a Ctrl-C that interrupts, for all tests here."""

import signal

import pytest
from tiny_models import build, fill

import lorakit as lk


@pytest.fixture
def model():
    """GPT-2 with the adapters "law" (active) and "sql"."""
    model = build("gpt2")
    for seed, name in enumerate(("sql", "law")):
        lk.inject(model, lk.LoRAConfig(r=2, targets=("q", "v", "mlp")), name=name)
        fill(model, name, seed=seed + 1)
    return model


@pytest.fixture
def saved(model, tmp_path):
    return lk.save_adapter(model, tmp_path / "sql", name="sql")


@pytest.fixture(autouse=True)
def ctrl_c_interrupts():
    """Also where the tests were started in the background of a shell, which makes them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
