"""φ and its floor, against cases known in closed form."""

import pytest
import torch

from lorakit.study.subspace import (
    floor,
    left_directions,
    random_directions,
    right_directions,
    similarity,
)


def test_phi_agrees_with_its_definition_for_every_i_and_j():
    U, V = random_directions(12, 4, seed=0), random_directions(12, 7, seed=1)
    phi = similarity(U, V)
    assert phi.shape == (4, 7)
    for i in range(1, 5):
        for j in range(1, 8):
            norm = torch.linalg.matrix_norm(U[:, :i].T @ V[:, :j]) ** 2
            assert float(phi[i - 1, j - 1]) == pytest.approx(float(norm) / min(i, j))


def test_phi_is_one_inside_and_zero_at_right_angles():
    Q = random_directions(9, 9, seed=0)
    inside = similarity(Q[:, :3], Q[:, :5])
    assert torch.allclose(inside.diagonal(), torch.ones(3, dtype=torch.float64))
    assert torch.allclose(inside[2, 2:], torch.ones(3, dtype=torch.float64))
    assert similarity(Q[:, :3], Q[:, 3:]).max() < 1e-20


def test_directions_of_a_and_b_live_in_inputs_and_outputs():
    B, A = torch.randn(9, 3), torch.randn(3, 7)
    for directions, n in ((right_directions(A), 7), (left_directions(B), 9)):
        assert directions.shape == (n, 3)
        assert torch.allclose(directions.T @ directions, torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert torch.linalg.matrix_rank(torch.cat([A.double(), right_directions(A).T])) == 3


@pytest.mark.parametrize(("i", "j", "n"), [(1, 1, 8), (2, 5, 8), (5, 2, 8), (4, 4, 5), (3, 40, 64)])
def test_the_floor_by_formula_is_the_floor_by_sampling(i, j, n):
    exact, still = floor(i, j, n), random_directions(n, j, seed=0)
    tried = torch.stack([similarity(random_directions(n, i, seed), still)[-1, -1] for seed in range(1, 2001)])
    assert float(tried.mean()) == pytest.approx(exact.mean, abs=5 * exact.std / 2000**0.5)
    assert float(tried.std()) == pytest.approx(exact.std, rel=0.1)
    assert exact == floor(j, i, n)


def test_against_the_whole_space_there_is_no_chance():
    assert floor(3, 8, 8).mean == 1 and floor(3, 8, 8).std == 0
