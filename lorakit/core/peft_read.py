"""Read PEFT's fields and keys (peft 0.21) for a given model, every key accounted for."""

import re

from torch import Tensor, nn

from lorakit.core.config import LoRAConfig
from lorakit.core.contents import Contents, few
from lorakit.core.errors import LoRAError
from lorakit.core.peft_write import PREFIX, most_common, shortest_names, tidy
from lorakit.core.targets import Target, base_modules, find_targets, is_projection, matches_name, projection_shape

# Fields that change what an adapter computes and that lorakit does not teach: refused unless they are off.
UNSUPPORTED = (
    *("use_dora", "use_qalora", "use_bdlora", "lora_bias", "alora_invocation_tokens", "arrow_config"),
    *("layer_replication", "megatron_config", "target_parameters", "trainable_token_indices"),
    *("kasa_config", "monteclora_config", "velora_config"),
)
INITS = (True, False, None, "gaussian", "orthogonal", "eva")  # the others (pissa, olora, corda, …) change W0


def from_peft(model: nn.Module, fields: dict, tensors: dict[str, Tensor], slices: dict[str, list[str]]) -> Contents:
    """Read PEFT's fields and tensors for this model, every key accounted for.

    Raises LoRAError that names what lorakit cannot represent, and every missing, unexpected or misshapen key.
    """
    _refuse_unsupported(fields)
    modules = dict(base_modules(model))
    # PEFT lists "classifier" and "score" for every sequence classifier: names that this model lacks say nothing.
    names = LoRAConfig(modules_to_save=fields.get("modules_to_save") or ()).modules_to_save
    modules_to_save = tuple(name for name in names if any(matches_name(path, name) for path in modules))
    use_rslora = bool(fields.get("use_rslora"))
    read = LoRAConfig(
        r=fields.get("r", 8),
        alpha=fields.get("lora_alpha", 8),
        dropout=fields.get("lora_dropout") or 0.0,
        use_rslora=use_rslora,
        targets=("all-linear",),  # stands in until the keys have said which
        modules_to_save=modules_to_save,
        rank_pattern=fields.get("rank_pattern") or {},
        alpha_pattern=fields.get("alpha_pattern") or {},
    )
    found, saved, unexpected = _sort_keys(tensors, modules, modules_to_save)
    missing = [f"{path}.lora_{ab}" for path in found for ab in "AB" if ab not in found[path]]
    missing += [f"{path}.lora_A" for path in _expected_paths(model, modules, fields) if path not in found]
    for path, module in modules.items():
        if any(matches_name(path, name) for name in modules_to_save) and path not in saved and module.state_dict():
            missing.append(path)
    if missing or unexpected or not found:
        raise LoRAError(
            "the adapter's file does not fit this model; "
            f"missing: {few(missing)}; unexpected: {few(unexpected)}. Was it trained on another base?"
        )
    targets, weights, ranks, alphas = [], {}, {}, {}
    for path in (path for path in modules if path in found):
        module, R = modules[path], read.rank_of(path)
        in_features, out_features = projection_shape(module)
        A, B = found[path]["A"], found[path]["B"]
        for key, tensor, shape in (("lora_A", A, (R, in_features)), ("lora_B", B, (out_features, R))):
            if tuple(tensor.shape) != shape:
                raise LoRAError(f"{path}.{key} has shape {tuple(tensor.shape)}, this model and r = {R} need {shape}")
        target = Target(path, module, tuple(slices.get(path, ())))
        if target.slices and R % len(target.slices):
            raise LoRAError(f"{path} is marked as {len(target.slices)} slices, but its rank {R} is no multiple of that")
        n, alpha = max(len(target.slices), 1), read.alpha_of(path)
        if n > 1:  # written as one projection of rank n*r: what to_peft did, undone (and its rounding)
            alpha = float(f"{alpha / (n**0.5 if use_rslora else n):.12g}")
        targets.append(target)
        weights[path] = (A, B)
        ranks[path], alphas[path] = R // n, tidy(alpha)
    r, rank_pattern = most_common(ranks)
    alpha, alpha_pattern = most_common(alphas)
    names = [(n, s) for n in shortest_names(model, list(found)) or found for s in _slices_under(n, slices)]
    config = LoRAConfig(
        r=r,
        alpha=alpha,
        dropout=read.dropout,
        targets=tuple(f"{n}.{s}" if s else n for n, s in names),
        use_rslora=use_rslora,
        modules_to_save=modules_to_save,
        rank_pattern=rank_pattern,
        alpha_pattern=alpha_pattern,
    )
    return Contents(config, targets, weights, saved)


def _sort_keys(tensors: dict, modules: dict, modules_to_save: tuple) -> tuple[dict, dict, list[str]]:
    found, saved, unexpected = {}, {}, []
    for key, tensor in tensors.items():
        name = key.removeprefix(PREFIX)
        lora = re.fullmatch(r"(.+)\.lora_([AB])(\.[^.]+)?\.weight", name)
        owner = next((path for path in _parents(name) if any(matches_name(path, w) for w in modules_to_save)), None)
        if lora and key.startswith(PREFIX) and is_projection(modules.get(lora[1], nn.Identity())):
            found.setdefault(lora[1], {})[lora[2]] = tensor
        elif owner in modules and key.startswith(PREFIX):
            saved.setdefault(owner, {})[name[len(owner) + 1 :]] = tensor
        else:
            unexpected.append(key)
    return found, saved, unexpected


def _expected_paths(model: nn.Module, modules: dict, fields: dict) -> list[str]:
    """The projections that target_modules names here, by PEFT's own rules."""
    wanted, skipped = fields.get("target_modules"), fields.get("exclude_modules")
    layers, pattern = fields.get("layers_to_transform"), fields.get("layers_pattern")
    if wanted == "all-linear":
        paths = [target.path for target in find_targets(model, ("all-linear",))]
    else:
        paths = [path for path, module in modules.items() if is_projection(module) and _named(path, wanted)]
    paths = [path for path in paths if not _named(path, skipped)]
    if layers is not None:
        layers = [layers] if isinstance(layers, int) else list(layers)
        patterns = [pattern] if isinstance(pattern, str) else pattern or [r"[^.]*"]
        index = [
            next((m for p in patterns if (m := re.match(rf"(?:.*\.)?{p}\.(\d+)\.", path))), None) for path in paths
        ]
        paths = [path for path, m in zip(paths, index, strict=True) if m and int(m[1]) in layers]
    return paths


def _named(path: str, wanted) -> bool:
    if isinstance(wanted, str):
        return re.fullmatch(wanted, path) is not None
    return any(matches_name(path, name) for name in wanted or ())


def _refuse_unsupported(fields: dict) -> None:
    if fields.get("peft_type") != "LORA":
        raise LoRAError(f"this is a {fields.get('peft_type')!r} adapter: lorakit reads LoRA adapters only")
    used = [f"{name}={fields[name]!r}" for name in UNSUPPORTED if fields.get(name)]
    if fields.get("bias", "none") != "none":
        used.append(f"bias={fields['bias']!r}")
    if fields.get("init_lora_weights", True) not in INITS:
        used.append(f"init_lora_weights={fields['init_lora_weights']!r}")
    if used:
        raise LoRAError(f"this adapter uses {', '.join(used)}, which lorakit cannot represent")


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _slices_under(name: str, slices: dict[str, list[str]]) -> list[str]:
    return next((pieces for path, pieces in slices.items() if matches_name(path, name)), [""])
