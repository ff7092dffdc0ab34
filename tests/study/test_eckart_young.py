"""Rivals of the SVD never win, and the same attacks beat a copy that is not the best."""

import pytest
import torch

from lorakit.study import eckart_young, rank


@pytest.fixture
def W():
    return torch.randn(14, 9, generator=torch.Generator().manual_seed(0)) @ torch.diag(0.7 ** torch.arange(9.0))


def test_relative_error_is_zero_for_itself_and_one_for_nothing(W):
    assert eckart_young.relative_error(W, W) == 0
    assert eckart_young.relative_error(W, torch.zeros_like(W)) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"shape \(9, 14\)"):
        eckart_young.relative_error(W, W.T)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_random_subspaces_are_used_fully_and_never_beat_the_svd(W, k):
    best = eckart_young.relative_error(W, rank.best_approximation(W, k))
    errors = eckart_young.errors_in_random_subspaces(W, k, tries=200)
    assert errors.shape == (200,) and errors.min() > best and errors.max() <= 1


@pytest.mark.parametrize("step", [0.1, 0.001])
def test_no_neighbour_beats_the_svd(W, step):
    copy = rank.best_approximation(W, 3)
    errors = eckart_young.errors_nearby(W, copy, 3, step, tries=300)
    assert (errors > eckart_young.relative_error(W, copy)).all()


def test_neighbours_beat_a_copy_that_is_not_the_best(W):
    columns = W[:, -3:]  # the three lightest
    copy = columns @ torch.linalg.lstsq(columns, W).solution
    errors = eckart_young.errors_nearby(W, copy, 3, step=0.001, tries=300)
    beaten = (errors < eckart_young.relative_error(W, copy)).float().mean()
    assert 0.2 < beaten < 0.8
