"""An adapter as PEFT's two files: the fields of adapter_config.json and the keys of adapter_model.safetensors."""

import re
from collections import Counter

from torch import Tensor, nn

from lorakit.core.state import ModelState
from lorakit.core.targets import base_modules, is_conv1d, matches_name

PREFIX = "base_model.model."


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
    alpha, alpha_pattern = most_common({path: tidy(alpha) for path, alpha in alphas.items()})
    names = shortest_names(model, list(adapters))
    if not all(any(matches_name(path, name) for name in names) for path in adapters):
        names = "|".join(map(re.escape, adapters))  # no list of suffixes says it: PEFT takes a regular expression too
    name_or_path = getattr(getattr(model, "config", None), "_name_or_path", None) or None
    kind = type(model).__name__
    causal = any(word in kind for word in ("ForCausalLM", "LMHeadModel"))
    # Only with a head in the file: PEFT would look for one there.
    classifier = kind.endswith("ForSequenceClassification") and config.modules_to_save
    fields = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if causal else "SEQ_CLS" if classifier else None,
        "auto_mapping": None,
        "base_model_name_or_path": name_or_path,
        "revision": None,
        "inference_mode": True,
        "r": r,
        "lora_alpha": alpha,
        "rank_pattern": rank_pattern,
        "alpha_pattern": alpha_pattern,
        "lora_dropout": config.dropout,
        "target_modules": names,
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


def most_common(values: dict[str, object]) -> tuple[object, dict[str, object]]:
    """The value most paths have, and the exceptions by path: PEFT's r and rank_pattern."""
    common = Counter(values.values()).most_common(1)[0][0]
    # ^ is needed where one path is the end of another: PEFT matches a pattern at the end of a name.
    return common, {
        "^" * any(other.endswith(f".{path}") for other in values) + path: value
        for path, value in values.items()
        if value != common
    }


def shortest_names(model: nn.Module, paths: list[str]) -> list[str]:
    """The shortest module-name suffixes that name exactly these paths, as a person would list target_modules."""
    chosen, everything, fits = set(paths), [path for path, _ in base_modules(model)], {}
    for path in paths:
        parts = path.split(".")
        for size in range(1, len(parts) + 1):
            name = ".".join(parts[-size:])
            if name not in fits:
                fits[name] = all(other in chosen for other in everything if matches_name(other, name))
            if fits[name]:
                break
    return sorted(name for name, fit in fits.items() if fit)


def tidy(alpha: float) -> float:
    return int(alpha) if float(alpha).is_integer() else alpha
