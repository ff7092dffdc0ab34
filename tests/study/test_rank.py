"""Rank, spectra and storage against closed forms."""

import pytest
import torch

from lorakit.study import rank as rk


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
        error = W - rk.Factors.of(W).approximation(k)
        assert torch.linalg.norm(error) == pytest.approx(float(s[k:].square().sum().sqrt()), abs=1e-12)
    assert torch.linalg.norm(W - rk.Factors.of(W).approximation(3), 2) == pytest.approx(float(s[3]))


def test_truncation_reports_the_error_that_can_be_measured():
    W = torch.randn(20, 30, generator=torch.Generator().manual_seed(3))
    factors = rk.Factors.of(W)
    report = factors.truncation(5)
    measured = torch.linalg.norm(W - factors.approximation(5)) / torch.linalg.norm(W)
    assert report.relative_error == pytest.approx(float(measured), rel=1e-4)
    assert report.energy == pytest.approx(1 - report.relative_error**2, rel=1e-5)
    assert (report.stored, report.full) == (250, 600)
