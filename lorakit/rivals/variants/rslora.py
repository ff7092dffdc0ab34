"""rsLoRA: alpha / √r instead of alpha / r (Kalajdzievski 2023, arXiv 2312.03732)."""

from torch import nn

from lorakit.by_hand import LoRALayer


class RsLoRALayer(LoRALayer):
    """LoRA with alpha √r, under another name."""

    def __init__(self, base: nn.Module, r: int = 8, alpha: float = 16):
        super().__init__(base, r, alpha)
        self.scaling = alpha / r**0.5
