"""Table 7's numbers, against cases known in closed form, and the paper's own random column."""

import pytest
import torch

from lorakit.study.amplification import PAPER, amplification
from lorakit.study.rank import Factors
from lorakit.study.subspace import random_directions

U, V = random_directions(9, 6, seed=0), random_directions(7, 6, seed=1)
W = U @ torch.diag(torch.tensor([6.0, 5, 4, 3, 2, 1], dtype=torch.float64)) @ V.T


def test_an_update_along_weak_directions_of_w_amplifies_them():
    delta = Factors.of(30 * U[:, 4:] @ V[:, 4:].T)  # along the two weakest, 2 and 1
    found = amplification(W, delta, r=2)
    assert found.delta == pytest.approx(30 * 2**0.5) and found.along_delta == pytest.approx(5**0.5)
    assert found.factor == pytest.approx(30 * 2**0.5 / 5**0.5)
    assert abs(found.W - 91**0.5) < 1e-9 and found.along_W == pytest.approx(61**0.5)
    assert found.along_random == pytest.approx(91**0.5 * 2 / 63**0.5)


def test_no_directions_hold_more_of_w_than_its_own():
    for seed in range(20):
        delta = torch.randn(9, 3, generator=torch.Generator().manual_seed(seed)).double() @ torch.ones(3, 7).double()
        found = amplification(W, Factors.of(delta), r=1)
        assert found.along_delta <= found.along_W + 1e-9


def test_chance_by_formula_is_chance_by_sampling():
    rotated = (Factors(random_directions(9, 3, seed), torch.ones(3), random_directions(7, 3, seed + 1).T)
               for seed in range(0, 1600, 2))  # fmt: skip
    found = [amplification(W, delta, r=3) for delta in rotated]
    by_sampling = (sum(one.along_delta**2 for one in found) / len(found)) ** 0.5
    assert by_sampling == pytest.approx(found[0].along_random, rel=0.05)


@pytest.mark.parametrize("row", PAPER, ids=["r=4", "r=64"])
def test_the_papers_random_column_is_the_formula(row):
    assert row.W * row.r / 12288 == pytest.approx(row.along_random, abs=0.01)
