"""What lorakit remembers about a model: one plain object on it, copied and pickled along with it."""

from dataclasses import dataclass, field

from torch import nn
from torch.utils.hooks import RemovableHandle

from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError
from lorakit.core.layer import LoRALayer
from lorakit.core.threads import Gate
from lorakit.core.wrappers import unwrap


@dataclass
class ModelState:
    """layers: path -> adapted layer, in the model's order. saved: adapter -> path -> its own copy of a module.

    originals: the modules that those copies stand in for. trainable: the adapters that train when active.
    was_trainable: names of the parameters that required gradients before the first adapter came.
    guard: while merged, the hook that refuses load_state_dict. gate: holds threads up while adapters change.
    """

    layers: dict[str, LoRALayer] = field(default_factory=dict)
    configs: dict[str, LoRAConfig] = field(default_factory=dict)
    saved: dict[str, dict[str, nn.Module]] = field(default_factory=dict)
    originals: dict[str, nn.Module] = field(default_factory=dict)
    trainable: set[str] = field(default_factory=set)
    was_trainable: frozenset[str] = frozenset()
    active: str | None = None
    merged: bool = False
    mixing: bool = False
    guard: RemovableHandle | None = None
    gate: Gate = field(default_factory=Gate)


def peek(model: nn.Module) -> ModelState | None:
    """The model's state, or None where no adapter was ever injected."""
    return unwrap(model).__dict__.get("_lorakit")


def state_of(model: nn.Module) -> ModelState:
    """The model's state; raises LoRAError where there is none."""
    state = peek(model)
    if state is None:
        raise LoRAError("this model has no adapters: call inject(model, config) or load_adapter(model, folder) first")
    return state


def known(state: ModelState, name: str) -> None:
    if not isinstance(name, str) or name not in state.configs:
        have = ", ".join(map(repr, state.configs)) or "none"
        raise LoRAError(f"there is no adapter named {name!r} here; this model has: {have}")


def refuse_if_busy(state: ModelState, doing: str) -> None:
    """Changes are refused while the adapter is merged or a mixed batch runs; nothing is ever half done."""
    if state.merged:
        raise LoRAError(f"cannot {doing} while an adapter is merged: call unmerge(model) first")
    if state.mixing:
        raise LoRAError(f"cannot {doing} inside mixed_batch: leave the with block first")
