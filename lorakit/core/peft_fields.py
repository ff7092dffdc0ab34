"""What PEFT's settings say: whether lorakit can represent them, and which projections they name."""

from torch import nn

from lorakit.core.errors import LoRAError, shown
from lorakit.core.patterns import Patience
from lorakit.core.targets import base_modules, find_targets, is_projection, listed

# Fields that change what an adapter computes and that lorakit does not teach: refused unless they are off.
UNSUPPORTED = (
    *("use_dora", "use_qalora", "use_bdlora", "lora_bias", "alora_invocation_tokens", "arrow_config"),
    *("layer_replication", "megatron_config", "target_parameters", "trainable_token_indices"),
    *("kasa_config", "monteclora_config", "velora_config"),
)
INITS = (True, False, None, "gaussian", "orthogonal", "eva")  # the others (pissa, olora, corda, …) change W0
# What PEFT writes in the fields that are read here; a value of another kind is refused, not guessed at.
NAMES = (str, list, type(None))
KINDS = {
    **{"target_modules": NAMES, "exclude_modules": NAMES, "layers_pattern": NAMES, "modules_to_save": NAMES},
    **{"rank_pattern": (dict, type(None)), "alpha_pattern": (dict, type(None)), "use_rslora": (bool, type(None))},
    "layers_to_transform": (int, list, type(None)),
}


def check_fields(fields: dict) -> None:
    """Raise LoRAError for values of kinds that PEFT never writes, and for what lorakit cannot represent."""
    for name, kinds in KINDS.items():
        value = fields.get(name)
        items = str if kinds is NAMES else int
        good = isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)
        if not good or (isinstance(value, list) and not all(type(item) is items for item in value)):
            raise LoRAError(f"the adapter's config says {name} = {shown(value)}, which PEFT never writes")
    if fields.get("peft_type") != "LORA":
        raise LoRAError(f"this is a {shown(fields.get('peft_type'))} adapter: lorakit reads LoRA adapters only")
    used = [f"{name}={shown(fields[name])}" for name in UNSUPPORTED if fields.get(name)]
    if fields.get("bias", "none") != "none":
        used.append(f"bias={shown(fields['bias'])}")
    if fields.get("init_lora_weights", True) not in INITS:
        used.append(f"init_lora_weights={shown(fields['init_lora_weights'])}")
    if used:
        raise LoRAError(f"this adapter uses {', '.join(used)}, which lorakit cannot represent")


def expected_paths(model: nn.Module, fields: dict, patience: Patience) -> list[str] | None:
    """The projections that target_modules names here, by PEFT's own rules; None where it names nothing."""
    wanted, skipped = fields.get("target_modules"), fields.get("exclude_modules")
    layers, pattern = fields.get("layers_to_transform"), fields.get("layers_pattern")
    if wanted is None:
        return None
    if wanted == "all-linear":
        paths = [target.path for target in find_targets(model, ("all-linear",))]
    else:
        paths = _named([path for path, module in base_modules(model) if is_projection(module)], wanted, patience)
    skip = set(_named(paths, skipped or [], patience))
    paths = [path for path in paths if path not in skip]
    if layers is not None:
        layers = {layers} if isinstance(layers, int) else set(layers)
        patterns = [pattern] if isinstance(pattern, str) else pattern or [r"[^.]*"]
        index = [_layer_of(path, patterns, patience) for path in paths]
        paths = [path for path, layer in zip(paths, index, strict=True) if layer in layers]
    return paths


def _named(paths: list[str], wanted: str | list[str], patience: Patience) -> list[str]:
    if isinstance(wanted, str):
        return [path for path in paths if patience.fits(wanted, path)]
    return listed(paths, wanted)


def _layer_of(path: str, patterns: list[str], patience: Patience) -> int | None:
    for pattern in patterns:
        if match := patience.find(rf"(?:.*\.)?{pattern}\.(\d+)\.", path, pattern):
            return int(match[1])
    return None
