"""What the files of one adapter say, whoever wrote them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError
from lorakit.core.targets import Target


@dataclass
class Contents:
    """What an adapter's files say: its config, and for each path its slices, A (n*r, in) and B (out, n*r)."""

    config: LoRAConfig
    targets: list[Target]
    weights: dict[str, tuple[Tensor, Tensor]]
    saved: dict[str, dict[str, Tensor]]


def check_finite(tensors: dict[str, Tensor]) -> None:
    """Raise LoRAError naming the tensors that hold NaN or infinity, and the A and B that are not floating point."""
    bad = [
        key
        for key, value in tensors.items()
        if (value.is_floating_point() and not torch.isfinite(value.float()).all())
        or (not value.is_floating_point() and ".lora_" in key)  # a saved module may count in integers
    ]
    if bad:
        raise LoRAError(f"the adapter's file holds values that are not finite numbers in: {few(bad)}")


def few(keys: list[str]) -> str:
    return ", ".join(map(str, keys[:4])) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "") if keys else "none"
