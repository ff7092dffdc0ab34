"""The ways to compute that are compared, by name: the dtype of the weights, and what the forward pass runs under.

fp32      weights and products in float32, TF32 off
tf32      weights in float32, their products rounded to TF32
autocast  weights in float32, products in bfloat16
bf16      the base's weights in bfloat16; adapters while they train in float32
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lorakit.lab.step import autocast


def weights_in(precision: str) -> torch.dtype:
    return torch.bfloat16 if precision == "bf16" else torch.float32


def forward_under(device: str, precision: str):
    """A context for the forward pass."""
    return autocast(torch.device(device), "bf16" if precision == "autocast" else "no")


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Within the block float32 products are rounded to TF32 with "tf32", and are not with anything else."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
