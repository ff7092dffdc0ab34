"""How large the update (alpha / r) B A is, and what alpha / sqrt(r) would make of it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def scaling(alpha: float, r: int, use_rslora: bool = False) -> float:
    """alpha / r (Hu et al. 2021, §4.1), or alpha / √r (rank-stabilised LoRA, Kalajdzievski 2023)."""
    if r < 1:
        raise ValueError(f"r must be at least 1, got {r}")
    return alpha / math.sqrt(r) if use_rslora else alpha / r


@dataclass(frozen=True)
class UpdateSize:
    """The size of one scaled update."""

    scaling: float
    norm: float  # ‖s B A‖_F
    output_change: float  # root mean square of s B A x, for the inputs x given


def update_size(B: Tensor, A: Tensor, x: Tensor, alpha: float, r: int, use_rslora: bool = False) -> UpdateSize:
    """Size of s B_r A_r, where B_r (d, r) and A_r (r, k) are the first r columns and rows of B (d, R) and A (R, k).

    x (n, k) are inputs; s is `scaling(alpha, r, use_rslora)`.
    """
    if not 1 <= r <= A.shape[0]:
        raise ValueError(f"r must be between 1 and {A.shape[0]}, got {r}")
    s = scaling(alpha, r, use_rslora)
    delta = B[:, :r] @ A[:r]  # (d, k)
    change = x @ delta.T  # (n, d)
    return UpdateSize(s, s * float(torch.linalg.norm(delta)), s * float(change.square().mean().sqrt()))


def unit_sizes(draws, ranks) -> dict[int, UpdateSize]:
    """Sizes at scaling 1 for every rank, as root mean squares over `draws`, a list of (B, A, x).

    The size is proportional to the scaling, so these are all that a curve over alpha and r needs: see `scaled`.
    """
    sizes = {}
    for r in ranks:
        each = [update_size(B, A, x, alpha=r, r=r) for B, A, x in draws]  # alpha = r makes the scaling 1
        norm, change = (
            math.sqrt(sum(getattr(size, name) ** 2 for size in each) / len(each)) for name in ("norm", "output_change")
        )
        sizes[r] = UpdateSize(1.0, norm, change)
    return sizes


def scaled(size: UpdateSize, s: float) -> UpdateSize:
    """The size of an update whose scaling is multiplied by `s`."""
    return UpdateSize(size.scaling * s, size.norm * s, size.output_change * s)


def example_factors(kind: str, d: int = 128, R: int = 64, step: float = 0.01, n: int = 16, seed: int = 0):
    """B (d, R), A (R, d) and inputs x (n, d) that show how the sum of r directions grows.

    "random": every entry of B is ±`step` by chance, so the r directions partly cancel and B A x grows like √r.
    "aligned": B is one step of Adam from zero, ±`step` along the sign of a single example's gradient; for that example,
    x[0], which is all that x then holds, the r directions add up and B A x grows like r.
    A is Gaussian with variance 1 / d and the inputs have unit variance.
    """
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(R, d, generator=generator) / math.sqrt(d)  # (R, d)
    x = torch.randn(n, d, generator=generator)
    B = torch.sign(torch.randn(d, R, generator=generator))  # (d, R)
    if kind == "random":
        return step * B, A, x
    if kind != "aligned":
        raise ValueError(f'kind must be "random" or "aligned", got {kind!r}')
    # For the loss g · (B A x), the gradient of B is g (A x)ᵀ; Adam's first step has the size of the learning rate.
    x = x[:1]
    g = torch.randn(d, generator=generator)
    return -step * torch.sign(torch.outer(g, A @ x[0])), A, x
