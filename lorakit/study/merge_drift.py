"""Why unmerging by subtraction loses the base: add the update and take it away again, and count what is left wrong."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorakit.core.errors import LoRAError


@dataclass(frozen=True)
class Drift:
    """After `rounds` times + ΔW − ΔW: the share of weights that differ from W₀, the largest and the relative error."""

    rounds: int
    changed: float
    largest: float
    relative: float


@torch.no_grad()
def subtraction_drift(W0: Tensor, deltas: Sequence[Tensor], rounds: Iterable[int] = (1, 100)) -> list[Drift]:
    """Merge and unmerge by `W += ΔW` and `W -= ΔW`, in W0's dtype, as often as each of `rounds` says.

    deltas are taken in turns, all of W0's shape; W0 stays as it is. Each step is right within one rounding, but what
    rounding took away in the sum is not there to come back. Raises LoRAError for shapes that differ, no deltas, or a
    number of rounds below 1.
    """
    wanted = sorted(set(rounds))
    if not deltas or any(delta.shape != W0.shape for delta in deltas):
        shapes = ", ".join(str(tuple(delta.shape)) for delta in deltas) or "none"
        raise LoRAError(f"every update must have the weight's shape {tuple(W0.shape)}, got {shapes}")
    if not wanted or wanted[0] < 1:
        raise LoRAError(f"rounds must be at least 1, got {wanted}")
    W, found = W0.detach().clone(), []
    for number in range(wanted[-1]):
        delta = deltas[number % len(deltas)]
        W += delta
        W -= delta
        if number + 1 in wanted:
            error = (W.double() - W0.double()).abs()
            relative = float(error.norm() / W0.double().norm())
            found.append(Drift(number + 1, float((error > 0).double().mean()), float(error.max()), relative))
    return found
