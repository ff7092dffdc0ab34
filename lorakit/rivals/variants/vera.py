"""VeRA: every layer shares one random, frozen A and B; two vectors a layer train (Kopiczko et al. 2023, 2310.11454)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorakit.by_hand import LoRALayer, weight_of


def shared_matrices(projections: Sequence[nn.Module], r: int) -> tuple[Tensor, Tensor]:
    """A (r, largest k) and B (largest d, r) for all of them; each takes the corner that it needs, as in PEFT."""
    d, k = (max(sizes) for sizes in zip(*(weight_of(layer).shape for layer in projections), strict=True))
    like = projections[0].weight
    return torch.randn(r, k).to(like) / k**0.5, torch.randn(d, r).to(like) / r**0.5


class VeRALayer(LoRALayer):
    """ΔW = diag(b) B diag(d) A: d + r trained numbers. b is zero at first; alpha has no say, the rates have."""

    def __init__(self, base: nn.Module, r: int, alpha: float, shared: tuple[Tensor, Tensor]):
        super().__init__(base, r, alpha)
        d, k = weight_of(base).shape
        A, B = shared
        self.lora_A = nn.Parameter(A[:, :k], requires_grad=False)  # (r, k), a view: no memory of its own
        self.lora_B = nn.Parameter(B[:d], requires_grad=False)  # (d, r)
        self.vera_d = nn.Parameter(torch.full((r,), 0.1))
        self.vera_b = nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        down = self.vera_d * F.linear(x, self.lora_A)  # (n, t, r)
        return self.base(x) + self.vera_b * F.linear(down, self.lora_B)  # (n, t, d)

    def delta_weight(self) -> Tensor:
        return self.vera_b[:, None] * self.lora_B * self.vera_d @ self.lora_A  # (d, k)
