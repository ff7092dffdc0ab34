"""The same seed gives the same numbers, bit for bit with one thread count."""

import random
from pathlib import Path

import numpy
import pytest
import torch

from tests.support.figures import record, size
from tests.support.processes import figures_of
from tests.support.repeating import RUNS, numbers


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_done_again_gives_the_same_bits_whatever_came_before(name, one_thread):
    torch.manual_seed(1)
    first = numbers(name)
    torch.manual_seed(2)
    random.seed(3)
    numpy.random.seed(4)
    numbers("full")  # another run in between, and a random state that was drawn from
    torch.randn(17)
    assert numbers(name) == first


def test_fresh_processes_give_the_same_bits_whatever_their_hash_seed(one_thread):
    script = Path(__file__).parents[1] / "support" / "repeating.py"
    here = {name: numbers(name) for name in RUNS}
    for seed in range(1, 1 + size(1, 4)):
        assert figures_of(script, PYTHONHASHSEED=str(seed)) == here, f"PYTHONHASHSEED={seed}"
    record("numbers", runs=len(RUNS), processes=size(1, 4))
