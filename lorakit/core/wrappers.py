"""The model itself, whatever is wrapped around it."""

from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside torch.compile's or DistributedDataParallel's wrapper, so that names carry no prefix."""
    while True:
        inner = model._modules.get("_orig_mod")
        if inner is None and type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
            inner = model.module
        if inner is None:
            return model
        model = inner
