"""What lorakit remembers about a model, and what acts in it now.

What acts is a value: a forward reads one small immutable `Choice`, and a switch replaces it by one assignment. Every
adapted layer of a model holds the same `Switch`, which holds the model's default. `using` puts another choice in its
place for the thread that calls it, and for no other.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError


@dataclass(frozen=True)
class Rows:
    """One adapter per row of a batch of count rows, or of count * beams: then `beams` rows for each name in turn."""

    count: int
    beams: int
    stacks: dict[nn.Module, tuple[Tensor, Tensor, Tensor]]  # by layer: A (rows or runs, R, k), B, scaling


@dataclass(frozen=True)
class Choice:
    """The adapter that acts (None: the bare base), how strongly, and whether it is folded into the weights already."""

    name: str | None = None
    strength: float = 1.0
    merged: bool = False
    rows: Rows | None = None
    of_thread: bool = False  # made by `using`

    def refuse_training(self) -> None:
        """Raise LoRAError in train mode: always with one adapter per row, else where gradients are on."""
        if self.rows is not None:
            raise LoRAError("using one adapter per row is for inference: call model.eval() first")
        if self.merged and torch.is_grad_enabled():
            raise LoRAError("the adapter is merged into the weights: call unmerge(model) before training")
        if self.of_thread and torch.is_grad_enabled():  # gradient checkpointing computes again in another thread
            raise LoRAError("lk.using is for inference: to train an adapter, leave it and call set_adapter")


class _Thread(threading.local):
    """The choices of the `using` blocks that a thread is in, innermost first; the tuple is replaced, never changed."""

    chosen: tuple[tuple["Switch", Choice], ...] = ()


# One for this file, not one per layer: layers are copied and pickled. (A ContextVar would break compiled graphs.)
THREAD = _Thread()


class Switch:
    """Shared by all adapted layers of a model. default: what acts in every thread that is not inside `using`."""

    def __init__(self) -> None:
        self.default = Choice()

    def now(self) -> Choice:
        """What acts in this thread."""
        for switch, choice in THREAD.chosen:
            if switch is self:
                return choice
        return self.default


@dataclass
class ModelState:
    """What lorakit remembers about a model, kept on it as `_lorakit` and copied along with it."""

    switch: Switch = field(default_factory=Switch)  # what acts; shared with the layers
    layers: dict[str, nn.Module] = field(default_factory=dict)  # the LoRALayers by path, in the model's order
    saved: dict[str, nn.Module] = field(default_factory=dict)  # the SavedModules by path
    configs: dict[str, LoRAConfig] = field(default_factory=dict)  # by adapter, oldest first
    strengths: dict[str, float] = field(default_factory=dict)  # what set_scale said of an adapter
    trainable: set[str] = field(default_factory=set)  # the adapters that train when active
    was_trainable: frozenset[str] = frozenset()  # parameters that required gradients before the first adapter
    guard: RemovableHandle | None = None  # while merged, the hook that refuses load_state_dict

    @property
    def active(self) -> str | None:
        return self.switch.default.name

    @property
    def merged(self) -> bool:
        return self.switch.default.merged

    @property
    def inside(self) -> bool:
        """Is this thread inside `using` of the model?"""
        return any(switch is self.switch for switch, _ in THREAD.chosen)

    def parts_of(self, name: str | None, where: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """What the adapter has in these modules (layers or saved): an Adapter, or a copy trained whole, by path."""
        found = {path: module._modules.get("adapters", {}) for path, module in where.items()}
        return {path: adapters[name] for path, adapters in found.items() if name in adapters}


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside torch.compile's or DistributedDataParallel's wrapper, so that names carry no prefix."""
    while "_orig_mod" in model._modules or type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
        model = model._modules.get("_orig_mod") or model.module
    return model


def peek(model: nn.Module) -> ModelState | None:
    """The model's state, or None where no adapter was ever injected."""
    return vars(unwrap(model)).get("_lorakit")


def state_of(model: nn.Module, *names: str | None, doing: str | None = None, in_place: bool = True) -> ModelState:
    """The model's state. Raises LoRAError where there is none, or no adapter of these names, or it cannot change now.

    doing: what the caller wants to change, for the message; refused while an adapter is merged and inside `using`.
    in_place: refused too where an adapted module is no longer the one that sits in the model.
    """
    state = peek(model)
    if state is None:
        raise LoRAError("this model has no adapters: call inject(model, config) or load_adapter(model, folder) first")
    for name in names:
        if name is not None and (not isinstance(name, str) or name not in state.configs):
            have = ", ".join(map(repr, state.configs)) or "none"
            several = "; for a weighted sum of several see lk.combine" if isinstance(name, list | tuple | dict) else ""
            raise LoRAError(f"there is no adapter named {name!r} here; this model has: {have}{several}")
    if in_place:
        _refuse_replaced(unwrap(model), state)
    if doing and state.merged:
        raise LoRAError(f"cannot {doing} while an adapter is merged: call unmerge(model) first")
    if doing and state.inside:
        raise LoRAError(f"cannot {doing} inside lk.using: leave the with block first")
    return state


def _refuse_replaced(model: nn.Module, state: ModelState) -> None:
    for path, module in (*state.layers.items(), *state.saved.items()):
        found = model
        for part in path.split(".") if path else ():
            found = found._modules.get(part) if found is not None else None
        if found is not module:
            raise LoRAError(
                f"{path} was replaced since it was adapted (by resize_token_embeddings, a new head, dropped layers?): "
                "its adapter has no effect. Put that module back, or eject(model), and adapt the changed model"
            )


@contextmanager
def whole(finish: Callable[[], None]) -> Iterator[None]:
    """Around a commit in many steps: whatever interrupts it, Ctrl-C too, `finish` makes the model whole again."""
    try:
        yield
    except BaseException:
        finish()
        raise
