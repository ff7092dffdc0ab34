"""What several of the methods look for in a model, and how they leave it as it was."""

from collections.abc import Callable

from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.core.state import peek

NAMES = {"attention": ("attn", "self_attn", "attention"), "mlp": ("mlp", "feed_forward")}


def blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The transformer's blocks, and their path in the model. Raises LoRAError where there is no such list."""
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module):
            return path, module
    raise LoRAError(f"{type(model).__name__} has no list of blocks (nn.ModuleList)")


def sublayer(block: nn.Module, place: str) -> nn.Module:
    """A block's "attention" or "mlp". Raises LoRAError where it has none by a known name."""
    for name in NAMES[place]:
        if name in block._modules:
            return block._modules[name]
    raise LoRAError(f"a {type(block).__name__} has no {place} called {' or '.join(NAMES[place])}")


def trained(model: nn.Module) -> frozenset[str]:
    """The names of the parameters that require gradients."""
    return frozenset(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def train_only(model: nn.Module, names: frozenset[str]) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)


def remove_hooks(module: nn.Module, *functions: Callable) -> None:
    """Take these functions off as forward hooks: by function and not by handle, since a copy's handle names the
    original's hook."""
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        for key in [key for key, hook in hooks.items() if hook in functions]:
            del hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)
            module._forward_hooks_with_kwargs.pop(key, None)


def refuse_lora(model: nn.Module) -> None:
    """Raise LoRAError where the model carries LoRA adapters."""
    if peek(model) is not None:
        raise LoRAError("the model carries LoRA adapters: eject them, or load the base anew")
