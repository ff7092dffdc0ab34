"""What several of the methods look for in a model."""

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


def refuse_adapted(model: nn.Module, *kinds: type[nn.Module]) -> None:
    """Raise LoRAError where the model carries LoRA adapters, or has modules of these kinds already."""
    if peek(model) is not None:
        raise LoRAError("the model carries LoRA adapters: eject them, or load the base anew")
    for module in model.modules():
        if isinstance(module, kinds):
            raise LoRAError(f"the model has a {type(module).__name__} already: load the base anew")
