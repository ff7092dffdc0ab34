"""Save and load adapters: PEFT's files, written atomically, read with every key accounted for."""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from lorakit.core.atomic import alone_in, replace_files
from lorakit.core.checksum import checksum
from lorakit.core.config import LoRAConfig, check_name
from lorakit.core.contents import Contents, check_finite, check_values
from lorakit.core.errors import LoRAError, shown
from lorakit.core.fingerprint import check_base, sample_of
from lorakit.core.inject import attach, build
from lorakit.core.loralib_read import read_loralib
from lorakit.core.peft_read import from_peft
from lorakit.core.peft_write import to_peft
from lorakit.core.state import known, state_of
from lorakit.core.targets import SLICES
from lorakit.core.threads import verb
from lorakit.core.untrusted import read_bytes, read_object, read_tensors, size_of
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
    note = {
        "version": 2,  # from 2 on, there is a checksum
        "config": fields,
        "slices": {path: pieces for path, layer in layers.items() if (pieces := _slice_names(layer, name))},
        "base": {path: sample_of(layer) for path, layer in layers.items()},
    }
    folder = Path(folder)
    try:
        with alone_in(folder):
            note["replaces"] = _sha256(_old_config(folder / CONFIG))
            text = json.dumps(note)
            metadata = {"format": "pt", "lorakit": text, "lorakit_sha256": checksum(tensors, text)}
            settings = json.dumps(fields, indent=2, sort_keys=True).encode()
            replace_files(folder, {WEIGHTS: to_bytes(tensors, metadata=metadata), CONFIG: settings})
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
    tensors, files damaged or edited after lorakit saved them, an adapter trained on another base, or one lorakit
    cannot represent. Nothing is ever unpickled: safetensors, or torch.load(weights_only=True) for loralib's files.
    """
    check_name(name)
    model, path = unwrap(model), Path(folder)
    if _is_file(path):
        contents = read_loralib(model, path, config)
    elif config is not None:
        raise LoRAError("config is for loralib's files only: PEFT's folders bring their own")
    else:
        contents = _read_folder(model, path / name if _holds_weights(path / name) else path)
    adapters = build(model, contents.config, name, contents.targets)
    for where, (A, B) in contents.weights.items():
        adapter = adapters[where]
        adapter.lora_A.data.copy_(A)
        adapter.lora_B.data.copy_(_compact(where, adapter, B))
    attach(model, contents.config, name, adapters, trainable, contents.saved)
    return model


def _read_folder(model: nn.Module, folder: Path) -> Contents:
    # The config first: a save that is under way replaces it last, and its weights know what config they replace.
    settings = read_bytes(folder / CONFIG)
    if not _holds_weights(folder):
        pickled = os.path.lexists(folder / "adapter_model.bin")
        hint = " (adapter_model.bin is a pickle: convert it with PEFT first)" * pickled
        raise LoRAError(f"no adapter in {folder}: there is no {WEIGHTS}{hint}")
    tensors, metadata = read_tensors(folder / WEIGHTS, model)
    note = _read_note(folder / WEIGHTS, metadata)
    fields = _agreed_config(folder / CONFIG, settings, note)
    try:
        contents = from_peft(model, fields, tensors, note.get("slices", {}))
        check_base({target.path: target.module for target in contents.targets}, note.get("base", {}))
    # fields of kinds that nobody writes
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise LoRAError(f"the settings in {folder / CONFIG} make no sense: {error}") from error
    check_values(model, contents)
    if note.get("version") and metadata["lorakit_sha256"] != checksum(tensors, metadata["lorakit"]):
        raise LoRAError(
            f"{folder / WEIGHTS} is damaged, or was edited after lorakit saved it: its checksum does not fit. Restore "
            "it or save again"
        )
    return contents


def _read_note(path: Path, metadata: dict[str, str]) -> dict:
    """What lorakit wrote beside the tensors, or {} where another program wrote the file."""
    if "lorakit" not in metadata and "lorakit_sha256" not in metadata:
        return {}
    try:
        note = read_object(metadata.get("lorakit", ""))
        if not isinstance(note.get("config"), dict):
            raise ValueError("it holds no config")
        if "version" in note or "lorakit_sha256" in metadata:  # notes of version 1 had neither
            if note.get("version") != 2:
                raise ValueError(f"its version is {shown(note.get('version'))}, and this lorakit reads 2")
            if "lorakit_sha256" not in metadata:
                raise ValueError("its checksum is missing")
        return note
    except ValueError as error:
        raise LoRAError(f"{path} is damaged: the note that lorakit left in it cannot be read: {error}") from error


def _agreed_config(path: Path, settings: bytes | None, note: dict) -> dict:
    """The config by the file and by the note, which must say the same; the note's, where a save was cut short."""
    written = note.get("config")
    if written is not None and (settings is None or _sha256(settings) == note.get("replaces", "")):
        return written  # the weights are new, and the config is the old one or not there yet
    try:
        if settings is None:
            raise ValueError("there is no such file")
        fields = read_object(settings)
    except ValueError as error:
        raise LoRAError(f"{path} cannot be read: {error}") from error
    if written is None:
        return fields
    if "version" not in note and _sha256(json.dumps(fields, sort_keys=True).encode()) == note.get("before"):
        return written
    # Fields that other tools add are theirs; from_peft refuses those that would matter.
    changed = [key for key in written if key not in FREE and fields.get(key) != written[key]]
    if changed:
        says = "; ".join(f"{k}: saved {shown(written[k])}, now {shown(fields.get(k))}" for k in sorted(changed)[:4])
        raise LoRAError(f"{path} was changed after the adapter was saved ({says}): restore it or save again")
    return fields


def _compact(path: str, adapter, B: Tensor) -> Tensor:
    """B as an Adapter holds it, from the full block-diagonal one of a file; what lies off the blocks must be zero."""
    if B.shape == adapter.lora_B.shape:
        return B
    blocks = torch.cat([B[outputs, inner] for outputs, inner, _ in adapter.pieces])
    if torch.count_nonzero(B) != torch.count_nonzero(blocks):
        raise LoRAError(f"{path}.lora_B is marked as an adapter of slices, but is not block-diagonal")
    return blocks


def _slice_names(layer, name: str) -> list[str]:
    adapter = layer.adapters[name]
    return [] if adapter.whole else [SLICES[start // adapter.in_features] for start, _ in adapter.bounds]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise LoRAError(f"{path} cannot be read: {error.strerror}") from error


def _holds_weights(folder: Path) -> bool:
    return size_of(folder / WEIGHTS) is not None


def _old_config(path: Path) -> bytes | None:
    try:
        return read_bytes(path)
    except LoRAError:  # nothing that could be loaded either
        return None


def _sha256(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
