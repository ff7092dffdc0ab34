"""Rank, spectra and storage against closed forms."""

import math

import pytest
import torch

from lorakit.study import rank as rk


def outer_sum(d, k, r, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    B, A = (torch.randn(n, m, generator=generator, dtype=dtype) for n, m in ((d, r), (r, k)))
    return B @ A


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("r", [1, 3, 7])
def test_numerical_rank_of_r_outer_products_is_r(dtype, r):
    assert rk.numerical_rank(outer_sum(40, 25, r, dtype)) == r


def test_numerical_rank_counts_small_values_only_when_asked():
    W = torch.diag(torch.tensor([1.0, 1e-3, 1e-12]))
    assert rk.numerical_rank(W) == 2
    assert rk.numerical_rank(W, tolerance=1e-2) == 1
    assert rk.numerical_rank(torch.zeros(3, 4)) == 0


def test_equal_singular_values_give_every_effective_rank_n():
    s = torch.full((6,), 2.5)
    assert rk.stable_rank(s) == pytest.approx(6)
    assert rk.entropy_rank(s) == pytest.approx(6)


def test_effective_ranks_of_two_values_in_closed_form():
    s = torch.tensor([3.0, 1.0, 0.0])
    assert rk.stable_rank(s) == pytest.approx(10 / 9)
    assert rk.entropy_rank(s) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))


def test_energy_in_top_k_in_closed_form():
    s = torch.tensor([4.0, 3.0])
    assert rk.energy_in_top(s, 0) == 0
    assert rk.energy_in_top(s, 1) == pytest.approx(16 / 25)
    assert rk.energy_in_top(s, 2) == pytest.approx(1)
    assert rk.rank_for_energy(s, 0.6) == 1
    assert rk.rank_for_energy(s, 0.65) == 2
    assert rk.rank_for_energy(s, 1.0) == 2


def test_best_approximation_error_is_the_dropped_singular_values():
    W = torch.randn(12, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    s = rk.singular_values(W)
    for k in range(9):
        error = W - rk.best_approximation(W, k)
        assert torch.linalg.norm(error) == pytest.approx(float(s[k:].square().sum().sqrt()), abs=1e-12)
    assert torch.linalg.norm(W - rk.best_approximation(W, 3), 2) == pytest.approx(float(s[3]))


def test_truncation_reports_the_error_that_can_be_measured():
    W = torch.randn(20, 30, generator=torch.Generator().manual_seed(3))
    factors = rk.Factors.of(W)
    report = factors.truncation(5)
    measured = torch.linalg.norm(W - factors.approximation(5)) / torch.linalg.norm(W)
    assert report.relative_error == pytest.approx(float(measured), rel=1e-4)
    assert report.energy == pytest.approx(1 - report.relative_error**2, rel=1e-5)
    assert (report.stored, report.full) == (250, 600)


def test_impossible_ranks_and_shares_are_refused():
    with pytest.raises(ValueError, match="between 0 and 3"):
        rk.best_approximation(torch.eye(3), 4)
    with pytest.raises(ValueError, match="share"):
        rk.rank_for_energy(torch.ones(2), 0.0)
