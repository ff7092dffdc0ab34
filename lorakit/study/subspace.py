"""How much two sets of directions have in common, beside what chance alone would give (Hu et al. 2021, section 7.2).

Directions are orthonormal columns, most important first: U (n, p) and V (n, q), p and q directions in R^n.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def right_directions(A: Tensor) -> Tensor:
    """The right-singular vectors of A (r, n), as columns: (n, r). What A listens to in its inputs, loudest first."""
    return torch.linalg.svd(A.detach().double(), full_matrices=False).Vh.T


def left_directions(B: Tensor) -> Tensor:
    """The left-singular vectors of B (n, r), as columns: (n, r). Where B writes in its outputs, loudest first."""
    return torch.linalg.svd(B.detach().double(), full_matrices=False).U


def similarity(U: Tensor, V: Tensor) -> Tensor:
    """φ(i, j) = ‖U_iᵀ V_j‖²_F / min(i, j) for all i ≤ p and j ≤ q at once: (p, q); entry [i − 1, j − 1] is φ(i, j).

    U_i and V_j are the first i and j columns of U (n, p) and V (n, q), which must be orthonormal. 1: the smaller
    subspace lies inside the larger; 0: they are at right angles. Hu et al. 2021, eq. 4. One table of squared inner
    products, summed from its top left corner, gives every φ: the p q separate norms would repeat each product.
    """
    squares = (U.T @ V).square()  # (p, q), squared cosines
    i, j = (torch.arange(1, count + 1) for count in squares.shape)  # (p,), (q,)
    return squares.cumsum(0).cumsum(1) / torch.minimum(i[:, None], j).to(squares)


@dataclass(frozen=True)
class Floor:
    """What φ is for subspaces that have nothing to do with each other: its mean and standard deviation."""

    mean: float
    std: float


def floor(i: int, j: int, n: int) -> Floor:
    """φ(i, j) of two random subspaces of R^n, exactly: mean max(i, j) / n, and the standard deviation around it.

    A unit vector has 1/n of its squared length along any direction, on average; of i·j squared cosines the mean of the
    sum is therefore i j / n, and i j / min(i, j) = max(i, j). The variance of ‖U_iᵀ V_j‖²_F is
    2 i j (n − i)(n − j) / (n² (n − 1)(n + 2)), from the fourth moments of a random orthogonal matrix; it is zero when
    one subspace is the whole space.
    """
    variance = 2 * i * j * (n - i) * (n - j) / (n**2 * (n - 1) * (n + 2)) if n > 1 else 0.0
    return Floor(max(i, j) / n, variance**0.5 / min(i, j))


def random_directions(n: int, p: int, seed: int) -> Tensor:
    """p random orthonormal directions in R^n: (n, p)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(n, p, generator=generator, dtype=torch.float64)).Q
