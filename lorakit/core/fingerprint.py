"""Know a base model again by a few of its weights, in whatever precision it is loaded."""

import torch
from torch import nn

from lorakit.core.errors import LoRAError


def sample_of(module: nn.Module) -> list[float]:
    """Eight entries of a projection's W0, evenly spread; empty where there are none to read (meta, quantized)."""
    if (known := module.__dict__.get("base_sample")) is not None:  # taken before the weight was cut up over processes
        return known
    weight = getattr(module, "base_weight", module.weight).detach().reshape(-1)  # merged: W0 is set aside
    if weight.is_meta or not weight.is_floating_point():
        return []
    picks = torch.linspace(0, weight.numel() - 1, 8, dtype=torch.float64).long().to(weight.device)
    return [float(f"{value:.6g}") for value in weight[picks].float().tolist()]


def check_base(modules: dict[str, nn.Module], samples: dict[str, list[float]]) -> None:
    """Raise LoRAError if a module's weights are not the ones that were sampled when the adapter was saved."""
    for path, then in samples.items():
        now = sample_of(modules[path]) if path in modules else []
        if not now or len(now) != len(then):
            continue
        # bfloat16 keeps 8 bits: rounding may move a weight by 2^-8 of itself, another training run moves it more
        if not torch.allclose(*(torch.tensor(v, dtype=torch.float64) for v in (now, then)), rtol=2**-7, atol=1e-6):
            raise LoRAError(
                f"this adapter was trained on another base: at {path} the weights differ "
                f"({now[0]:.4g} here, {then[0]:.4g} there). Load the base it was trained on"
            )
