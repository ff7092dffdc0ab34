"""What rank a matrix has, how much of it few directions hold, and what a low-rank copy costs to store.

Every function takes either a matrix `W` (d, k) or its singular values `s` (min(d, k),), largest first.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def singular_values(W: Tensor) -> Tensor:
    """Singular values of W (d, k), largest first, in float64: (min(d, k),)."""
    return torch.linalg.svdvals(W.detach().double())


def energy(s: Tensor) -> Tensor:
    """Share of ‖W‖²_F held by the top 1, 2, …, n singular values: (n,), rising to 1."""
    squares = s.double() ** 2
    return squares.cumsum(0) / squares.sum()


def energy_in_top(s: Tensor, k: int) -> float:
    """Share of ‖W‖²_F held by the `k` largest singular values, between 0 and 1."""
    return 0.0 if k == 0 else float(energy(s)[min(k, len(s)) - 1])


def rank_for_energy(s: Tensor, share: float) -> int:
    """Smallest k whose top k singular values hold at least `share` (above 0, at most 1) of ‖W‖²_F."""
    return min(int((energy(s) < share - 1e-12).sum()) + 1, len(s))


def break_even_rank(d: int, k: int) -> float:
    """The rank at which B (d, r) and A (r, k) hold as many numbers as W (d, k) itself: dk / (d + k).

    Below it factors are smaller, above it they are larger. For a square matrix it is d / 2.
    """
    return d * k / (d + k)


@dataclass(frozen=True)
class Truncation:
    """What keeping the top `rank` directions of a (d, k) matrix costs and keeps."""

    rank: int
    stored: int  # numbers in the two factors, rank (d + k)
    full: int  # numbers in the matrix, dk
    energy: float  # share of ‖W‖²_F kept, 0 to 1
    relative_error: float  # ‖W − W_rank‖_F / ‖W‖_F

    @property
    def share(self) -> float:
        """Stored numbers as a share of the full matrix's; above 1 the factors are the bigger."""
        return self.stored / self.full


@dataclass(frozen=True)
class Factors:
    """A matrix taken apart once, so that every rank after that is a slice: W = U diag(s) Vh."""

    U: Tensor  # (d, n)
    s: Tensor  # (n,)
    Vh: Tensor  # (n, k)

    @classmethod
    def of(cls, W: Tensor) -> "Factors":
        """The SVD of W (d, k), n = min(d, k)."""
        return cls(*torch.linalg.svd(W.detach(), full_matrices=False))

    @property
    def shape(self) -> tuple[int, int]:
        return self.U.shape[0], self.Vh.shape[1]

    def approximation(self, k: int) -> Tensor:
        """The best approximation of rank `k`: (d, k'). Rank 0 is the zero matrix."""
        if not 0 <= k <= len(self.s):
            raise ValueError(f"rank must be between 0 and {len(self.s)}, got {k}")
        return (self.U[:, :k] * self.s[:k]) @ self.Vh[:k]  # (d, n→k) @ (k, k')

    def truncation(self, k: int) -> Truncation:
        """The price and the error of keeping `k` directions; the error is read off the dropped singular values."""
        rows, columns = self.shape
        kept = energy_in_top(self.s, k)
        dropped = self.s[k:].double().square().sum() / self.s.double().square().sum()
        return Truncation(k, k * (rows + columns), rows * columns, kept, float(dropped.sqrt()))
