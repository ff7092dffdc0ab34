"""Save and load adapters: PEFT's files, written atomically, read with every key accounted for."""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from lorakit.core.config import LoRAConfig, check_name
from lorakit.core.errors import LoRAError
from lorakit.core.model import attach, build
from lorakit.core.state import state_of, unwrap
from lorakit.core.targets import find_targets
from lorakit.files.folder import locked, replace_files
from lorakit.files.formats import (
    PREFIX,
    from_fields,
    loralib_tensors,
    peft_tensors,
    plain_keys,
    read_tensors,
    to_fields,
)
from lorakit.files.note import agreed_fields, check_base, check_intact, read_note, sample_of, write_note

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def save_adapter(model: nn.Module, folder: str | os.PathLike, name: str | None = None) -> Path:
    """Write one adapter (default: the model's active one) as PEFT's adapter_config.json and adapter_model.safetensors.

    Atomic: killed at any instant, the folder holds the old adapter or the new one, whole. Each file is replaced in
    one step, weights first; they carry a copy of the config, which load_adapter uses if a crash left the old one there.
    Returns the folder. Raises LoRAError for an unknown adapter, values that are not finite, and a folder that
    cannot be written; what lies there is then the old adapter (the new one if only the very last step failed).
    Inside `using` say which adapter is meant.
    """
    state, folder = state_of(model, name), Path(folder)
    if name is None and (state.inside or state.active is None):
        why = "inside lk.using" if state.inside else "no adapter is active"
        raise LoRAError(f"{why}: say which adapter to save, e.g. save_adapter(model, folder, name='sql')")
    model, name = unwrap(model), state.active if name is None else name
    adapters = state.parts_of(name, state.layers)
    if any(adapter.lora_A.is_meta for adapter in adapters.values()):
        raise LoRAError("this adapter is on the meta device, where tensors have no values: there is nothing to save")
    tensors = peft_tensors(adapters, state.parts_of(name, state.saved))
    tensors = {PREFIX + key: value.to("cpu").contiguous().clone() for key, value in tensors.items()}
    _check_finite(tensors)
    fields = to_fields(model, state.configs[name], adapters)
    slices = {path: list(adapter.slices) for path, adapter in adapters.items() if adapter.slices}
    base = {path: sample_of(state.layers[path]) for path in adapters}
    settings = json.dumps(fields, indent=2, sort_keys=True).encode()
    try:
        with locked(folder):  # one saver at a time
            metadata = write_note(fields, slices, base, tensors, replaces=_read_config(folder / CONFIG))
            replace_files(folder, {WEIGHTS: to_bytes(tensors, metadata=metadata), CONFIG: settings})
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise LoRAError(f"cannot write the adapter to {folder}: {error}") from error
    return folder


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
    that one), or a loralib checkpoint file, which has neither alpha nor targets and so needs `config`.
    Returns the model. Raises LoRAError, with the model unchanged, for missing, unexpected, misshapen or non-finite
    tensors, files damaged or edited after lorakit saved them, an adapter trained on another base, or one lorakit
    cannot represent. Nothing is ever unpickled: safetensors, or torch.load(weights_only=True) for loralib's files.
    """
    check_name(name)
    path, inner = Path(folder), unwrap(model)
    if path.name in (CONFIG, WEIGHTS, PICKLE):  # a file of PEFT's folder was named
        path = path.parent
    try:
        read = _from_file if path.is_file() else _from_folder
        config, adapters, copies = read(inner, path, name, config)
    except LoRAError:
        raise
    except Exception as error:  # readers of foreign files raise many kinds: whatever they say, the file is at fault
        raise LoRAError(f"this cannot be read as an adapter of the model: {path}: {error}") from error
    attach(inner, config, name, adapters, copies, trainable)
    return model


def _from_file(model: nn.Module, path: Path, name: str, config: LoRAConfig | None) -> tuple[LoRAConfig, dict, dict]:
    """The adapter in a loralib file, built for this model, with its values, and not attached yet."""
    if config is None:
        raise LoRAError(f"{path} is a loralib file, which says neither alpha nor targets: pass config=LoRAConfig(...)")
    adapters, copies = build(model, config, name, find_targets(model, config.targets, exclude=config.modules_to_save))
    _fill(loralib_tensors(adapters, copies), read_tensors(path))
    return config, adapters, copies


def _from_folder(model: nn.Module, folder: Path, name: str, config: None) -> tuple[LoRAConfig, dict, dict]:
    """The adapter in a folder of PEFT's files, likewise."""
    if config is not None:
        raise LoRAError("config is for loralib's files only: PEFT's folders bring their own")
    if (folder / name / WEIGHTS).is_file():
        folder = folder / name
    # The config first: a save that is under way replaces it last, and its weights know what config they replace.
    settings = _read_config(folder / CONFIG)
    tensors, metadata = _read_weights(folder)
    note = read_note(folder / WEIGHTS, metadata)
    fields = agreed_fields(folder / CONFIG, settings, note)
    config, targets = from_fields(model, fields, note.get("slices", {}))
    adapters, copies = build(model, config, name, targets)
    parts = peft_tensors(adapters, copies)
    own, there = plain_keys(parts), plain_keys(tensors)
    _fill(own, _without_the_base(model, there, own))
    check_base({target.path: target.module for target in targets}, note.get("base", {}))
    check_intact(folder / WEIGHTS, metadata, note, tensors)
    for path, adapter in adapters.items():
        if adapter.slices:
            B = parts[f"{path}.lora_B.weight"]  # block-diagonal
            adapter.lora_B.data.copy_(torch.cat([B[outputs, inner] for outputs, inner, _ in adapter.pieces]))
    return config, adapters, copies


def _fill(own: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    """Copy a file's tensors into the model's own of the same names; every one of both is accounted for.

    Raises LoRAError naming the missing, the unexpected, and those of another shape or kind, or that are not finite.
    """
    missing, unexpected = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or unexpected:
        raise LoRAError(
            f"the adapter's file does not fit this model; missing: {_few(missing)}; unexpected: {_few(unexpected)}. "
            "Has this base other layers than the one it was trained on?"
        )
    for key, mine in own.items():
        value, kinds = tensors[key], FLOATS if mine.is_floating_point() else (mine.dtype,)
        if value.shape != mine.shape:
            resized = "" if ".lora_" in key else f"; was the vocabulary resized? resize_token_embeddings({len(value)})"
            raise LoRAError(f"{key} has shape {tuple(value.shape)}, this model and r need {tuple(mine.shape)}{resized}")
        if value.dtype not in kinds:
            raise LoRAError(f"{key} is {value.dtype} in the file, where this model has {mine.dtype}")
        _check_finite({key: value.to(mine.dtype)})
        mine.copy_(value)


def _without_the_base(model: nn.Module, tensors: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors without those of the base that PEFT saves along: of adapted heads and of resized vocabularies.

    Raises LoRAError where they are not this base's.
    """
    base, rest = dict(model.named_parameters(remove_duplicate=False)), dict(tensors)
    for key in sorted(tensors.keys() - own.keys()):
        here, there = base.get(key.replace(".base_layer.", ".")), tensors[key]
        if here is None:
            continue
        if there.shape != here.shape or not torch.equal(here, there.to(here)):
            resized = f" (resize_token_embeddings({len(there)}) first?)" if len(there) != len(here) else ""
            raise LoRAError(
                f"the file also holds the base's own {key}, with other values than here: the base was changed before "
                f"the adapter was trained, or with it. Load that base{resized}"
            )
        del rest[key]
    return rest


def _check_finite(tensors: dict[str, Tensor]) -> None:
    bad = [key for key, value in tensors.items() if not torch.isfinite(value).all()]
    if bad:
        raise LoRAError(f"the adapter holds values that are not finite numbers in: {_few(bad)}")


def _few(names: list[str]) -> str:
    """Some of the names: an error message is to be read."""
    return ", ".join(names[:4]) + f" and {len(names) - 4} more" * (len(names) > 4) or "none"


def _read_weights(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a folder's safetensors file; those of PEFT's older pickle, read as data only."""
    if (folder / WEIGHTS).is_file():
        data = (folder / WEIGHTS).read_bytes()  # once: between two looks another process may replace the file
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return from_bytes(data), header.get("__metadata__") or {}
    if (folder / PICKLE).is_file():
        return read_tensors(folder / PICKLE), {}
    if not folder.is_dir():
        raise LoRAError(f"no adapter in {folder}: no such folder. From the Hub: hf download NAME --local-dir FOLDER")
    raise LoRAError(f"no adapter in {folder}: there is no {WEIGHTS}, only: {_few(sorted(os.listdir(folder)))}")


def _read_config(path: Path) -> bytes | None:
    """All of adapter_config.json, or None where there is none."""
    return path.read_bytes() if path.is_file() else None
