"""What merging costs in precision: merged against unmerged, layer by layer and on the logits, beside derived bounds;
and what is left of a base after an update was added and taken away again.

In exact arithmetic the two are one function. In numbers of finite precision each rounding errs by a factor of at most
1 ± u, with u the unit roundoff of the dtype: 2⁻²⁴ in float32, 2⁻¹¹ in float16, 2⁻⁸ in bfloat16.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorakit.core.layer import LoRALayer
from lorakit.core.merge import merge, unmerge
from lorakit.core.state import state_of
from lorakit.study.answer_logits import answer_logits


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
    changed     predictions whose most likely token is another one when merged
    """

    positions: int
    difference: float
    merged: float
    unmerged: float
    changed: int


def unit_roundoff(dtype: torch.dtype) -> float:
    """The largest relative error of rounding to this dtype: half the gap between 1 and the next number."""
    return torch.finfo(dtype).eps / 2


@torch.no_grad()
def layer_errors(model: nn.Module, batch: Mapping[str, Tensor]) -> list[LayerError]:
    """Errors of every layer that the active adapter changes, each on the input that it gets in the unmerged model.

    batch  as `answer_logits` takes it. The model, in eval mode, is unmerged before and after. Raises LoRAError where
    no adapter is active or one is merged.
    """
    layers = {path: layer for path, layer in state_of(model).layers.items() if layer.active is not None}
    inputs: dict[LoRALayer, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda layer, args: inputs.update({layer: args[0]}))
        for layer in layers.values()
    ]
    try:
        answer_logits(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    apart = {layer: layer(x) for layer, x in inputs.items()}
    merge(model)
    try:
        return [_layer_error(path, layer, inputs[layer], apart[layer]) for path, layer in layers.items()]
    finally:
        unmerge(model)


def _layer_error(path: str, layer: LoRALayer, x: Tensor, apart: Tensor) -> LayerError:
    """The errors of a merged layer on the input x; `apart` is its output before it was merged."""
    u, u32 = unit_roundoff(layer.weight.dtype), unit_roundoff(torch.float32)
    cast = u if layer.weight.dtype != torch.float32 else 0.0  # A, B and A x are rounded to the base's dtype
    adapter = layer.active
    every = torch.arange(adapter.out_features, device=x.device)
    reached = torch.cat([every[outputs] for outputs, _, _ in adapter.pieces])  # the outputs that the adapter reaches
    A, B = adapter.lora_A.double(), adapter.full_B().double()[reached]  # (n*r, in), (reached, n*r)
    W0, stored = (
        (weight.T if layer.transposed else weight).double()[reached] for weight in (layer.base_weight, layer.weight)
    )  # (reached, in)
    rows = x.reshape(-1, x.shape[-1]).double()  # (tokens, in)
    scaling, inner, inputs = adapter.scaling * layer.switch.default.strength, A.shape[0], A.shape[1]
    s, delta = abs(scaling), scaling * (B @ A)
    exact = W0 + delta
    bias = 0 if layer.bias is None else layer.bias.double()[reached]
    base, y = rows @ W0.T + bias, rows @ exact.T + bias  # (tokens, reached)
    low = s * (rows.abs() @ A.abs().T @ B.abs().T)  # s |B| |A| |x|, (tokens, reached)
    total = rows.abs() @ exact.abs().T
    # The sum is formed in float32, with `inner` additions in B A, then rounded once.
    weight_bound = (u32 * (inner + 1) * s * (B.abs() @ A.abs()) + (u + (u32 if cast else 0)) * exact.abs()).norm()
    merged_bound = u * total * (1 if cast else 2) + u * y.abs() + inputs * u32 * total
    apart_bound = u * base.abs() + u * y.abs() + 3 * cast * low + (inputs + inner) * u32 * (total + 2 * low)
    difference = (layer(x) - apart)[..., reached].double().norm()
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
    """Compare the logits before every answer token of the batches, which are as `answer_logits` takes them.

    The model, in eval mode, is unmerged before and after. Raises LoRAError where no adapter is active or one is merged.
    """
    truth = copy.deepcopy(model).double()
    squares = dict.fromkeys(("difference", "merged", "unmerged", "exact"), 0.0)
    positions = changed = 0
    for batch in batches:
        apart = answer_logits(model, batch)[0].double()  # (positions, vocabulary)
        merge(model)
        try:
            together = answer_logits(model, batch)[0].double()
        finally:
            unmerge(model)
        exact = answer_logits(truth, batch)[0]
        parts = dict(difference=together - apart, merged=together - exact, unmerged=apart - exact, exact=exact)
        for name, part in parts.items():
            squares[name] += float(part.square().sum())
        positions += len(apart)
        changed += int((apart.argmax(-1) != together.argmax(-1)).sum())
    size = squares.pop("exact") ** 0.5
    errors = {name: value**0.5 / size for name, value in squares.items()}
    return LogitError(positions=positions, changed=changed, **errors)


@dataclass(frozen=True)
class Drift:
    """After `rounds` times + ΔW − ΔW: the share of weights that differ from W₀, and the largest error."""

    rounds: int
    changed: float
    largest: float


@torch.no_grad()
def subtraction_drift(W0: Tensor, deltas: Sequence[Tensor], rounds: Sequence[int] = (1, 100)) -> list[Drift]:
    """Merge and unmerge by `W += ΔW` and `W -= ΔW`, in W0's dtype, as often as each of `rounds` says.

    deltas are taken in turns, all of W0's shape; W0 stays as it is. Each step is right within one rounding, but what
    rounding took away in the sum is not there to come back.
    """
    W, found = W0.detach().clone(), []
    for number in range(max(rounds)):
        delta = deltas[number % len(deltas)]
        W += delta
        W -= delta
        if number + 1 in rounds:
            error = (W.double() - W0.double()).abs()
            found.append(Drift(number + 1, float((error > 0).double().mean()), float(error.max())))
    return found
