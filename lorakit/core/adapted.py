"""What lorakit makes of a module that it adapts: the same object, of a class that knows about adapters."""

import copy
import functools
import warnings

from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.core.state import Switch, peek


class Adapted:
    """What lorakit adds to a module: its adapters by name, and the model's switch.

    The module stays the same object and only its class changes: so keys, references, hooks and ties stay valid, and
    torch.compile sees the change (as it does not see a hook that is added after the first compilation).
    """

    kind: type  # LoRALayer, or SavedModule
    base_class: type  # the module's own
    adapters: nn.ModuleDict
    switch: Switch

    def state_dict(self, *args, prefix: str = "", **kwargs):
        """While an adapter is merged, the state dict of a plain model, so that nobody adds the update twice."""
        state = super().state_dict(*args, prefix=prefix, **kwargs)
        if self.switch.default.merged:
            for key in [key for key in state if key.startswith(f"{prefix}adapters.")]:
                del state[key]
        return state

    def _load_from_state_dict(self, *args, **kwargs):
        if self.switch.default.merged:
            raise LoRAError("the adapter is merged into the weights: call unmerge(model) before load_state_dict")
        super()._load_from_state_dict(*args, **kwargs)

    def _replicate_for_data_parallel(self):
        raise LoRAError("nn.DataParallel's copies would lose their adapters: use DistributedDataParallel (torchrun)")

    def __reduce_ex__(self, protocol):  # the class is made at run time: make it anew from what it was made of
        return _blank, (self.kind, self.base_class), self.__dict__


class SavedModule(Adapted):
    """A module of which adapters bring copies of their own, trained whole (modules_to_save)."""

    def forward(self, *args, **kwargs):
        choice = self.switch.now()
        if self.training:
            choice.refuse_training()
        copy = self.adapters._modules.get(choice.name)
        # The copy's forward and not the copy: hooks, which were copied too, have run around this module already.
        return self.base_class.forward(self, *args, **kwargs) if copy is None else copy.forward(*args, **kwargs)

    def state_dict(self, *args, prefix: str = "", **kwargs):
        copy = self.adapters._modules.get(self.switch.default.name)
        if copy is not None and self.switch.default.merged:
            return copy.state_dict(*args, prefix=prefix, **kwargs)
        return super().state_dict(*args, prefix=prefix, **kwargs)


@functools.cache
def adapted_class(kind: type, base_class: type) -> type:
    """The class of an adapted module: `kind` (LoRALayer, SavedModule) in front of the module's own class."""
    name, transposed = base_class.__name__, not issubclass(base_class, nn.Linear)
    plain = base_class is nn.Linear or name == "Conv1D"
    own = {"kind": kind, "base_class": base_class, "transposed": transposed, "plain": plain}
    return type(f"LoRA{name}", (kind, base_class), own)


def adapt(module: nn.Module, kind: type, switch: Switch) -> None:
    """Give a module the means to hold adapters, in place; without any it computes what it computed before."""
    if not isinstance(module, Adapted):
        module.switch, module.adapters = switch, nn.ModuleDict().train(module.training)
        _become(module, adapted_class(kind, type(module)))


def restore(module: nn.Module) -> None:
    """Give a module its own class back, even where an interrupt left `adapt` or `restore` half done."""
    if isinstance(module, Adapted):
        _become(module, module.base_class)
    for name in ("adapters", "switch"):
        if hasattr(module, name):
            delattr(module, name)


def _become(module: nn.Module, cls: type) -> None:
    module.__class__ = cls
    if "_old_forward" in vars(module):  # accelerate's hooks go on to the forward that they found
        module._old_forward = cls.forward.__get__(module)


def _blank(kind: type, base_class: type) -> nn.Module:
    cls = adapted_class(kind, base_class)
    return cls.__new__(cls)


def bare_copy(module: nn.Module) -> nn.Module:
    """A copy of the base's module without what adapters have brought to it."""
    known = {id(module.adapters): None, id(module.switch): None} if isinstance(module, Adapted) else {}
    twin = copy.deepcopy(module, known)  # without copying these two
    restore(twin)
    return twin


def warn_when_saved_whole(model: nn.Module) -> None:
    """From now on save_pretrained says, each time, that from_pretrained passes over adapters in what it writes."""
    if hasattr(model, "save_pretrained"):
        model.save_pretrained = functools.partial(_save_whole, model)


def _save_whole(model: nn.Module, *args, **kwargs):
    if not peek(model).merged:
        warnings.warn(
            "save_pretrained writes this model with its adapters' tensors inside, which from_pretrained passes over: "
            "it would give the bare base. Write the adapter with lk.save_adapter, or call lk.merge(model) first",
            stacklevel=3,
        )
    return type(model).save_pretrained(model, *args, **kwargs)
