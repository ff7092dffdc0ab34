"""Rivals of the SVD: matrices of rank k that try to come closer to W than its best approximation, and cannot.

Eckart & Young 1936: among all matrices of rank at most k, the truncated SVD has the smallest ‖W − X‖_F.
All errors here are relative, ‖W − X‖_F / ‖W‖_F, computed in float64 so that a narrow defeat is not rounding.
"""

import torch
from torch import Tensor


def relative_error(W: Tensor, copy: Tensor) -> float:
    """‖W − copy‖_F / ‖W‖_F: 0 for an exact copy, 1 for the zero matrix."""
    if W.shape != copy.shape:
        raise ValueError(f"the copy has shape {tuple(copy.shape)}, W has {tuple(W.shape)}")
    W = W.detach().double()
    return float(torch.linalg.norm(W - copy.detach().double()) / torch.linalg.norm(W))


def errors_in_random_subspaces(W: Tensor, rank: int, tries: int, seed: int = 0) -> Tensor:
    """Errors of the best copies of W (d, k) whose columns lie in random subspaces of dimension `rank`: (tries,).

    Each rival is strong: its columns are drawn at random, but it uses them as well as they can be used (least squares).
    """
    W = W.detach().double()
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randn(tries, W.shape[0], rank, generator=generator, dtype=W.dtype)
    basis = torch.linalg.qr(columns).Q  # (tries, d, rank), orthonormal columns
    kept = (basis.mT @ W).square().sum((1, 2))  # ‖projection‖²; what is left over is at a right angle to it
    return (1 - kept / W.square().sum()).clamp(min=0).sqrt()


def errors_nearby(W: Tensor, copy: Tensor, rank: int, step: float, tries: int, seed: int = 0) -> Tensor:
    """Errors of random neighbours of `copy` (d, k) that also have rank `rank`: (tries,).

    The copy is written as B A with factors of `rank` columns and rows, and both are moved in a random direction, by
    `step` times their own size.
    """
    W = W.detach().double()
    U, s, Vh = torch.linalg.svd(copy.detach().double(), full_matrices=False)
    signs = U.sum(0).sign()  # u and v may both be turned round: fix which way, or the result depends on the library
    U, Vh = U * signs, Vh * signs[:, None]
    B, A = U[:, :rank] * s[:rank].sqrt(), s[:rank].sqrt()[:, None] * Vh[:rank]  # (d, rank), (rank, k)
    generator = torch.Generator().manual_seed(seed)

    def moved(factor):
        noise = torch.randn(tries, *factor.shape, generator=generator, dtype=factor.dtype)
        length = torch.linalg.norm(noise, dim=(1, 2), keepdim=True)
        return factor + step * torch.linalg.norm(factor) * noise / length

    return torch.linalg.norm(W - moved(B) @ moved(A), dim=(1, 2)) / torch.linalg.norm(W)
