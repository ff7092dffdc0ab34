"""Which adapter acts, and how strongly."""

from torch import nn

from lorakit.core.config import is_number
from lorakit.core.errors import LoRAError, shown
from lorakit.core.state import ModelState, known, peek, refuse_if_busy, state_of
from lorakit.core.threads import nobody_inside
from lorakit.core.wrappers import unwrap


def set_adapter(model: nn.Module, name: str | None) -> None:
    """Make one adapter active, or none (None: the bare base). Only the active adapter's parameters train.

    Adapters that were loaded for inference stay frozen. Takes microseconds: pointers move, no tensor does; calls of the
    model that other threads have under way finish first. Raises LoRAError for an unknown name, while merged, inside
    mixed_batch, and where another thread stays in the model for longer than `threads.PATIENCE`.
    """
    model = unwrap(model)
    with nobody_inside(model, "switch adapters"):
        state = peek(model)
        if state is None and name is None:
            return
        state = state_of(model)
        if name is not None:
            known(state, name)
        refuse_if_busy(state, "switch adapters")
        make_active(model, state, name)


def make_active(model: nn.Module, state: ModelState, name: str | None) -> None:
    """set_adapter, for verbs that have made sure that nobody is inside and that the name is known."""
    if state.active is not None and state.active != name:
        _require_grad(state, state.active, False)
    for layer in state.layers.values():
        layer.__dict__["live"] = layer.adapters._modules.get(name)
    copies = state.saved.get(name, {})
    for path, original in state.originals.items():
        _put(model, path, copies.get(path, original))
    state.active = name
    if name is not None:
        _require_grad(state, name, name in state.trainable)


def adapter_names(model: nn.Module) -> list[str]:
    """The names of the model's adapters, oldest first; empty where there are none."""
    state = peek(model)
    return list(state.configs) if state else []


def active_adapter(model: nn.Module) -> str | None:
    """The name of the adapter that acts now, or None for the bare base."""
    state = peek(model)
    return state.active if state else None


def set_scale(model: nn.Module, strength: float) -> None:
    """Multiply the active adapter's update by `strength` (1: as trained, 0: the base). A dial for playing: not saved.

    Raises LoRAError if no adapter is active, strength is not a finite number, or the adapter is merged.
    """
    if not is_number(strength):
        raise LoRAError(f"strength must be a finite number, got {shown(strength)}")
    with nobody_inside(unwrap(model), "change the scale"):
        state = state_of(model)
        refuse_if_busy(state, "change the scale")
        if state.active is None:
            raise LoRAError("no adapter is active: call set_adapter(model, name) first")
        for layer in state.layers.values():
            if layer.live is not None:
                layer.live.scaling = layer.live.unit_scaling * strength


def _require_grad(state, name: str, value: bool) -> None:
    for layer in state.layers.values():
        adapter = layer.adapters._modules.get(name)
        if adapter is not None:
            adapter.lora_A.requires_grad = adapter.lora_B.requires_grad = value
    for module in state.saved[name].values():
        module.requires_grad_(value)


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    """Set the module at this path, on the device, in the dtype and the mode of the one it replaces."""
    parent, _, leaf = path.rpartition(".")
    children = model.get_submodule(parent)._modules
    before = children[leaf]
    if before is not module:
        old = next(before.parameters(), None)
        if old is not None:
            wide = old.is_floating_point() or old.is_complex()  # a quantized weight's dtype is no dtype for others
            module.to(device=old.device, dtype=old.dtype if wide else None)
        children[leaf] = module.train(before.training)
