"""A random D × d matrix that is never written down: Fastfood (Le, Sarlós & Smola 2013)."""

import torch
from torch import Tensor, nn

FACTOR = 32  # a transform of length n is done as products with Hadamard matrices no bigger than this


class Fastfood(nn.Module):
    """P (D, d): blocks of H G Π H B one below the other, cut to D rows; columns of length about 1, nearly orthogonal.

    H is the n × n Walsh-Hadamard matrix, n the power of two from d on; B is diagonal with random signs, Π a random
    permutation, G diagonal and Gaussian: each block has its own. Their product looks Gaussian but takes n log n steps
    and 3 n numbers, instead of n². Le et al.'s S, which evens out the rows' lengths, is left out (as by Li et al.
    2018). B, Π and G are fixed by `seed`.
    """

    def __init__(self, d: int, D: int, seed: int) -> None:
        super().__init__()
        self.d, self.D = d, D
        self.n = 1 << (d - 1).bit_length()
        blocks = -(-D // self.n)
        generator = torch.Generator().manual_seed(seed)
        shape = (blocks, self.n)
        signs = torch.randint(0, 2, shape, generator=generator, dtype=torch.int8) * 2 - 1
        order = torch.rand(shape, generator=generator).argsort(dim=1)  # Π: position i takes value order[i]
        gauss = torch.randn(shape, generator=generator)
        first = torch.arange(blocks)[:, None] * self.n
        self.register_buffer("signs", signs, persistent=False)
        self.register_buffer("gauss", gauss, persistent=False)
        self.register_buffer("order", (first + order).flatten().int(), persistent=False)

    def forward(self, theta: Tensor) -> Tensor:
        """P θ for θ (d,): (D,), in float32 or wider."""
        padded = nn.functional.pad(theta, (0, self.n - self.d))  # (n,)
        x = hadamard(self.signs * padded)  # H B: (blocks, n)
        x = x.flatten().index_select(0, self.order).view_as(x)  # Π
        x = hadamard(self.gauss * x)  # H G
        # A column of H G Π H B has squared length n Σ G² ≈ n² in each of D / n blocks: n D in all.
        return x.flatten()[: self.D] / (self.n * self.D) ** 0.5


def hadamard(x: Tensor) -> Tensor:
    """H x along the last dimension, whose length is a power of two: (..., n). H is not normalised: H H = n.

    Its entries are ±1 and H = H₂ ⊗ H₂ ⊗ …, so it is applied as a few products with Hadamard matrices of at most
    32 × 32 along reshaped axes: 2.3 to 4.2 times as fast as the butterfly, n adds and subtracts in log n rounds.
    """
    shape, inner = x.shape, 1
    with torch.autocast(x.device.type, enabled=False):
        while inner < shape[-1]:
            size = min(FACTOR, shape[-1] // inner)
            H = hadamard_matrix(size).to(x)
            x = x.reshape(-1, size) @ H if inner == 1 else H @ x.reshape(-1, size, inner)
            inner *= size
    return x.reshape(shape)


def hadamard_matrix(n: int) -> Tensor:
    """Sylvester's Hadamard matrix for n a power of two: (n, n), entries ±1, symmetric."""
    H = torch.ones(1, 1)
    while len(H) < n:
        H = torch.kron(H, torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    return H
