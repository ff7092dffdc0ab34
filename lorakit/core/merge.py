"""Fold the update into the weight, and take it out again, bit for bit."""

from collections import Counter
from dataclasses import replace

import torch
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.core.layer import LoRALayer
from lorakit.core.state import ModelState, peek, state_of, unwrap, whole


def merge(model: nn.Module) -> None:
    """Put W0 + scaling * B A in place of W0 wherever the active adapter acts: the same outputs at the base's cost.

    The sum is formed in float32 (float64 for a float64 base) and rounded once. The original weight is set aside, not
    copied, which makes `unmerge` exact; the merged one is new, so the adapted weights take twice their memory.
    While merged, state_dict and save_pretrained give the plain merged model.
    Raises LoRAError, with nothing changed, if no adapter is active, one is merged already, a weight is shared with
    another module (merging would change that one too), the sum is not finite, or inside `using`.
    """
    state = state_of(model, doing="merge")
    if state.active is None:
        raise LoRAError("no adapter is active, so there is nothing to merge: call set_adapter(model, name) first")
    layers = {path: layer for path, layer in state.layers.items() if layer.active is not None}
    _refuse_unswappable(unwrap(model), layers)
    merged = {path: _merged_weight(path, layer) for path, layer in layers.items()}
    with whole(lambda: _put_back(state)):
        for path, layer in layers.items():
            W0 = layer.weight.data
            layer.register_buffer("base_weight", W0, persistent=False)  # a buffer: it follows .to(device)
            layer.weight.data = merged.pop(path)
        state.guard = unwrap(model).register_load_state_dict_pre_hook(_refuse_loading)
        state.switch.default = replace(state.switch.default, merged=True)


def unmerge(model: nn.Module) -> None:
    """Put W0 itself back: the same bits, in every dtype, however often. Raises LoRAError if nothing is merged."""
    state = state_of(model)
    if not state.merged:
        raise LoRAError("nothing is merged: call merge(model) first")
    with whole(lambda: _put_back(state)):
        _put_back(state)


def _put_back(state: ModelState) -> None:
    """What is left to undo of a merge, or of a part of one."""
    for layer in state.layers.values():
        if layer.merged:
            layer.weight.data = layer.base_weight
            del layer.base_weight
    if state.guard is not None:
        state.guard.remove()
    state.guard = None
    state.switch.default = replace(state.switch.default, merged=False)


def is_merged(model: nn.Module) -> bool:
    """Is an adapter folded into this model's weights now?"""
    return bool((state := peek(model)) and state.merged)


@torch.no_grad()
def _merged_weight(path: str, layer: LoRALayer) -> Tensor:
    W0, adapter = layer.weight, layer.active
    exact = torch.promote_types(W0.dtype, torch.float32)
    B, A = adapter.full_B().to(exact), adapter.lora_A.to(exact)  # (d, n*r), (n*r, k)
    left, right = (A.T, B.T) if layer.transposed else (B, A)
    scaling = adapter.scaling * layer.switch.default.strength
    weight = torch.addmm(W0.to(exact), left, right, alpha=scaling).to(W0.dtype)
    if not weight.is_meta and not torch.isfinite(weight).all():
        says = "the adapter or the base holds NaN or infinity, or the sum overflows; nothing was merged"
        raise LoRAError(f"merging into {path} would give values that are not finite in {W0.dtype}: {says}")
    return weight


def _refuse_loading(module: nn.Module, *_) -> None:
    raise LoRAError("an adapter is merged into the weights: call unmerge(model) before load_state_dict")


def _refuse_unswappable(model: nn.Module, layers: dict[str, LoRALayer]) -> None:
    """Only a weight that is a plain floating-point parameter of its own can be swapped for another."""
    # By module, not by path: a block that is used twice is one module under two names, and merges as one.
    owners = Counter(id(p) for module in model.modules() for p in module._parameters.values() if p is not None)
    for path, layer in layers.items():
        weight, why = layer._parameters.get("weight"), None
        if hasattr(weight, "full_tensor"):  # a DTensor
            why = "is sharded over processes: save_adapter, then load and merge it in one process"
        elif weight is not None and weight.is_meta and "_hf_hook" in vars(layer):
            why = "is offloaded by accelerate, which would bring the old one back: merge first, then offload"
        elif weight is None or not weight.is_floating_point() or type(weight.data) is not Tensor:
            why = "is computed or quantized (weight norm? 8 or 4 bits?): nothing can be added to it; leave it unmerged"
        elif owners[id(weight)] > 1:
            why = "is shared with another module (tied embeddings?), and merging would change both: leave it unmerged"
        if why:
            raise LoRAError(f"the weight of {path} {why}")
