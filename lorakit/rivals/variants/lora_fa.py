"""LoRA-FA: A stays as it was drawn, B alone trains (Zhang et al. 2023, arXiv 2308.03303).

Then the backward pass needs r numbers a token, A x, instead of the k of x itself. PEFT's optimizer for it
also multiplies B's gradient by (A Aᵀ)⁻¹ / scaling²: nearly a constant, as A's rows are nearly orthonormal, and Adam
ignores constants.
"""

from torch import nn

from lorakit.by_hand import LoRALayer


class LoRAFALayer(LoRALayer):
    """Half of the numbers train: for as many as LoRA has, take twice the rank (where k = d)."""

    def __init__(self, base: nn.Module, r: int = 8, alpha: float = 16):
        super().__init__(base, r, alpha)
        self.lora_A.requires_grad_(False)
