"""An adapter as PEFT's two files: how their keys and fields map to ours (peft 0.21, `adapter_config.json`)."""

import re
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError
from lorakit.core.state import ModelState
from lorakit.core.targets import Target, find_targets, is_conv1d, is_projection, matches_name, projection_shape

PREFIX = "base_model.model."
# Fields that change what an adapter computes and that lorakit does not teach: refused unless they are off.
UNSUPPORTED = (
    *("use_dora", "use_qalora", "use_bdlora", "lora_bias", "alora_invocation_tokens", "arrow_config"),
    *("layer_replication", "megatron_config", "target_parameters", "trainable_token_indices"),
    *("kasa_config", "monteclora_config", "velora_config"),
)
INITS = (True, False, None, "gaussian", "orthogonal", "eva")  # the others (pissa, olora, corda, …) change W0


@dataclass
class Contents:
    """What an adapter's files say: its config, and for each path its slices, A (n*r, in) and B (out, n*r)."""

    config: LoRAConfig
    targets: list[Target]
    weights: dict[str, tuple[Tensor, Tensor]]
    saved: dict[str, dict[str, Tensor]]


def to_peft(model: nn.Module, state: ModelState, name: str) -> tuple[dict, dict[str, Tensor]]:
    """The fields of adapter_config.json and the tensors of adapter_model.safetensors (on the CPU)."""
    config = state.configs[name]
    adapters = {path: layer.adapters[name] for path, layer in state.layers.items() if name in layer.adapters}
    tensors, ranks, alphas = {}, {}, {}
    for path, adapter in adapters.items():
        n = len(adapter.bounds)  # n slices of rank r are one projection of rank n*r with a block-diagonal B
        ranks[path] = n * adapter.r
        alphas[path] = adapter.alpha * (n**0.5 if config.use_rslora else n)
        tensors[f"{PREFIX}{path}.lora_A.weight"] = adapter.lora_A
        tensors[f"{PREFIX}{path}.lora_B.weight"] = adapter.full_B()
    for path, module in state.saved[name].items():
        tensors.update({f"{PREFIX}{path}.{key}": value for key, value in module.state_dict().items()})
    r, rank_pattern = most_common(ranks)
    alpha, alpha_pattern = most_common({path: _tidy(alpha) for path, alpha in alphas.items()})
    name_or_path = getattr(getattr(model, "config", None), "_name_or_path", None) or None
    causal = any(word in type(model).__name__ for word in ("ForCausalLM", "LMHeadModel"))
    fields = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if causal else None,
        "auto_mapping": None,
        "base_model_name_or_path": name_or_path,
        "revision": None,
        "inference_mode": True,
        "r": r,
        "lora_alpha": alpha,
        "rank_pattern": rank_pattern,
        "alpha_pattern": alpha_pattern,
        "lora_dropout": config.dropout,
        "target_modules": shortest_names(model, list(adapters)),
        "modules_to_save": list(config.modules_to_save) or None,
        "fan_in_fan_out": any(is_conv1d(state.layers[path]) for path in adapters),
        "bias": "none",
        "use_rslora": config.use_rslora,
        "use_dora": False,
        "init_lora_weights": True,
        "layers_to_transform": None,
        "layers_pattern": None,
    }
    return fields, {key: value.detach().to("cpu").contiguous().clone() for key, value in tensors.items()}


def from_peft(model: nn.Module, fields: dict, tensors: dict[str, Tensor], slices: dict[str, list[str]]) -> Contents:
    """Read PEFT's fields and tensors for this model, every key accounted for.

    Raises LoRAError that names what lorakit cannot represent, and every missing, unexpected or misshapen key.
    """
    _refuse_unsupported(fields)
    use_rslora, modules_to_save = bool(fields.get("use_rslora")), tuple(fields.get("modules_to_save") or ())
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
    modules = dict(model.named_modules())
    found, saved, unexpected = _sort_keys(tensors, modules, modules_to_save)
    missing = [f"{path}.lora_{ab}" for path in found for ab in "AB" if ab not in found[path]]
    missing += [f"{path}.lora_A" for path in _expected_paths(model, modules, fields) if path not in found]
    for wanted in modules_to_save:
        if not any(matches_name(path, wanted) for path in saved):
            missing.append(wanted)
    if missing or unexpected or not found:
        raise LoRAError(
            "the adapter's file does not fit this model; "
            f"missing: {_few(missing)}; unexpected: {_few(unexpected)}. Was it trained on another base?"
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
        n = max(len(target.slices), 1)
        targets.append(target)
        weights[path] = (A, B)
        ranks[path], alphas[path] = R // n, _tidy(read.alpha_of(path) / (n**0.5 if use_rslora else n))
    r, rank_pattern = most_common(ranks)
    alpha, alpha_pattern = most_common(alphas)
    names = [(n, s) for n in shortest_names(model, list(found)) for s in _slices_under(n, slices)]
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


def most_common(values: dict[str, object]) -> tuple[object, dict[str, object]]:
    """The value most paths have, and the exceptions by path: PEFT's r and rank_pattern."""
    common = Counter(values.values()).most_common(1)[0][0]
    return common, {path: value for path, value in values.items() if value != common}


def shortest_names(model: nn.Module, paths: list[str]) -> list[str]:
    """The shortest module-name suffixes that name exactly these paths, as a person would list target_modules."""
    chosen, everything, fits = set(paths), [path for path, _ in model.named_modules()], {}
    for path in paths:
        parts = path.split(".")
        for size in range(1, len(parts) + 1):
            name = ".".join(parts[-size:])
            if name not in fits:
                fits[name] = all(other in chosen for other in everything if matches_name(other, name))
            if fits[name]:
                break
    return sorted(name for name, fit in fits.items() if fit)


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
        index = [next((m for p in patterns if (m := re.match(rf"(?:.*\.)?{p}\.(\d+)\.", path))), None) for path in paths]
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


def _tidy(alpha: float) -> float:
    return int(alpha) if float(alpha).is_integer() else alpha


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "") if keys else "none"


def check_finite(tensors: dict[str, Tensor]) -> None:
    """Raise LoRAError naming the tensors that are not floating point or hold NaN or infinity."""
    bad = [key for key, value in tensors.items() if not value.is_floating_point() or not torch.isfinite(value).all()]
    if bad:
        raise LoRAError(f"the adapter's file holds values that are not finite numbers in: {_few(bad)}")
