"""How large the update B A is before it is scaled: by alpha / r, or by alpha / √r (rsLoRA, Kalajdzievski 2023)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def unit_size(draws: Sequence[tuple[Tensor, Tensor, Tensor]], r: int) -> tuple[float, float]:
    """‖B_r A_r‖_F, and how far B_r A_r x moves the output, as root mean squares over `draws`, each (B, A, x).

    B_r (d, r) and A_r (r, k) are the first r columns and rows of B (d, R) and A (R, k); x (n, k) are inputs. Scaled by
    s, both sizes are s times as large.
    """
    deltas = [(B[:, :r] @ A[:r], x) for B, A, x in draws]  # (d, k), (n, k)
    norm = torch.stack([delta.square().sum() for delta, _ in deltas]).mean().sqrt()
    change = torch.stack([(x @ delta.T).square().mean() for delta, x in deltas]).mean().sqrt()
    return float(norm), float(change)


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
    # For the loss g · (B A x), the gradient of B is g (A x)ᵀ; Adam's first step has the size of the learning rate.
    x = x[:1]
    g = torch.randn(d, generator=generator)
    return -step * torch.sign(torch.outer(g, A @ x[0])), A, x
