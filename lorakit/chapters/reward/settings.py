"""What trains in chapter 13: LoRA of any rank on c_attn, every weight, or sixteen numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorakit import by_hand


class TinyLoRA(nn.Module):
    """r = 1, A frozen, and B = P v with P random: the few numbers v, shared by all layers, are all that trains.

    After TinyLoRA (arXiv 2602.04118), without its SVD of the weight.
    """

    def __init__(self, base: nn.Module, v: nn.Parameter, alpha: float = 16):
        super().__init__()
        d, k = by_hand.weight_of(base).shape
        self.base, self.v, self.alpha = base, v, alpha
        self.register_buffer("A", torch.randn(1, k) / k**0.5)
        self.register_buffer("P", torch.randn(d, len(v)) / len(v) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        B = (self.P @ self.v)[:, None]  # (d, 1)
        return self.base(x) + self.alpha * F.linear(F.linear(x, self.A), B)


def prepare(model: nn.Module, setting: str, seed: int = 0) -> nn.Module:
    """Make ready a bare base: "full", "r = 8" (any rank), or "v = 16" (any length); draws A with the seed."""
    torch.manual_seed(seed)
    kind, _, size = setting.partition(" = ")
    if kind == "full":
        return model.requires_grad_(True)
    if kind == "r":
        return by_hand.inject(model, ("c_attn",), r=int(size), alpha=16)
    model.requires_grad_(False)
    v = nn.Parameter(torch.zeros(int(size)))
    for path, module in list(model.named_modules()):
        if path.endswith("c_attn"):
            by_hand.put(model, path, TinyLoRA(module, v))
    return model
