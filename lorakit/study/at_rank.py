"""A model of which, for a moment, only the strongest k directions of its update are there."""

from collections.abc import Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Module

from lorakit.core.errors import LoRAError
from lorakit.core.state import state_of
from lorakit.study.adapter_factors import adapter_updates, attached, pieces_of
from lorakit.study.rank import Factors


def update_factors(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Factors]:
    """The SVD of ΔW = after − before for every matrix that has changed, by name; both as from `named_parameters`."""
    deltas = {name: after[name].detach() - W.detach() for name, W in before.items() if W.ndim == 2}
    return {name: Factors.of(delta) for name, delta in deltas.items() if delta.any()}


@contextmanager
def update_at_rank(model: Module, before: Mapping[str, Tensor], factors: Mapping[str, Factors], k: int):
    """Within the block every matrix named in `factors` is W₀ + the best approximation of its ΔW of rank at most `k`.

    before   W₀ by parameter name; factors   Factors.of(ΔW) by parameter name, as `update_factors` makes them. A ΔW
    of a smaller full rank than k is kept whole. Other parameters (biases, norms) stay as they are in `model`. On
    leaving, by an exception too, the very same tensors are back. Raises ValueError for a negative k, KeyError or
    AttributeError for an unknown name, before anything has changed.
    """
    parts = {name: factor.approximation(min(k, len(factor.s))) for name, factor in factors.items()}
    with replaced({model.get_parameter(name): before[name].to(part) + part for name, part in parts.items()}):
        yield model


@contextmanager
def adapter_at_rank(model: Module, k: int):
    """Within the block every ΔW of the active adapter is its best approximation of rank at most `k` (Eckart & Young
    1936); each slice of a fused projection is cut by itself.

    B becomes U_k diag(s_k) / scaling and A becomes V_kᵀ, both filled up with zeros. On leaving, by an exception too,
    the very same A and B are back. Raises LoRAError for a negative k, and where no adapter is active or one is merged.
    """
    if k < 0:
        raise LoRAError(f"k must be 0 or more, got {k}")
    state_of(model, doing="cut an adapter")  # a merged one is in the weights, which a cut would not reach
    factors = {path: update.factors() for path, update in adapter_updates(model).items()}
    copies = {}
    for path, adapter in attached(model).items():
        A, B = torch.zeros_like(adapter.lora_A), torch.zeros_like(adapter.lora_B)
        for piece, inner, rows in pieces_of(path, adapter):
            f = factors[piece]
            A[inner][:k] = f.Vh[:k].to(A)
            B[rows, :k] = (f.U[:, :k] * f.s[:k] / (adapter.scaling or 1.0)).to(B)
        copies |= {adapter.lora_A: A, adapter.lora_B: B}
    with replaced(copies):
        yield model


@contextmanager
def replaced(copies: Mapping[Tensor, Tensor]):
    """Within the block each parameter holds its copy instead, in its own dtype and on its own device."""
    kept = {parameter: parameter.data for parameter in copies}
    try:
        for parameter, copy in copies.items():
            parameter.data = copy.to(parameter)
        yield
    finally:
        for parameter, original in kept.items():
            parameter.data = original
