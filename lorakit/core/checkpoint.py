"""Save and load adapters: PEFT's files, written atomically, read with every key accounted for."""

import hashlib
import json
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from lorakit.core.atomic import replace_files
from lorakit.core.config import LoRAConfig
from lorakit.core.contents import Contents, check_finite
from lorakit.core.errors import LoRAError
from lorakit.core.fingerprint import check_base, sample_of
from lorakit.core.inject import attach, build
from lorakit.core.loralib_read import read_loralib
from lorakit.core.peft_read import from_peft
from lorakit.core.peft_write import to_peft
from lorakit.core.state import known, state_of
from lorakit.core.targets import SLICES
from lorakit.core.threads import verb
from lorakit.core.wrappers import unwrap

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Fields that a person may change after saving without changing what the adapter computes.
FREE = {"base_model_name_or_path", "revision", "inference_mode", "lora_dropout", "task_type", "auto_mapping"}


@verb("save an adapter")
def save_adapter(model: nn.Module, folder: str | os.PathLike, name: str | None = None) -> Path:
    """Write one adapter (default: the active one) as PEFT's adapter_config.json and adapter_model.safetensors.

    Atomic: killed at any instant, the folder holds the old adapter or the new one, whole. Each file is replaced in
    one step, weights first; they carry a copy of the config, which load_adapter uses if the config came too late.
    Returns the folder. Raises LoRAError for an unknown adapter, values that are not finite, and a folder that
    cannot be written; the old files are then untouched.
    """
    state = state_of(model)
    model, name = unwrap(model), state.active if name is None else name
    if name is None:
        raise LoRAError("no adapter is active: say which to save, e.g. save_adapter(model, folder, name='sql')")
    known(state, name)
    layers = {path: layer for path, layer in state.layers.items() if name in layer.adapters}
    if any(layer.adapters[name].lora_A.is_meta for layer in layers.values()):
        raise LoRAError("this adapter is on the meta device, where tensors have no values: there is nothing to save")
    fields, tensors = to_peft(model, state, name)
    check_finite(tensors)
    folder = Path(folder)
    note = {
        "config": fields,
        "before": _digest(_read_config(folder / CONFIG, strict=False)),
        "slices": {path: pieces for path, layer in layers.items() if (pieces := _slice_names(layer, name))},
        "base": {path: sample_of(layer) for path, layer in layers.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        weights = to_bytes(tensors, metadata={"format": "pt", "lorakit": json.dumps(note)})
        settings = json.dumps(fields, indent=2, sort_keys=True).encode()
        replace_files(folder, {WEIGHTS: weights, CONFIG: settings})
    except OSError as error:
        raise LoRAError(f"cannot write the adapter to {folder}: {error}") from error
    return folder


@verb("load an adapter")
def load_adapter(
    model: nn.Module,
    folder: str | os.PathLike,
    name: str = "default",
    *,
    trainable: bool = False,
    config: LoRAConfig | None = None,
) -> nn.Module:
    """Read an adapter that lorakit, PEFT or loralib saved, and make it the active one; frozen unless `trainable`.

    folder: a folder with PEFT's two files (if it has a subfolder `name` with them, as PEFT saves several adapters,
    that one), or a loralib checkpoint file;
    loralib does not save alpha or the targets, so such a file needs `config`.
    Returns the model. Raises LoRAError, with the model unchanged, for missing, unexpected, misshapen or non-finite
    tensors, a config edited after saving, an adapter trained on another base, or one lorakit cannot represent.
    Nothing is ever unpickled: safetensors, or torch.load(weights_only=True) for loralib's files.
    """
    model, path = unwrap(model), Path(folder)
    if path.is_file():
        contents = read_loralib(model, path, config)
    elif config is not None:
        raise LoRAError("config is for loralib's files only: PEFT's folders bring their own")
    else:
        contents = _read_folder(model, path / str(name) if (path / str(name) / WEIGHTS).exists() else path)
    adapters = build(model, contents.config, name, contents.targets)
    for where, (A, B) in contents.weights.items():
        adapter = adapters[where]
        adapter.lora_A.data.copy_(A)
        adapter.lora_B.data.copy_(_compact(where, adapter, B))
    _check_saved(model, contents.saved)
    attach(model, contents.config, name, adapters, trainable)
    for where, tensors in contents.saved.items():
        state_of(model).saved[name][where].load_state_dict(tensors)
    return model


def _read_folder(model: nn.Module, folder: Path) -> Contents:
    if not (folder / WEIGHTS).exists():
        pickled = (
            " (adapter_model.bin is a pickle: convert it with PEFT first)" * (folder / "adapter_model.bin").exists()
        )
        raise LoRAError(f"no adapter in {folder}: there is no {WEIGHTS}{pickled}")
    try:
        with safe_open(folder / WEIGHTS, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        note = json.loads(metadata.get("lorakit", "{}"))
        if not isinstance(note, dict):
            raise ValueError("its lorakit metadata is not a JSON object")
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise LoRAError(f"{folder / WEIGHTS} cannot be read as safetensors: {error}") from error
    check_finite(tensors)
    fields = _read_config(folder / CONFIG, strict="config" not in note)
    try:
        if "config" in note:
            fields = _agreed_config(fields, note, folder)
        contents = from_peft(model, fields, tensors, note.get("slices", {}))
        check_base({target.path: target.module for target in contents.targets}, note.get("base", {}))
    except (AttributeError, KeyError, TypeError, ValueError, re.error) as error:  # fields of kinds PEFT never writes
        raise LoRAError(f"the settings in {folder / CONFIG} make no sense: {error}") from error
    return contents


def _agreed_config(fields: dict | None, note: dict, folder: Path) -> dict:
    written = note["config"]
    if fields is None or _digest(fields) == note["before"]:
        return written  # the save was cut short between the two files: the weights' own copy is the new one
    # Fields that other tools add are theirs; from_peft refuses those that would matter.
    changed = [key for key in written if key not in FREE and fields.get(key) != written[key]]
    if changed:
        says = "; ".join(f"{key}: saved {written.get(key)!r}, now {fields.get(key)!r}" for key in sorted(changed))
        raise LoRAError(f"{folder / CONFIG} was changed after the adapter was saved ({says}): restore it or save again")
    return fields


def _compact(path: str, adapter, B: Tensor) -> Tensor:
    """B as an Adapter holds it, from the full block-diagonal one of a file; what lies off the blocks must be zero."""
    if B.shape == adapter.lora_B.shape:
        return B
    blocks = torch.cat([B[outputs, inner] for outputs, inner, _ in adapter.pieces])
    if torch.count_nonzero(B) != torch.count_nonzero(blocks):
        raise LoRAError(f"{path}.lora_B is marked as an adapter of slices, but is not block-diagonal")
    return blocks


def _check_saved(model: nn.Module, saved: dict[str, dict[str, Tensor]]) -> None:
    for path, tensors in saved.items():
        own = {key: tuple(value.shape) for key, value in model.get_submodule(path).state_dict().items()}
        got = {key: tuple(value.shape) for key, value in tensors.items()}
        if own != got:
            raise LoRAError(f"the saved module {path} does not fit this model: it needs {own}, the file has {got}")


def _slice_names(layer, name: str) -> list[str]:
    adapter = layer.adapters[name]
    return [] if adapter.whole else [SLICES[start // adapter.in_features] for start, _ in adapter.bounds]


def _read_config(path: Path, strict: bool) -> dict | None:
    try:
        fields = json.loads(path.read_bytes())
        if not isinstance(fields, dict):
            raise ValueError("it is not a JSON object")
        return fields
    except (OSError, ValueError, RecursionError) as error:
        if strict:
            raise LoRAError(f"{path} cannot be read: {error}") from error
        return None


def _digest(fields: dict | None) -> str | None:
    return None if fields is None else hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
