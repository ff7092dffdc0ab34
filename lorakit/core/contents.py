"""What the files of one adapter say, whoever wrote them, and whether a model can take it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError
from lorakit.core.inject import saved_modules
from lorakit.core.targets import Target

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@dataclass
class Contents:
    """What an adapter's files say: its config, and for each path its slices, A (n*r, in) and B (out, n*r)."""

    config: LoRAConfig
    targets: list[Target]
    weights: dict[str, tuple[Tensor, Tensor]]
    saved: dict[str, dict[str, Tensor]]


def check_values(model: nn.Module, contents: Contents) -> None:
    """Raise LoRAError for saved modules that are not this model's, and for values that are not finite numbers."""
    _check_saved(saved_modules(model, contents.config, list(contents.weights)), contents.saved)
    check_finite(
        {
            f"{path}.lora_{ab}": value
            for path, pair in contents.weights.items()
            for ab, value in zip("AB", pair, strict=True)
        }
    )
    check_finite({f"{path}.{key}": value for path, tensors in contents.saved.items() for key, value in tensors.items()})


def _check_saved(modules: dict[str, nn.Module], saved: dict[str, dict[str, Tensor]]) -> None:
    """Raise LoRAError unless these modules' tensors can take the places of the model's own: name, shape and kind."""
    for path, tensors in saved.items():
        own = modules[path].state_dict()
        need = {key: tuple(value.shape) for key, value in own.items()}
        got = {key: tuple(value.shape) for key, value in tensors.items()}
        if need != got:
            wrong = {key for key in need.keys() | got.keys() if need.get(key) != got.get(key)}
            lines = few(
                [f"{key} {need.get(key, 'no such tensor')}, not {got.get(key, 'missing')}" for key in sorted(wrong)]
            )
            raise LoRAError(f"the saved module {path} does not fit this model: it needs {lines}")
        for key, value in tensors.items():
            if not (value.dtype == own[key].dtype or (value.dtype in FLOATS and own[key].is_floating_point())):
                raise LoRAError(f"{path}.{key} is {value.dtype} in the file, where this model has {own[key].dtype}")
            if value.dtype != own[key].dtype and not torch.isfinite(value.to(own[key].dtype)).all():
                raise LoRAError(f"{path}.{key} holds values that are not finite numbers in {own[key].dtype}")


def check_matrix(key: str, value: Tensor, shape: tuple[int, int], r: int) -> None:
    """Raise LoRAError unless this A or B has the shape that the model and r need, and numbers of a usual kind."""
    if tuple(value.shape) != shape:
        raise LoRAError(f"{key} has shape {tuple(value.shape)}, this model and r = {r} need {shape}")
    if value.dtype not in FLOATS:
        bad = few([f"{key} ({value.dtype})"])
        raise LoRAError(f"A and B must be floating point, of 16, 32 or 64 bits; the adapter's file has: {bad}")


def check_finite(tensors: dict[str, Tensor]) -> None:
    """Raise LoRAError naming the tensors that hold NaN, infinity, or more than float32 can."""
    bad = [
        key for key, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value.float()).all()
    ]
    if bad:
        raise LoRAError(f"the adapter's file holds values that are not finite numbers in: {few(bad)}")


def few(names: list[str]) -> str:
    """Some of the names, each cut short: an error message is to be read."""
    cut = [name if len(name) <= 120 else f"{name[:100]} … ({len(name)} characters)" for name in names[:4]]
    return ", ".join(cut) + (f" and {len(names) - 4} more" if len(names) > 4 else "") if names else "none"
