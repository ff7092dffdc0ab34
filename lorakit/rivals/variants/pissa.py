"""PiSSA: A and B begin as the largest singular directions of W, and W keeps the rest (Meng et al. 2024, 2404.02948)."""

import torch
from torch import nn

from lorakit.by_hand import LoRALayer, weight_of


class PiSSALayer(LoRALayer):
    """Takes what A and B hold out of the base's weight, in place, so that the first output is the base's."""

    @torch.no_grad()
    def __init__(self, base: nn.Module, r: int = 8, alpha: float = 16):
        super().__init__(base, r, alpha)
        W = weight_of(base)  # (d, k)
        U, S, Vh = torch.linalg.svd(W, full_matrices=False)
        root = (S[:r] / self.scaling).sqrt()  # (r,): a half of each singular value for A, a half for B
        self.lora_A.data = root[:, None] * Vh[:r]  # (r, k)
        self.lora_B.data = U[:, :r] * root  # (d, r)
        W -= self.delta_weight()
