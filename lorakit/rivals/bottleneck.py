"""Bottleneck adapters: a small network after a sublayer, h + up(gelu(down(h))), before the residual is added.

Houlsby et al. 2019 (arXiv 1902.00751) put one after attention and one after the MLP of every block; Pfeiffer et al.
2021 (arXiv 2005.00247) one after the MLP. The network is not linear, so it cannot be merged into a weight: what it
costs at inference, it costs for ever.

Here the two differ in their placement only. In the papers, about BERT, Houlsby et al. also train the layer norms, and
Pfeiffer et al. take ReLU and choose the place with respect to BERT's norms, which stand after the residual.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.rivals.parts import blocks, refuse_adapted, sublayer

PLACES = {"houlsby": ("attention", "mlp"), "pfeiffer": ("mlp",)}
NAME = "bottleneck"  # the submodule of a sublayer that holds its adapter


class Bottleneck(nn.Module):
    """h (..., width) → h + up(gelu(down(h))): down (size, width), up (width, size), both with a bias.

    `up` and its bias are zero at first, so h comes out bit for bit. Houlsby et al. draw both matrices near
    zero (section 2.1), which is only nearly the identity. `down` is drawn as torch draws a linear layer, its bias
    is zero. Kept in float32 for a half-precision base, and computed in the precision of h.
    """

    def __init__(self, width: int, size: int, like: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        # As LoRA's matrices: small steps vanish in half precision.
        kind = dict(device=like.device, dtype=torch.float64 if like.dtype == torch.float64 else torch.float32)
        bound = width**-0.5
        down = torch.empty(size, width, dtype=torch.float32, device="cpu").uniform_(-bound, bound, generator=generator)
        self.down = nn.Parameter(down.to(**kind))
        self.down_bias = nn.Parameter(torch.zeros(size, **kind))
        self.up = nn.Parameter(torch.zeros(width, size, **kind))
        self.up_bias = nn.Parameter(torch.zeros(width, **kind))

    def forward(self, h: Tensor) -> Tensor:
        down, down_bias, up, up_bias = self.down, self.down_bias, self.up, self.up_bias
        if down.dtype != h.dtype:  # asked once: without four casts that do nothing, 0.86 of the time on one token
            down, down_bias, up, up_bias = (p.to(h.dtype) for p in (down, down_bias, up, up_bias))
        out = F.linear(F.gelu(F.linear(h, down, down_bias)), up, up_bias)  # (..., width)
        # In place into our own tensor: 0.94 of the time. (Autocast may give another dtype than a float32 h has.)
        return out.add_(h) if out.dtype == h.dtype else h + out


def attach(model: nn.Module, size: int, placement: str = "houlsby", seed: int = 0) -> None:
    """Freeze `model` and put a bottleneck of `size` after the sublayers that `placement` names, in place.

    size       the width of the bottleneck
    placement  "houlsby" (after attention and after the MLP) or "pfeiffer" (after the MLP)

    Only the bottlenecks train. The outputs are the base's bit for bit until they do. Raises LoRAError, with the model
    as it was, where there are bottlenecks or LoRA adapters already, or no blocks with these sublayers.
    """
    if size < 1:
        raise LoRAError(f"size must be at least 1, got {size}")
    refuse_adapted(model, Bottleneck)
    sublayers = [sublayer(block, place) for block in blocks(model)[1] for place in PLACES[placement]]
    width, generator = model.config.hidden_size, torch.Generator().manual_seed(seed)
    adapters = [Bottleneck(width, size, next(place.parameters()), generator) for place in sublayers]
    model.requires_grad_(False)
    for place, adapter in zip(sublayers, adapters, strict=True):
        adapter.train(place.training)
        place.add_module(NAME, adapter)
        # The hook finds the adapter through the module it is called with, so that a deepcopy calls its own.
        place.register_forward_hook(_through)


def _through(sublayer: nn.Module, args, output):
    """Attention returns (hidden states, …), an MLP the hidden states alone."""
    adapter = getattr(sublayer, NAME)
    if isinstance(output, tuple):
        return adapter(output[0]), *output[1:]
    return adapter(output)
