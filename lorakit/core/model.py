"""Put adapters into a model, choose the one that acts, take them out again.

`inject`, `load_adapter`, `delete_adapter`, `eject`, `merge` and `unmerge` change modules and want the model to
themselves, as any surgery on a torch module does: no other thread may be inside a call of it. They build first and
commit last. An interrupted commit (Ctrl-C, out of memory) is undone; an interrupted delete, eject or unmerge is carried
through. `set_adapter` and `set_scale` replace one reference, so a call running in another thread may use the old value
in its first layers and the new one in the rest: threads that serve use `using`.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from lorakit.core.adapted import SavedModule, adapt, bare_copy, restore, warn_when_saved_whole
from lorakit.core.config import LARGEST, LoRAConfig, check_name, is_number
from lorakit.core.errors import LoRAError
from lorakit.core.layer import Adapter, LoRALayer
from lorakit.core.state import Choice, ModelState, peek, state_of, unwrap, whole
from lorakit.core.targets import Target, base_modules, find_targets, projection_shape, saved_modules


def inject(model: nn.Module, config: LoRAConfig, name: str = "default", seed: int = 0) -> nn.Module:
    """Put a new adapter into the model, in place, make it the active one and freeze everything else.

    A is Gaussian with standard deviation 1 / sqrt(k), drawn on the CPU from `seed` whatever the device; B is zero,
    so the outputs equal the base's bit for bit until the first step (Hu et al. 2021, section 4.1).
    Returns the model. Raises LoRAError, and changes nothing, if a target fits no projection, r is larger than a
    projection allows, the name is taken or cannot be used, or an adapter is merged.
    """
    targets = find_targets(unwrap(model), config.targets, exclude=config.modules_to_save)
    for target in targets:
        (k, d), r = projection_shape(target.module), config.rank_of(target.path)
        if r > min(k, d):
            alone = f'; smaller there alone: rank_pattern={{"{target.path.rpartition(".")[2]}": {min(k, d)}}}'
            raise LoRAError(f"r must be between 1 and {min(k, d)} ({target.path} is {k} -> {d}), got {r}{alone}")
    adapters, copies = build(model, config, name, targets)
    generator = torch.Generator().manual_seed(seed)
    for adapter in adapters.values():
        if not adapter.lora_A.is_meta:
            A = torch.empty(adapter.lora_A.shape, dtype=torch.float32, device="cpu")  # whatever torch's default is
            adapter.lora_A.data.copy_(A.normal_(std=adapter.in_features**-0.5, generator=generator))
    attach(model, config, name, adapters, copies, trainable=True)
    return model


def build(model: nn.Module, config: LoRAConfig, name: str, targets: list[Target]) -> tuple[dict, dict]:
    """New adapters (A and B zero) and copies of modules_to_save, by path, not yet attached; checks happen here."""
    check_name(name)
    state = state_of(model, doing="add an adapter") if peek(model) else ModelState()
    if name in state.configs:
        raise LoRAError(f"the model already has an adapter named {name!r}: choose another name or delete_adapter first")
    originals = saved_modules(model, config, [target.path for target in targets])
    for path, module in {**{target.path: target.module for target in targets}, **originals}.items():
        taken = hasattr(module, "adapters") or hasattr(module, "switch")
        if taken and path not in state.layers and path not in state.saved:
            why = "(injected through another module? eject that): lorakit needs these names there"
            raise LoRAError(f"{path} has an attribute `adapters` or `switch` already {why}")
    adapters = {}
    for target in targets:
        path = target.path
        weight, hook = target.module.weight, vars(target.module).get("_hf_hook")
        device = getattr(hook, "execution_device", None) if weight.is_meta else None  # offloaded by accelerate
        like = torch.empty(0, dtype=weight.dtype, device=weight.device if device is None else device)
        strength = (config.rank_of(path), config.alpha_of(path), config.scaling_of(path))
        adapters[path] = Adapter(projection_shape(target.module), target.slices, *strength, config.dropout, like)
    return adapters, {path: bare_copy(module) for path, module in originals.items()}


def attach(model: nn.Module, config: LoRAConfig, name: str, adapters: dict, copies: dict, trainable: bool) -> None:
    """Make what `build` built part of the model, and the adapter the active one: all of it, or nothing."""
    model = unwrap(model)
    state, before = peek(model) or ModelState(), active_adapter(model)
    if not state.configs:
        state.was_trainable = frozenset(n for n, p in model.named_parameters() if p.requires_grad)
    with whole(lambda: _take_out(model, state, [name], before)):
        model._lorakit, state.configs[name] = state, config
        for _, module in base_modules(model):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
        for other in state.configs:  # which a caller may have unfrozen
            _require_grad(state, other, False)
        for kind, parts, found in ((LoRALayer, adapters, state.layers), (SavedModule, copies, state.saved)):
            for path, part in parts.items():
                module = found[path] = model.get_submodule(path)
                adapt(module, kind, state.switch)
                module.adapters[name] = part.train(module.training).requires_grad_(False)
        state.layers = {path: state.layers[path] for path, _ in base_modules(model) if path in state.layers}
        warn_when_saved_whole(model)
        if trainable:
            state.trainable.add(name)
        _activate(state, name, before)


def _take_out(model: nn.Module, state: ModelState, names: list[str], active: str | None) -> None:
    """Remove adapters, however much of them there is, and let `active` act; without any other, leave no trace."""
    _activate(state, active, state.active)
    for found in (state.layers, state.saved):
        for path, module in list(found.items()):
            adapters = module._modules.get("adapters", {})
            for name in names:
                if name in adapters:
                    del adapters[name]
            if not adapters:
                restore(module)
                del found[path]
    for name in names:
        state.configs.pop(name, None)
        state.strengths.pop(name, None)
        state.trainable.discard(name)
    if not state.configs:
        for path, parameter in model.named_parameters():
            parameter.requires_grad_(path in state.was_trainable)
        for attribute in ("_lorakit", "save_pretrained"):
            vars(model).pop(attribute, None)


@torch.no_grad()
def combine(model: nn.Module, weights: Mapping[str, float], name: str) -> nn.Module:
    """Add an adapter whose update is the sum of others', each times its weight, and make it the active one, frozen.

    weights: by adapter, any finite numbers: {"law": 0.7, "medicine": -0.3}. What set_scale said does not count.

    A of the sum is the A of all, stacked (sum of ranks, k); B the B of all, side by side, times weight and scaling.
    Returns the model. Raises LoRAError, and changes nothing, for an unknown adapter, weights that are no numbers, a
    name that is taken or cannot be used, adapters with modules_to_save, while merged, and inside `using`.
    """
    if not isinstance(weights, Mapping) or not weights or not all(map(is_number, weights.values())):
        raise LoRAError(f'weights must be finite numbers by adapter, {{"law": 0.7, "code": 0.3}}, got {weights!r}')
    state = state_of(model, *weights, doing="add an adapter")
    if copies := sorted({path for each in weights for path in state.parts_of(each, state.saved)}):
        raise LoRAError(f"whole modules ({', '.join(copies)}) have no weighted sum: combine adapters without them")
    here = {
        path: [(weight, layer.adapters[each]) for each, weight in weights.items() if each in layer.adapters]
        for path, layer in state.layers.items()
    }
    ranks = {path: sum(len(adapter.lora_A) for _, adapter in found) for path, found in here.items() if found}
    r = max(ranks.values())
    others = {f"^{path}": rank for path, rank in ranks.items() if rank != r}
    config = LoRAConfig(r=r, alpha=r, targets=tuple(ranks), rank_pattern=others, alpha_pattern=others)
    sums, _ = build(model, config, name, [Target(path, state.layers[path]) for path in ranks])
    for path, adapter in sums.items():
        adapter.lora_A.copy_(torch.cat([a.lora_A for _, a in here[path]]))  # (R, k)
        adapter.lora_B.copy_(torch.cat([w * a.scaling * a.full_B() for w, a in here[path]], dim=1))  # (d, R)
    attach(model, config, name, sums, {}, trainable=False)
    return model


def delete_adapter(model: nn.Module, name: str) -> None:
    """Remove one adapter; layers left without any get their own class back. Raises LoRAError while merged."""
    state, model = state_of(model, name, doing="delete an adapter"), unwrap(model)
    rest = None if state.active == name else state.active
    with whole(lambda: _take_out(model, state, [name], rest)):
        _take_out(model, state, [name], rest)


def eject(model: nn.Module) -> None:
    """Remove every adapter and all trace of lorakit: classes, keys, requires_grad. Raises LoRAError while merged."""
    if peek(model) is not None:
        state, model = state_of(model, doing="eject", in_place=False), unwrap(model)
        names = list(state.configs)
        with whole(lambda: _take_out(model, state, names, None)):
            _take_out(model, state, names, None)


def set_adapter(model: nn.Module, name: str | None) -> None:
    """Make one adapter the model's default, for every thread, or none (None: the bare base). Only its parameters train.

    Adapters that were loaded for inference stay frozen. No tensor moves: what acts is one reference, replaced at once.
    Threads that each want their own use `using`. Raises LoRAError for an unknown name, while merged, inside `using`.
    """
    if name is None and peek(model) is None:
        return
    state = state_of(model, name, doing="switch adapters", in_place=name is not None)
    before = state.active
    with whole(lambda: _activate(state, before, name)):
        _activate(state, name, before)


def _activate(state: ModelState, name: str | None, before: str | None) -> None:
    """The adapter of this name acts and, if it may, trains; the one before does neither."""
    for either in {before, name} & state.trainable:
        _require_grad(state, either, either == name)
    state.switch.default = Choice(name, state.strengths.get(name, 1.0))


def _require_grad(state: ModelState, name: str, value: bool) -> None:
    for adapter in state.parts_of(name, state.layers).values():
        for parameter in adapter._parameters.values():  # `parameters()` would be most of the time of a switch
            parameter.requires_grad = value
    for module in state.parts_of(name, state.saved).values():
        module.requires_grad_(value)


def set_scale(model: nn.Module, strength: float) -> None:
    """Multiply the active adapter's update by `strength` (1: as trained, 0: the base). A dial for playing: not saved.

    Raises LoRAError if no adapter is active, strength is not a finite number, the adapter is merged, or inside `using`.
    """
    if not is_number(strength):
        raise LoRAError(f"strength must be a finite number (below {LARGEST:g}), got {strength!r}")
    state = state_of(model, doing="change the scale")
    if state.active is None:
        raise LoRAError("no adapter is active: call set_adapter(model, name) first")
    state.strengths[state.active] = strength
    state.switch.default = replace(state.switch.default, strength=strength)


def adapter_names(model: nn.Module) -> list[str]:
    """The names of the model's adapters, oldest first; empty where there are none."""
    return list(state.configs) if (state := peek(model)) else []


def active_adapter(model: nn.Module) -> str | None:
    """The adapter that acts by default (inside `using`, too), or None for the bare base."""
    return state.active if (state := peek(model)) else None
