"""A model whose weights are replaced, for a moment, by their best copies of a lower rank."""

from contextlib import contextmanager

from torch.nn import Module

from lorakit.study.rank import Factors


@contextmanager
def weights_at_rank(model: Module, factors: dict[str, Factors], rank: int):
    """Within the block every parameter named in `factors` is its best approximation of rank `rank`.

    `factors` maps parameter names, as in `model.named_parameters()`, to `Factors.of(weight)`: the SVD is paid once,
    each rank after that is a product. On leaving, by an exception too, the original tensors are back. Raises ValueError
    for a rank that one of the weights cannot have, AttributeError for an unknown name.
    """
    copies = {name: (model.get_parameter(name), factor.approximation(rank)) for name, factor in factors.items()}
    kept = {name: parameter.data for name, (parameter, _) in copies.items()}
    try:
        for parameter, copy in copies.values():
            parameter.data = copy.to(parameter)
        yield model
    finally:
        for name, original in kept.items():
            copies[name][0].data = original
