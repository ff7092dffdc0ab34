"""DoRA: LoRA turns each output's weights, a trained number gives them their length (Liu et al. 2024, 2402.09353)."""

from torch import Tensor, nn

from lorakit.by_hand import LoRALayer, weight_of


class DoRALayer(LoRALayer):
    """y = m · (W0 + ΔW) x / ‖W0 + ΔW‖ + b: a norm and a magnitude m for each output, taken over its k inputs.

    The bias is not scaled. The norm follows every step, but no gradient flows through it (the paper's section 4.3).
    """

    def __init__(self, base: nn.Module, r: int = 8, alpha: float = 16):
        super().__init__(base, r, alpha)
        self.magnitude = nn.Parameter(weight_of(base).detach().norm(dim=1))  # (d,)

    def scale(self) -> Tensor:
        turned = (weight_of(self.base) + super().delta_weight()).detach()  # (d, k)
        return self.magnitude / turned.norm(dim=1)  # (d,)

    def forward(self, x: Tensor) -> Tensor:
        bias = 0 if self.base.bias is None else self.base.bias
        return self.scale() * (super().forward(x) - bias) + bias  # (n, t, d)

    def delta_weight(self) -> Tensor:
        W0 = weight_of(self.base)
        return self.scale()[:, None] * (W0 + super().delta_weight()) - W0  # (d, k)
