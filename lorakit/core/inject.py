"""Put adapters into a model and take them out again."""

import copy
from collections import Counter

import torch
from torch import nn

from lorakit.core.config import LoRAConfig, check_name
from lorakit.core.errors import LoRAError
from lorakit.core.layer import OWN_NAMES, Adapter, LoRALayer, adapt, adapted_class, restore
from lorakit.core.state import ModelState, known, peek, refuse_if_busy, state_of
from lorakit.core.switch import make_active
from lorakit.core.targets import Target, above, base_modules, find_targets, matches_name, projection_shape
from lorakit.core.threads import gate_of, nobody_inside, verb
from lorakit.core.wrappers import unwrap


@verb("add an adapter")
def inject(model: nn.Module, config: LoRAConfig, name: str = "default", seed: int = 0) -> nn.Module:
    """Put a new adapter into the model, in place, make it the active one and freeze everything else.

    A is Gaussian with standard deviation 1 / sqrt(in), drawn on the CPU from `seed` whatever the device; B is zero,
    so the outputs equal the base's bit for bit until the first step (Hu et al. 2021, section 4.1).
    Returns the model. Raises LoRAError, and changes nothing, if a target fits no projection, r is larger than a
    projection allows, the name is taken or cannot be used, or an adapter is merged.
    """
    model = unwrap(model)
    targets = find_targets(model, config.targets, exclude=config.modules_to_save)
    for target in targets:
        shape, r = projection_shape(target.module), config.rank_of(target.path)
        limit = min(*shape, *(stop - start for start, stop in target.bounds))
        if r > limit:
            raise LoRAError(f"r must be between 1 and {limit} ({target.path} is {shape[0]} -> {shape[1]}), got {r}")
    adapters = build(model, config, name, targets)
    generator = torch.Generator().manual_seed(seed)
    for adapter in adapters.values():
        if adapter.lora_A.is_meta:
            continue
        A = torch.empty(adapter.lora_A.shape, dtype=torch.float32)
        A.normal_(std=adapter.in_features**-0.5, generator=generator)
        adapter.lora_A.data.copy_(A)
    attach(model, config, name, adapters)
    return model


def build(model: nn.Module, config: LoRAConfig, name: str, targets: list[Target]) -> dict[str, Adapter]:
    """New adapters (A and B zero) for these targets, by path, not yet attached; all checks happen here."""
    state = peek(model) or ModelState()
    refuse_if_busy(state, "add an adapter")
    check_name(name)
    if name in state.configs:
        raise LoRAError(f"the model already has an adapter named {name!r}: choose another name or delete_adapter first")
    saved_modules(model, config, [target.path for target in targets])
    adapters = {}
    for target in targets:
        owner = next((path for path in above(target.path) if path in state.originals), None)
        if owner:
            raise LoRAError(f"{target.path} is inside {owner}, which another adapter trains whole: adapt it elsewhere")
        if isinstance(target.module, LoRALayer) and target.path not in state.layers:
            raise LoRAError(f"{target.path} has adapters that were injected through another module: eject those first")
        _refuse_unfit(target)
        r, alpha = config.rank_of(target.path), config.alpha_of(target.path)
        shape, scaling = projection_shape(target.module), config.scaling(r, alpha)
        adapters[target.path] = Adapter(shape, target.bounds, r, alpha, scaling, config.dropout, target.module.weight)
    return adapters


def _refuse_unfit(target: Target) -> None:
    """What would fail in the middle of attaching, or later, is found out before anything has changed."""
    module = target.module
    if isinstance(module, LoRALayer):
        return
    inside = {**vars(module), **module._parameters, **module._buffers, **module._modules}
    if taken := sorted(OWN_NAMES & inside.keys()):
        raise LoRAError(f"{target.path} has attributes of its own named {', '.join(taken)}, which lorakit needs there")
    if any(p is not None and p.is_inference() for p in module._parameters.values()):
        raise LoRAError(
            f"{target.path} was made in torch.inference_mode: make the model outside it, or it cannot be adapted"
        )
    try:
        adapted_class(type(module))
    except Exception as error:  # what a class makes of being inherited from is up to that class
        raise LoRAError(f"{target.path} is a {type(module).__name__}, which refuses subclasses: {error}") from error


def attach(model: nn.Module, config: LoRAConfig, name: str, adapters: dict[str, Adapter], trainable=True, saved=None):
    """Make built adapters part of the model, and the named one active. Cannot fail half way.

    saved: the state dicts of the modules trained whole, by path, where a file brought them.
    """
    originals = saved_modules(model, config, [])
    copies = {path: copy.deepcopy(module) for path, module in originals.items()}
    for path, tensors in (saved or {}).items():
        copies[path].load_state_dict(tensors)
    state = peek(model)
    if state is None:
        trained = frozenset(n for n, p in model.named_parameters() if p.requires_grad)
        state = ModelState(was_trainable=trained, gate=gate_of(model))
    new = [path for path in adapters if path not in state.layers]
    with nobody_inside(model, "add an adapter", new=[*new, *originals]):
        model._lorakit = state
        state.originals.update(originals)
        for _, module in base_modules(model):
            for parameter in module._parameters.values():
                if parameter is not None:
                    parameter.requires_grad_(False)
        for layer in state.layers.values():  # others, which a caller may have unfrozen; quick with thousands
            for other in layer.adapters._modules.values():
                for parameter in other._parameters.values():
                    parameter.requires_grad = False
        for path, adapter in adapters.items():
            layer = model.get_submodule(path)
            adapt(layer, state.gate)
            adapter.train(layer.training)
            layer.adapters[name] = adapter.requires_grad_(False)
        by_path = {**state.layers, **{path: model.get_submodule(path) for path in adapters}}
        state.layers = {path: by_path[path] for path, _ in base_modules(model) if path in by_path}
        state.configs[name], state.saved[name] = config, copies
        if trainable:
            state.trainable.add(name)
        make_active(model, state, name)


def saved_modules(model: nn.Module, config: LoRAConfig, adapted: list[str]) -> dict[str, nn.Module]:
    """The base's modules that config.modules_to_save names, by path; refuses what cannot be copied safely."""
    if not config.modules_to_save:
        return {}
    state = peek(model) or ModelState()
    found: dict[str, nn.Module] = {}
    for wanted in config.modules_to_save:
        paths = [path for path, _ in base_modules(model) if path and matches_name(path, wanted)]
        if not paths:
            raise LoRAError(f'modules_to_save: no module of this model is named "{wanted}"')
        found.update({path: state.originals.get(path) or model.get_submodule(path) for path in paths})
    counts = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    for path, module in found.items():
        nested = [p for p in {**found, **state.originals} if p != path and path in above(p)]
        nested += [p for p in state.originals if p != path and p in above(path)]
        if nested:
            raise LoRAError(f"modules_to_save: of {path} and {nested[0]} one contains the other: name the outer one")
        inside = [p for p in [*adapted, *state.layers] if p == path or p.startswith(path + ".")]
        if inside:
            raise LoRAError(f"modules_to_save: {path} contains the adapted {inside[0]}: save it whole or adapt it")
        if module is model.get_submodule(path) and any(counts[id(p)] > 1 for p in module.parameters()):
            raise LoRAError(f"modules_to_save: {path} shares its weight with another module; a copy would drift apart")
    return found


def delete_adapter(model: nn.Module, name: str) -> None:
    """Remove one adapter; layers left without any get their own class back. Raises LoRAError while merged."""
    model = unwrap(model)
    with nobody_inside(model, "delete an adapter"):
        state = state_of(model)
        known(state, name)
        refuse_if_busy(state, "delete an adapter")
        if len(state.configs) == 1:
            return eject(model)
        if state.active == name:
            make_active(model, state, None)
        for path, layer in list(state.layers.items()):
            if name in layer.adapters:
                del layer.adapters[name]
            if not layer.adapters:
                restore(layer)
                del state.layers[path]
        del state.configs[name], state.saved[name]
        state.trainable.discard(name)
        kept = {path for copies in state.saved.values() for path in copies}
        state.originals = {path: module for path, module in state.originals.items() if path in kept}


def eject(model: nn.Module) -> None:
    """Remove every adapter and all that lorakit did to the model: classes, state dict, requires_grad. Idempotent.

    Raises LoRAError while an adapter is merged.
    """
    model = unwrap(model)
    with nobody_inside(model, "eject"):
        state = peek(model)
        if state is None:
            return
        refuse_if_busy(state, "eject")
        make_active(model, state, None)
        for layer in state.layers.values():
            restore(layer)
        del model._lorakit
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in state.was_trainable)
