"""What merging costs in precision: the merged weights against the exact ones, beside a derived bound; the logits merged
and unmerged; and what is left of a base after an update was added and taken away again.

In exact arithmetic the two are one function. In numbers of finite precision each rounding errs by a factor of at most
1 ± u, with u the unit roundoff of the dtype: 2⁻²⁴ in float32, 2⁻¹¹ in float16, 2⁻⁸ in bfloat16.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from lorakit.core.layer import LoRALayer
from lorakit.core.merge import merge, unmerge
from lorakit.core.state import state_of
from lorakit.study.answer_logits import answer_logits


def unit_roundoff(dtype: torch.dtype) -> float:
    """The largest relative error of rounding to this dtype: half the gap between 1 and the next number."""
    return torch.finfo(dtype).eps / 2


@torch.no_grad()
def weight_errors(model: nn.Module) -> pd.DataFrame:
    """What rounding does to each weight W that the active adapter merges into: a row for each, by the layer's path.

    error      ‖W − (W₀ + ΔW)‖ / ‖W₀ + ΔW‖ of the merged W in its dtype, as Frobenius norms
    bound      which it cannot exceed
    of_update  the same error as a share of ‖ΔW‖: how much of what was learnt the rounding blurs

    The model is unmerged before and after. Raises LoRAError where no adapter is active or one is merged.
    """
    layers = {path: layer for path, layer in state_of(model).layers.items() if layer.active is not None}
    merge(model)
    try:
        return pd.DataFrame.from_dict({path: _weight_error(layer) for path, layer in layers.items()}, orient="index")
    finally:
        unmerge(model)


def _weight_error(layer: LoRALayer) -> dict[str, float]:
    """The error of a merged layer's weight. Exact is what float64 says."""
    u, u32 = unit_roundoff(layer.weight.dtype), unit_roundoff(torch.float32)
    adapter, strength = copy.deepcopy(layer.active).double(), layer.switch.default.strength
    A, B = adapter.lora_A, adapter.full_B()  # (n*r, in), (out, n*r)
    W0, W = ((w.T if layer.transposed else w).double() for w in (layer.base_weight, layer.weight))  # (out, in)
    delta = strength * adapter.delta_weight()
    exact = W0 + delta
    # The sum is formed in float32, with n*r additions in B A, then rounded once to another dtype.
    terms = abs(strength * adapter.scaling) * (B.abs() @ A.abs())
    bound = u32 * (len(A) + 1) * terms + (u if u == u32 else u + u32) * exact.abs()
    error = (W - exact).norm()
    return {
        "error": float(error / exact.norm()),
        "bound": float(bound.norm() / exact.norm()),
        "of_update": float(error / delta.norm()) if delta.any() else 0.0,
    }


@torch.no_grad()
def logit_error(model: nn.Module, batches: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
    """Compare the logits before every answer token of the batches, which are as `answer_logits` takes them.

    difference        ‖merged − unmerged‖ / ‖exact‖, exact being the same model and adapter in float64
    merged, unmerged  how far each of the two is from exact, likewise
    changed           predictions whose most likely token is another one when merged, of so many `positions`

    The model, in eval mode, is unmerged before and after. Raises LoRAError where no adapter is active or one is merged.
    """
    truth, sums = copy.deepcopy(model).double(), Counter()
    for batch in batches:
        apart = answer_logits(model, batch)[0].double()  # (positions, vocabulary)
        merge(model)
        try:
            together = answer_logits(model, batch)[0].double()
        finally:
            unmerge(model)
        exact = answer_logits(truth, batch)[0]
        parts = dict(difference=together - apart, merged=together - exact, unmerged=apart - exact, exact=exact)
        sums.update({name: float(part.square().sum()) for name, part in parts.items()})
        changed = apart.argmax(-1) != together.argmax(-1)
        sums.update(positions=len(changed), changed=int(changed.sum()))
    norms = {name: (sums[name] / sums["exact"]) ** 0.5 for name in ("difference", "merged", "unmerged")}
    return norms | {"positions": sums["positions"], "changed": sums["changed"]}


@torch.no_grad()
def subtraction_drift(W0: Tensor, deltas: Sequence[Tensor], rounds: Sequence[int] = (1, 100)) -> pd.DataFrame:
    """Merge and unmerge by `W += ΔW` and `W -= ΔW`, in W0's dtype, as often as each of `rounds` says: a row for each.

    changed  the share of weights that differ from W₀;  largest  the largest error of one

    deltas are taken in turns, all of W0's shape; W0 stays as it is. Each step is right within one rounding, but what
    rounding took away in the sum is not there to come back.
    """
    W, rows = W0.detach().clone(), []
    for number in range(max(rounds)):
        delta = deltas[number % len(deltas)]
        W += delta
        W -= delta
        if number + 1 in rounds:
            error = (W.double() - W0.double()).abs()
            rows.append((number + 1, float((error > 0).double().mean()), float(error.max())))
    return pd.DataFrame(rows, columns=["rounds", "changed", "largest"])
