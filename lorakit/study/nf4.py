"""NF4, the 4-bit format of QLoRA (Dettmers et al. 2023): sixteen levels spaced as a normal distribution, and a layer
whose frozen weight is kept in it.

A weight is cut into blocks of 64 numbers. A block has one scale, its largest magnitude; each number becomes the index
of the level nearest to number / scale, and two indices share a byte: 4.5 bits a number with float32 scales.
"""

import torch
from torch import Tensor, nn

BLOCK = 64
OFFSET = 0.9677083  # the outermost quantile, as bitsandbytes has it


def levels() -> Tensor:
    """The sixteen levels, ascending from -1 to 1: quantiles of the normal, eight above zero, zero, seven below."""

    def quantiles(count: int) -> Tensor:
        return torch.special.ndtri(torch.linspace(OFFSET, 0.5, count + 1, dtype=torch.float64))[:-1]

    found = torch.cat([quantiles(8), torch.zeros(1, dtype=torch.float64), -quantiles(7)]).sort().values
    return (found / found.max()).float()


def pack(weight: Tensor, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Bytes (numbers / 2,) uint8 and scales (numbers / block,) float32; the numbers must fill whole blocks."""
    rows = weight.detach().float().reshape(-1, block)
    scales = rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-12)  # (blocks, 1)
    between = (levels()[1:] + levels()[:-1]) / 2
    codes = torch.bucketize(rows / scales, between).flatten().to(torch.uint8)
    return codes[0::2] << 4 | codes[1::2], scales[:, 0]


def unpack(packed: Tensor, scales: Tensor, shape: torch.Size) -> Tensor:
    """The float32 weight that is read from bytes and scales."""
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    return (levels().to(scales)[codes].reshape(len(scales), -1) * scales[:, None]).reshape(shape)


class _Product(torch.autograd.Function):
    """x W with W unpacked for the product and forgotten, again on the way back: only x's gradient is wanted."""

    @staticmethod
    def forward(ctx, x: Tensor, layer: "PackedConv1D") -> Tensor:
        ctx.layer = layer
        return x @ layer.weight

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return gradient @ ctx.layer.weight.T, None


class PackedConv1D(nn.Module):
    """GPT-2's Conv1D, frozen, its weight in NF4; `weight` (in, out) unpacks it anew each time."""

    def __init__(self, base: nn.Module):
        super().__init__()
        packed, scales = pack(base.weight)
        self.shape = base.weight.shape
        self.register_buffer("packed", packed)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", base.bias.detach())

    @property
    def weight(self) -> Tensor:
        return unpack(self.packed, self.scales, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        return _Product.apply(x, self) + self.bias
