"""A fine-tuned model whose update is replaced, for a moment, by a part of it: its best copy of rank k, or the rest."""

from collections.abc import Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Module

from lorakit.study.rank import Factors


def update_factors(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Factors]:
    """The SVD of ΔW = after − before for every matrix that has changed, by name; both as from `named_parameters`."""
    matrices = {name: tensor for name, tensor in before.items() if tensor.ndim == 2}
    deltas = {name: after[name].detach() - tensor.detach() for name, tensor in matrices.items()}
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
    with _moved(model, before, parts):
        yield model


@contextmanager
def update_without_top(model: Module, before: Mapping[str, Tensor], factors: Mapping[str, Factors], k: int):
    """The opposite of `update_at_rank`: ΔW without its `k` largest singular values and their directions."""
    rest = {name: Factors(f.U[:, k:], f.s[k:], f.Vh[k:]) for name, f in factors.items()}
    with _moved(model, before, {name: factor.approximation(len(factor.s)) for name, factor in rest.items()}):
        yield model


def in_random_directions(factors: Mapping[str, Factors], seed: int = 0) -> dict[str, Factors]:
    """Updates with the same singular values, but with random orthonormal U and V: as large, about nothing."""
    draw = torch.Generator().manual_seed(seed)

    def orthonormal(like: Tensor) -> Tensor:  # (n, columns)
        return torch.linalg.qr(torch.randn(like.shape, generator=draw)).Q.to(like)

    return {name: Factors(orthonormal(f.U), f.s, orthonormal(f.Vh.T).T) for name, f in factors.items()}


@contextmanager
def _moved(model: Module, before: Mapping[str, Tensor], deltas: Mapping[str, Tensor]):
    """Within the block the parameters named in `deltas` are `before` + delta."""
    copies = {name: (model.get_parameter(name), before[name].to(delta) + delta) for name, delta in deltas.items()}
    kept = {name: parameter.data for name, (parameter, _) in copies.items()}
    try:
        for parameter, copy in copies.values():
            parameter.data = copy.to(parameter)
        yield model
    finally:
        for name, original in kept.items():
            copies[name][0].data = original
