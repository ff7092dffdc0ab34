"""What PEFT's files say (peft 0.21), and loralib's.

PEFT: adapter_config.json, and tensors X.lora_A.weight (r, k), X.lora_B.weight (d, r) under "base_model.model.", in the
orientation of nn.Linear whatever the layer; n slices of rank r of a fused projection are one projection of rank n*r
there, with a block-diagonal B and alpha to match. loralib: X.lora_A (n*r, k), X.lora_B (n*width, r), and no config.
"""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError
from lorakit.core.layer import Adapter
from lorakit.core.targets import Target, base_modules, endings, find_targets, is_conv1d, is_projection

PREFIX = "base_model.model."
# Fields that may change what an adapter computes, beyond what lorakit teaches, and the values that do not.
OFF = (None, False, [], {})
HARMLESS = {
    **dict.fromkeys(("use_dora", "use_qalora", "use_bdlora", "lora_bias", "ensure_weight_tying"), OFF),
    **dict.fromkeys(("alora_invocation_tokens", "layer_replication", "target_parameters"), OFF),
    **dict.fromkeys(("trainable_token_indices", "megatron_config", "arrow_config", "kasa_config"), OFF),
    **dict.fromkeys(("monteclora_config", "velora_config"), OFF),
    "bias": ("none",),
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva"),  # others (pissa, olora, …) change W0
}


def to_fields(model: nn.Module, config: LoRAConfig, adapters: dict[str, Adapter]) -> dict:
    """The fields of adapter_config.json for these adapters of one name, by path."""
    n = {path: len(adapter.pieces) for path, adapter in adapters.items()}
    r, rank_pattern = _most_common({path: n[path] * adapter.r for path, adapter in adapters.items()})
    factors = {path: n[path] ** 0.5 if config.use_rslora else n[path] for path in adapters}
    alpha, alpha_pattern = _most_common({path: a.alpha * factors[path] for path, a in adapters.items()})
    names = _shortest_names(model, list(adapters))
    if set(_named(list(adapters), names)) != set(adapters):
        names = "|".join(map(re.escape, adapters))  # no list of suffixes says it: PEFT takes a regular expression too
    kind = type(model).__name__
    # Only with a head in the file: PEFT would look for one there.
    classifier = kind.endswith("ForSequenceClassification") and config.modules_to_save
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if re.search("ForCausalLM|LMHead", kind) else "SEQ_CLS" if classifier else None,
        "base_model_name_or_path": getattr(getattr(model, "config", None), "_name_or_path", None) or None,
        "inference_mode": True,
        "r": r,
        "lora_alpha": alpha,
        "rank_pattern": rank_pattern,
        "alpha_pattern": alpha_pattern,
        "lora_dropout": config.dropout,
        "target_modules": names,
        "modules_to_save": list(config.modules_to_save) or None,
        "fan_in_fan_out": any(is_conv1d(model.get_submodule(path)) for path in adapters),
        "bias": "none",
        "use_rslora": config.use_rslora,
        "use_dora": False,
        "init_lora_weights": True,
    }


def from_fields(model: nn.Module, fields: dict, slices: dict[str, list[str]]) -> tuple[LoRAConfig, list[Target]]:
    """The config and the targets that PEFT's fields mean for this model.

    slices: by lorakit's note, the paths where the adapter is one of slices. Raises LoRAError that names what lorakit
    cannot represent.
    """
    if fields.get("peft_type") != "LORA":
        raise LoRAError(f"this is a {fields.get('peft_type')!r} adapter: lorakit reads LoRA adapters only")
    if used := [f"{name}={fields[name]!r}" for name, fine in HARMLESS.items() if fields.get(name, fine[0]) not in fine]:
        raise LoRAError(f"this adapter uses {', '.join(used)}, which lorakit cannot represent")
    modules = dict(base_modules(model))
    said = {key: value for key, value in fields.items() if value is not None}  # null: PEFT's default
    whole = LoRAConfig(
        r=fields.get("r", 8),
        alpha=fields.get("lora_alpha", 8),
        dropout=said.get("lora_dropout", 0.0),
        use_rslora=said.get("use_rslora", False),
        modules_to_save=fields.get("modules_to_save"),
        rank_pattern=fields.get("rank_pattern"),
        alpha_pattern=fields.get("alpha_pattern"),
    )
    targets, ranks, alphas = [], {}, {}
    for path in _target_paths(model, modules, fields):
        pieces = tuple(slices.get(path, ()))
        n = len(pieces) or 1
        targets.append(Target(path, modules[path], pieces))
        # What to_fields did to n slices, undone (and its rounding).
        ranks[path] = whole.rank_of(path) // n
        alphas[path] = float(f"{whole.alpha_of(path) / (n**0.5 if whole.use_rslora else n):.12g}")
    if not targets:
        raise LoRAError(f"target_modules = {fields.get('target_modules')!r} does not fit any projection here")
    r, rank_pattern = _most_common(ranks)
    alpha, alpha_pattern = _most_common(alphas)
    names = tuple(f"{target.path}.{piece}".rstrip(".") for target in targets for piece in target.slices or ("",))
    # PEFT lists "classifier" and "score" for every sequence classifier: names that this model lacks say nothing.
    saved = tuple(name for name in whole.modules_to_save if _named(list(modules), [name]))
    patterns = {"rank_pattern": rank_pattern, "alpha_pattern": alpha_pattern}
    return replace(whole, r=r, alpha=alpha, targets=names, modules_to_save=saved, **patterns), targets


def peft_tensors(adapters: dict[str, Adapter], copies: dict[str, nn.Module]) -> dict[str, Tensor]:
    """The tensors of the file, by key without the prefix; those of slices' B are copies, the others the real ones."""
    tensors = {}
    for path, adapter in adapters.items():
        tensors[f"{path}.lora_A.weight"] = adapter.lora_A.detach()
        tensors[f"{path}.lora_B.weight"] = adapter.full_B().detach()
    return tensors | {f"{path}.{key}": value for path, m in copies.items() for key, value in m.state_dict().items()}


# What wrappers (torch.compile, DistributedDataParallel, FSDP, PEFT) put in front of names, and into the middle of them.
WRAPPERS = re.compile(r"^((_orig_mod|module|base_model\.model)\.)+|(_orig_mod|_(fsdp|checkpoint)_wrapped_module)\.")
NAMED = re.compile(r"(\.lora_[AB])\.[^.]+\.weight$")  # X.lora_A.default.weight


def plain_keys(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without a wrapper's prefixes and without an adapter's name in their keys."""
    plain = {NAMED.sub(r"\1.weight", WRAPPERS.sub("", key)): value for key, value in tensors.items()}
    if len(plain) < len(tensors):
        raise LoRAError("the adapter's file holds the tensors of several adapters: save each on its own")
    return plain


def _most_common(values: dict[str, float]) -> tuple[float, dict[str, float]]:
    """The value most paths have, and the exceptions by path: PEFT's r and rank_pattern."""
    values = {path: int(value) if float(value).is_integer() else value for path, value in values.items()}
    common = Counter(values.values()).most_common(1)[0][0]
    # ^ is needed where one path is the end of another: PEFT matches a pattern at the end of a name.
    ends = {path: "^" * any(other.endswith(f".{path}") for other in values) + path for path in values}
    return common, {ends[path]: value for path, value in values.items() if value != common}


def _shortest_names(model: nn.Module, paths: list[str]) -> list[str]:
    """The shortest module-name suffixes that name exactly these paths, as a person would list target_modules."""
    named = Counter(name for path, _ in base_modules(model) for name in endings(path))
    wanted = Counter(name for path in paths for name in endings(path))
    fitting = [[name for name in reversed(endings(path)) if named[name] == wanted[name]] for path in paths]
    return sorted({names[0] for names in fitting if names})


def _target_paths(model: nn.Module, modules: dict[str, nn.Module], fields: dict) -> list[str]:
    """The projections that target_modules names here, by PEFT's own rules, in the model's order."""
    wanted, layers = fields.get("target_modules") or [], fields.get("layers_to_transform")
    if wanted == "all-linear":
        paths = [target.path for target in find_targets(model, ("all-linear",))]
    else:
        paths = _named([path for path, module in modules.items() if is_projection(module)], wanted)
    skipped = _named(paths, fields.get("exclude_modules") or [])
    paths = [path for path in paths if path not in skipped]
    if layers is not None:
        pattern = fields.get("layers_pattern")
        names = [pattern] if isinstance(pattern, str) else pattern or [r"[^.]*"]
        layers = {layers} if isinstance(layers, int) else set(layers)
        found = {path: [re.match(rf"(?:.*\.)?{name}\.(\d+)\.", path) for name in names] for path in paths}
        paths = [path for path in paths if any(match and int(match[1]) in layers for match in found[path])]
    return paths


def _named(paths: list[str], wanted: str | list[str]) -> list[str]:
    """PEFT's rule: a string is a regular expression for the whole path, a list holds names or suffixes of it."""
    if isinstance(wanted, str):
        return [path for path in paths if re.fullmatch(wanted, path)]
    names = set(wanted)
    return [path for path in paths if not names.isdisjoint(endings(path))]


def loralib_tensors(adapters: dict[str, Adapter], copies: dict[str, nn.Module]) -> dict[str, Tensor]:
    """The tensors of loralib's file, by key: the real ones, since an Adapter has loralib's shapes."""
    parts = {**adapters, **copies}
    return {f"{path}.{key}": value for path, part in parts.items() for key, value in part.state_dict().items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A dict of plain tensors, from safetensors or from what torch.save wrote; never unpickled."""
    if path.suffix == ".safetensors":
        return load_file(path)
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {key: value.detach() for key, value in tensors.items()}
