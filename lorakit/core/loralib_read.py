"""Read what loralib saves: lora_state_dict's keys, without alpha or targets."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from lorakit.core.config import LoRAConfig
from lorakit.core.contents import Contents, check_finite, few
from lorakit.core.errors import LoRAError
from lorakit.core.targets import find_targets, matches_name, projection_shape


def read_loralib(model: nn.Module, path: Path, config: LoRAConfig | None) -> Contents:
    """loralib's keys: X.lora_A (n*r, in) and X.lora_B (sum of widths, r), the same shapes as Adapter's."""
    if config is None:
        raise LoRAError(f"{path} is a loralib file, which says neither alpha nor targets: pass config=LoRAConfig(...)")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt", device="cpu") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        check_finite(tensors)
    except LoRAError:
        raise
    except Exception as error:  # torch.load raises many kinds for files that are not what they say
        raise LoRAError(f"{path} cannot be read as a loralib checkpoint: {error}") from error
    targets = find_targets(model, config.targets, exclude=config.modules_to_save)
    wanted = {f"{target.path}.lora_{ab}" for target in targets for ab in "AB"}
    owners = {path for path, _ in model.named_modules() for w in config.modules_to_save if matches_name(path, w)}
    saved = {o: {k[len(o) + 1 :]: v for k, v in tensors.items() if k.startswith(o + ".")} for o in owners}
    missing = sorted(wanted - tensors.keys())
    unexpected = [k for k in tensors if k not in wanted and not any(k.startswith(o + ".") for o in owners)]
    if missing or unexpected:
        raise LoRAError(
            f"{path} does not fit this model and config; missing: {few(missing)}; unexpected: {few(unexpected)}"
        )
    for target in targets:
        n, R = max(len(target.slices), 1), config.rank_of(target.path)
        widths = sum(stop - start for start, stop in target.bounds)
        for ab, shape in (("A", (n * R, projection_shape(target.module)[0])), ("B", (widths, R))):
            got = tuple(tensors[f"{target.path}.lora_{ab}"].shape)
            if got != shape:
                raise LoRAError(f"{target.path}.lora_{ab} has shape {got}, this model and r = {R} need {shape}")
    weights = {t.path: (tensors[f"{t.path}.lora_A"], tensors[f"{t.path}.lora_B"]) for t in targets}
    return Contents(config, targets, weights, saved)
