"""The ways to compute that are compared, by name: the dtype of the weights, and what the forward pass runs under.

fp32      weights and products in float32, which is torch's default: TF32 is off
autocast  weights in float32, products in bfloat16
bf16      the base's weights in bfloat16; adapters while they train in float32
"""

import torch

from lorakit.lab.step import autocast


def weights_in(precision: str) -> torch.dtype:
    return torch.bfloat16 if precision == "bf16" else torch.float32


def forward_under(device: str, precision: str):
    """A context for the forward pass."""
    return autocast(torch.device(device), "bf16" if precision == "autocast" else "no")
