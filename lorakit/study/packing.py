"""Weights rounded to few bits, block by block, as a quantized base holds them: enough to see what a merge loses."""

from torch import Tensor


def packed(weight: Tensor, bits: int = 4, block: int = 64) -> Tensor:
    """`weight` as it reads after packing: each `block` numbers rounded to 2^bits - 1 even steps.

    The steps reach from minus the block's largest number to plus it;
    NF4 spaces them as a normal distribution wants and does a little better.
    Same shape and dtype; the numbers must fill whole blocks.
    """
    rows = weight.detach().float().reshape(-1, block)  # (blocks, block)
    top = 2 ** (bits - 1) - 1
    scale = (rows.abs().amax(dim=1, keepdim=True) / top).clamp_min(1e-12)  # (blocks, 1)
    return ((rows / scale).round() * scale).reshape(weight.shape).to(weight.dtype)


def surviving(base: Tensor, update: Tensor, bits: int = 4, block: int = 64) -> dict[str, float]:
    """What is left of an update that is added to a packed base and packed again.

    "kept"    the projection of the change onto the update, over the update: 1 is all of it
    "error"   how far the change is from the update, in norms of the update: 1 is as far as no change at all
    """
    before = packed(base, bits, block).double()
    change = packed(before.to(base.dtype) + update, bits, block).double() - before
    wanted = update.detach().double()
    kept = (change * wanted).sum() / (wanted * wanted).sum()
    return {
        "kept": kept.item(),
        "error": ((change - wanted).norm() / wanted.norm()).item(),
    }
