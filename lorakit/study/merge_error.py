"""What merging costs in precision: merged against unmerged, layer by layer and on the logits, beside derived bounds.

In exact arithmetic the two are one function. In numbers of finite precision each rounding errs by a factor of at most
1 ± u, with u the unit roundoff of the dtype: 2⁻²⁴ in float32, 2⁻¹¹ in float16, 2⁻⁸ in bfloat16.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.core.merge import is_merged, merge, unmerge
from lorakit.core.state import state_of

IGNORED = -100  # the label that marks a token which is given, not predicted


@dataclass(frozen=True)
class LayerError:
    """One adapted layer; norms are Frobenius norms, over the outputs that the adapter reaches.

    weight     ‖W − (W₀ + ΔW)‖ / ‖W₀ + ΔW‖ of the merged W in its dtype, and weight_bound, which it cannot exceed
    of_update  the same error as a share of ‖ΔW‖: how much of what was learnt the rounding blurs
    output     ‖merged − unmerged‖ / ‖exact‖ of the layer's output on its real input, and output_bound
    """

    path: str
    weight: float
    weight_bound: float
    of_update: float
    output: float
    output_bound: float


@dataclass(frozen=True)
class LogitError:
    """Merged against unmerged over `positions` predictions.

    difference  ‖merged − unmerged‖ / ‖exact‖, exact being the same model and adapter in float64
    merged, unmerged  how far each of the two is from exact, likewise
    largest     of |merged − unmerged|, over all logits
    changed     predictions whose most likely token is another one when merged
    could       predictions whose two most likely tokens are so near that the differences there could have swapped them
    """

    positions: int
    difference: float
    merged: float
    unmerged: float
    largest: float
    changed: int
    could: int


def unit_roundoff(dtype: torch.dtype) -> float:
    """The largest relative error of rounding to this dtype: half the gap between 1 and the next number."""
    return torch.finfo(dtype).eps / 2


@torch.no_grad()
def layer_errors(model: nn.Module, inputs: Mapping[str, Tensor]) -> list[LayerError]:
    """Errors of every layer that the active adapter changes, each on the input that it gets in the unmerged model.

    The model is unmerged before and after. Raises LoRAError where no adapter is active, one is merged, or the model
    is in training mode.
    """
    layers = _active_layers(model)
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, args, path=path: seen.update({path: args[0]}))
        for path, layer in layers.items()
    ]
    try:
        model(**_without_labels(inputs))
    finally:
        for hook in hooks:
            hook.remove()
    layers = {path: layer for path, layer in layers.items() if path in seen}
    apart = {path: layer(seen[path]) for path, layer in layers.items()}
    weights = {path: _oriented(layer, layer.weight).double() for path, layer in layers.items()}
    adapters = {path: layer.active for path, layer in layers.items()}
    merge(model)
    try:
        return [
            _layer_error(path, layer, adapters[path], weights[path], seen[path], apart[path])
            for path, layer in layers.items()
        ]
    finally:
        unmerge(model)


def _layer_error(path: str, layer, adapter, W0: Tensor, x: Tensor, apart: Tensor) -> LayerError:
    u, u32 = unit_roundoff(layer.weight.dtype), unit_roundoff(torch.float32)
    cast = u if layer.weight.dtype != torch.float32 else 0.0  # A, B and A x are rounded to the base's dtype
    every = torch.arange(adapter.out_features, device=x.device)
    reached = torch.cat([every[outputs] for outputs, _, _ in adapter.pieces])  # the outputs that the adapter reaches
    A, B = adapter.lora_A.double(), adapter.full_B().double()[reached]  # (n*r, in), (reached, n*r)
    W0, rows = W0[reached], x.reshape(-1, x.shape[-1]).double()  # (reached, in), (tokens, in)
    scaling, inner, inputs = adapter.scaling * layer.switch.default.strength, A.shape[0], A.shape[1]
    s, delta = abs(scaling), scaling * (B @ A)
    exact = W0 + delta
    stored = _oriented(layer, layer.weight).double()[reached]
    bias = 0 if layer.bias is None else layer.bias.double()[reached]
    base, y = rows @ W0.T + bias, rows @ exact.T + bias  # (tokens, reached)
    low = s * (rows.abs() @ A.abs().T @ B.abs().T)  # s |B| |A| |x|, (tokens, reached)
    total = rows.abs() @ exact.abs().T
    # The sum is formed in float32, with `inner` additions in B A, then rounded once.
    weight_bound = (u32 * (inner + 1) * s * (B.abs() @ A.abs()) + (u + (u32 if cast else 0)) * exact.abs()).norm()
    merged_bound = u * total * (1 if cast else 2) + u * y.abs() + inputs * u32 * total
    apart_bound = u * base.abs() + u * y.abs() + 3 * cast * low + (inputs + inner) * u32 * (total + 2 * low)
    together = layer(x)
    difference = (together - apart)[..., reached].double().norm()
    return LayerError(
        path,
        weight=float((stored - exact).norm() / exact.norm()),
        weight_bound=float(weight_bound / exact.norm()),
        of_update=float((stored - exact).norm() / delta.norm()) if delta.any() else 0.0,
        output=float(difference / y.norm()),
        output_bound=float((merged_bound + apart_bound).norm() / y.norm()),
    )


@torch.no_grad()
def logit_error(model: nn.Module, batches: Iterable[Mapping[str, Tensor]]) -> LogitError:
    """Compare the logits over all predictions: those of a label where there are labels, else of every real token.

    The model is unmerged before and after. Raises LoRAError where no adapter is active, one is merged, the model is
    in training mode, or nothing is predicted.
    """
    _active_layers(model)
    truth = copy.deepcopy(model).double()
    squares = dict.fromkeys(("difference", "merged", "unmerged", "exact"), 0.0)
    positions = changed = could = 0
    largest = 0.0
    for batch in batches:
        keep, inputs = _predictions(batch), _without_labels(batch)
        apart = model(**inputs).logits[keep].double()  # (positions, vocabulary)
        merge(model)
        try:
            together = model(**inputs).logits[keep].double()
        finally:
            unmerge(model)
        exact = truth(**inputs).logits[keep]
        parts = dict(difference=together - apart, merged=together - exact, unmerged=apart - exact, exact=exact)
        for name, part in parts.items():
            squares[name] += float(part.square().sum())
        gap = (together - apart).abs().amax(-1)  # (positions,)
        best = apart.topk(2).values  # (positions, 2)
        positions += len(gap)
        largest = max(largest, float(gap.max())) if len(gap) else largest
        changed += int((apart.argmax(-1) != together.argmax(-1)).sum())
        could += int((best[:, 0] - best[:, 1] <= 2 * gap).sum())  # one may sink and the other rise by the gap
    if not positions:
        raise LoRAError("there is no prediction to compare: give batches with labels or an attention_mask of ones")
    size = squares.pop("exact") ** 0.5
    errors = {name: value**0.5 / size for name, value in squares.items()}
    return LogitError(positions=positions, largest=largest, changed=changed, could=could, **errors)


def _active_layers(model: nn.Module) -> dict:
    state = state_of(model)
    if is_merged(model):
        raise LoRAError("an adapter is merged already: call unmerge(model) first, to have both to compare")
    if state.active is None:
        raise LoRAError("no adapter is active, so there is nothing to merge: call set_adapter(model, name) first")
    if model.training:
        raise LoRAError("the model is in training mode, where dropout would count as an error: call model.eval() first")
    return {path: layer for path, layer in state.layers.items() if layer.active is not None}


def _oriented(layer, weight: Tensor) -> Tensor:
    return weight.T if layer.transposed else weight  # (out, in)


def _without_labels(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in batch.items() if name != "labels"}


def _predictions(batch: Mapping[str, Tensor]) -> Tensor:
    """Which positions predict something of interest, (rows, tokens) of bool."""
    if "labels" in batch:
        keep = torch.zeros_like(batch["labels"], dtype=torch.bool)
        keep[:, :-1] = batch["labels"][:, 1:] != IGNORED  # a position predicts the token after it
        return keep
    mask = batch.get("attention_mask")
    return torch.ones_like(batch["input_ids"], dtype=torch.bool) if mask is None else mask.bool()
