"""Modules that adapters bring copies of, trained and saved whole beside A and B (modules_to_save), such as a head."""

import copy
from collections import Counter

from torch import nn

from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError
from lorakit.core.layer import Adapted, restore
from lorakit.core.state import ModelState, peek, unwrap
from lorakit.core.targets import above, base_modules, matches_name


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


def saved_modules(model: nn.Module, config: LoRAConfig, adapted: list[str]) -> dict[str, nn.Module]:
    """The base's modules that config.modules_to_save names, by path; refuses what cannot be copied safely."""
    model, state = unwrap(model), peek(model) or ModelState()
    found: dict[str, nn.Module] = {}
    for wanted in config.modules_to_save:
        named = {path: module for path, module in base_modules(model) if path and matches_name(path, wanted)}
        if not named:
            raise LoRAError(f'modules_to_save: no module of this model is named "{wanted}"')
        found |= named
    counts = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False)) if found else {}
    for path, module in found.items():
        why = None
        if nested := [p for p in {**found, **state.saved} if p != path and (path in above(p) or p in above(path))]:
            why = f"and {nested[0]}: one contains the other, name the outer one"
        elif inside := [p for p in [*adapted, *state.layers] if path in above(p)]:
            why = f"contains the adapted {inside[0]}: save it whole or adapt it"
        elif "forward" in vars(module) or type(module).forward is nn.Module.forward:
            why = "is not called itself (a list of modules?), so a copy of it would have no effect: name its members"
        elif any(counts[id(p)] > 1 for p in module.parameters()):
            why = "shares its weight with another module; a copy would drift apart"
        if why:
            raise LoRAError(f"modules_to_save: {path} {why}")
    return found


def bare_copy(module: nn.Module) -> nn.Module:
    """A copy of the base's module without what adapters have brought to it."""
    known = {id(module.adapters): nn.ModuleDict(), id(module.switch): None} if isinstance(module, Adapted) else {}
    twin = copy.deepcopy(module, known)
    restore(twin)
    return twin
