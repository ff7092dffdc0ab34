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
from lorakit.core.state import peek

PLACES = {"houlsby": ("attention", "mlp"), "pfeiffer": ("mlp",)}
NAMES = {"attention": ("attn", "self_attn", "attention"), "mlp": ("mlp", "feed_forward")}
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

    def extra_repr(self) -> str:
        return f"width={self.up.shape[0]}, size={self.up.shape[1]}"


def attach(model: nn.Module, size: int, placement: str = "houlsby", seed: int = 0) -> None:
    """Freeze `model` and put a bottleneck of `size` after the sublayers that `placement` names, in place.

    size       the width of the bottleneck
    placement  "houlsby" (after attention and after the MLP) or "pfeiffer" (after the MLP)

    Only the bottlenecks train. The outputs are the base's bit for bit until they do. A merged LoRA adapter counts as
    part of the base. Raises LoRAError, with the model as it was, where there are bottlenecks already, or LoRA adapters
    that are not merged, or no blocks with these sublayers.
    """
    places = _places(placement)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise LoRAError(f"size must be a whole number of at least 1, got {size!r}")
    if _attached(model):
        raise LoRAError("the model has bottleneck adapters already: detach them first")
    lora = _lora(model)
    if lora and not peek(model).merged:
        raise LoRAError(f"the model has LoRA adapters ({', '.join(sorted(lora))}): merge one or eject them first")
    sublayers = [_sublayer(block, place) for block in _blocks(model) for place in places]
    width = _width(model)
    generator = torch.Generator().manual_seed(seed)
    trained = frozenset(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    adapters = [Bottleneck(width, size, next(sublayer.parameters()), generator) for sublayer in sublayers]
    model.requires_grad_(False)
    for sublayer, adapter in zip(sublayers, adapters, strict=True):
        adapter.train(sublayer.training)
        adapter.before = (trained, lora)
        sublayer.add_module(NAME, adapter)
        # The hook finds the adapter through the module it is called with, so that a deepcopy calls its own.
        sublayer.register_forward_hook(_through)


def detach(model: nn.Module) -> None:
    """Take the bottlenecks out, as if nothing had happened.

    Raises LoRAError where there are none, or where LoRA adapters were injected after them: what was put in last comes
    out first, so that each gets back the requires_grad flags that it found.
    """
    sublayers = _attached(model)
    if not sublayers:
        raise LoRAError("the model has no bottleneck adapters")
    (trained, lora_before), lora = getattr(sublayers[0], NAME).before, _lora(model)
    if lora - lora_before:
        added = ", ".join(sorted(lora - lora_before))
        raise LoRAError(f"LoRA adapters were injected after the bottlenecks ({added}): eject them first")
    for sublayer in sublayers:
        hooks = [key for key, hook in sublayer._forward_hooks.items() if hook is _through]
        for key in hooks:  # by function and not by handle: a copy's handle would name the original's hook
            del sublayer._forward_hooks[key]
        delattr(sublayer, NAME)
    if lora == lora_before:  # else the merged one is gone, and eject has put the flags back already
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in trained)


def bottleneck_parameters(width: int, layers: int, size: int, placement: str = "houlsby") -> int:
    """How many parameters the adapters have: two matrices and two biases each."""
    return layers * len(_places(placement)) * (2 * width * size + size + width)


def _through(sublayer: nn.Module, args, output):
    """Attention returns (hidden states, …), an MLP the hidden states alone."""
    adapter = getattr(sublayer, NAME)
    if isinstance(output, tuple):
        return adapter(output[0]), *output[1:]
    return adapter(output)


def _places(placement: str) -> tuple[str, ...]:
    if placement not in PLACES:
        raise LoRAError(f"placement must be one of {', '.join(PLACES)}, got {placement!r}")
    return PLACES[placement]


def _lora(model: nn.Module) -> frozenset[str]:
    """The names of the LoRA adapters in the model."""
    state = peek(model)
    return frozenset(state.configs) if state else frozenset()


def _attached(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module._modules.get(NAME), Bottleneck)]


def _blocks(model: nn.Module) -> nn.ModuleList:
    blocks = next((module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)), None)
    if blocks is None:
        raise LoRAError(f"{type(model).__name__} has no list of blocks (nn.ModuleList)")
    return blocks


def _sublayer(block: nn.Module, place: str) -> nn.Module:
    found = next((getattr(block, name) for name in NAMES[place] if name in block._modules), None)
    if found is None:
        raise LoRAError(f"a {type(block).__name__} has no {place} called {' or '.join(NAMES[place])}")
    return found


def _width(model: nn.Module) -> int:
    width = getattr(getattr(model, "config", None), "hidden_size", None)
    if width is None:
        raise LoRAError(f"{type(model).__name__} has no config.hidden_size, so its width is not known")
    return width
