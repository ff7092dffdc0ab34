"""Fold the update into the weight, and take it out again, bit for bit."""

from collections import Counter

import torch
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.core.state import peek, refuse_if_busy, state_of
from lorakit.core.threads import nobody_inside, verb
from lorakit.core.wrappers import unwrap


@verb("merge")
def merge(model: nn.Module) -> None:
    """Put W0 + scaling * B A in place of W0 wherever the active adapter acts: the same outputs at the base's cost.

    The sum is formed in float32 (float64 for a float64 base) and rounded once. The original weight is kept by
    reference, which costs the memory of one more copy of the adapted weights and makes `unmerge` exact.
    While merged, state_dict and save_pretrained give the plain merged model.
    Raises LoRAError, with nothing changed, if no adapter is active, one is merged already, a weight is shared with
    another module (merging would change that one too), or the sum is not finite.
    """
    state = state_of(model)
    if state.merged:
        raise LoRAError("an adapter is merged already: call unmerge(model) before merging again")
    refuse_if_busy(state, "merge")
    if state.active is None:
        raise LoRAError("no adapter is active, so there is nothing to merge: call set_adapter(model, name) first")
    layers = {path: layer for path, layer in state.layers.items() if layer.live is not None}
    model = unwrap(model)
    _refuse_unswappable(model, layers)
    merged = {path: _merged_weight(path, layer) for path, layer in layers.items()}
    with nobody_inside(model, "merge"):
        for path, layer in layers.items():
            layer.register_buffer(
                "base_weight", layer.weight.data, persistent=False
            )  # a buffer: it follows .to(device)
            layer.weight.data = merged.pop(path)
            layer.__dict__.update(merged=True, live=None)
        state.guard = model.register_load_state_dict_pre_hook(_refuse_loading)
        state.merged = True


def unmerge(model: nn.Module) -> None:
    """Put W0 itself back: the same bits, in every dtype, however often. Raises LoRAError if nothing is merged."""
    with nobody_inside(unwrap(model), "unmerge"):
        state = state_of(model)
        if not state.merged:
            raise LoRAError("nothing is merged: call merge(model) first")
        for layer in state.layers.values():
            if layer.merged:
                layer.weight.data = layer.base_weight
                del layer.base_weight
                layer.__dict__.update(merged=False, live=layer.adapters[state.active])
        state.guard.remove()
        state.merged, state.guard = False, None


def is_merged(model: nn.Module) -> bool:
    """Is an adapter folded into this model's weights now?"""
    state = peek(model)
    return bool(state and state.merged)


@torch.no_grad()
def _merged_weight(path: str, layer) -> Tensor:
    W0, adapter = layer.weight, layer.live
    exact = torch.float64 if W0.dtype == torch.float64 else torch.float32
    B, A = adapter.full_B().to(exact), adapter.lora_A.to(exact)  # (out, n*r), (n*r, in)
    left, right = (A.T, B.T) if layer.transposed else (B, A)
    weight = torch.addmm(W0.to(exact), left, right, alpha=adapter.scaling).to(W0.dtype)
    if not weight.is_meta and not torch.isfinite(weight).all():
        raise LoRAError(
            f"merging into {path} would give values that are not finite in {W0.dtype}: the adapter or the base holds "
            "NaN or infinity, or the sum overflows; nothing was merged"
        )
    return weight


def _refuse_loading(module: nn.Module, *_) -> None:
    raise LoRAError("an adapter is merged into the weights: call unmerge(model) before load_state_dict")


def _refuse_unswappable(model: nn.Module, layers: dict) -> None:
    """Only a weight that is a plain floating-point parameter of its own can be swapped for another."""
    # By module, not by path: a block that is used twice is one module under two names, and merges as one.
    owners = Counter(id(p) for module in model.modules() for p in module._parameters.values() if p is not None)
    for path, layer in layers.items():
        if hasattr(layer._parameters.get("weight"), "full_tensor"):  # a DTensor
            raise LoRAError(
                f"the weight of {path} is cut up over processes: save_adapter, then load and merge it in one process"
            )
        if layer._parameters.get("weight") is None or not layer.weight.is_floating_point():
            raise LoRAError(
                f"the weight of {path} is computed or quantized (weight norm? 8 or 4 bits?), so nothing can be "
                "added to it in place: keep this adapter unmerged"
            )
        if owners[id(layer.weight)] > 1:
            raise LoRAError(
                f"{path} shares its weight with another module (tied embeddings?): merging would change both. "
                "Keep this adapter unmerged, or untie the weights first"
            )
