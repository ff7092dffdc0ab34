"""Save and load adapters: PEFT's files, written atomically, read with every key accounted for."""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from lorakit.core.atomic import alone_in, replace_files
from lorakit.core.config import LoRAConfig, check_name
from lorakit.core.contents import Contents, check_finite, check_values
from lorakit.core.errors import LoRAError
from lorakit.core.fingerprint import check_base, sample_of
from lorakit.core.inject import attach, build
from lorakit.core.loralib_read import read_loralib
from lorakit.core.note import agreed_config, check_intact, read_note, write_note
from lorakit.core.peft_read import from_peft
from lorakit.core.peft_write import to_peft
from lorakit.core.state import known, state_of
from lorakit.core.targets import SLICES
from lorakit.core.threads import verb
from lorakit.core.untrusted import read_bytes, read_tensors, size_of
from lorakit.core.wrappers import unwrap

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@verb("save an adapter")
def save_adapter(model: nn.Module, folder: str | os.PathLike, name: str | None = None) -> Path:
    """Write one adapter (default: the active one) as PEFT's adapter_config.json and adapter_model.safetensors.

    Atomic: killed at any instant, the folder holds the old adapter or the new one, whole. Each file is replaced in
    one step, weights first; they carry a copy of the config, which load_adapter uses if the config came too late.
    Returns the folder. Raises LoRAError for an unknown adapter, values that are not finite, and a folder that
    cannot be written; what lies there is then the old adapter (the new one if only the very last step failed).
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
    slices = {path: pieces for path, layer in layers.items() if (pieces := _slice_names(layer, name))}
    base = {path: sample_of(layer) for path, layer in layers.items()}
    folder = Path(folder)
    try:
        with alone_in(folder) as alone:
            note = {"config": fields, "slices": slices, "base": base}
            metadata = {"format": "pt", **write_note(note, tensors, replaces=_old_config(folder / CONFIG))}
            settings = json.dumps(fields, indent=2, sort_keys=True).encode()
            replace_files(folder, {WEIGHTS: to_bytes(tensors, metadata=metadata), CONFIG: settings}, alone)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
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
    for _ in range(10):
        # The config first: a save that is under way replaces it last, and its weights know what config they replace.
        settings = read_bytes(folder / CONFIG)
        if not _holds_weights(folder):
            pickled = os.path.lexists(folder / "adapter_model.bin")
            hint = " (adapter_model.bin is a pickle: convert it with PEFT first)" * pickled
            raise LoRAError(f"no adapter in {folder}: there is no {WEIGHTS}{hint}")
        tensors, metadata = read_tensors(folder / WEIGHTS, model)
        if read_bytes(folder / CONFIG) == settings:  # otherwise others have saved in between, perhaps twice
            break
    note = read_note(folder / WEIGHTS, metadata)
    fields = agreed_config(folder / CONFIG, settings, note)
    try:
        contents = from_peft(model, fields, tensors, note.get("slices", {}))
        check_base({target.path: target.module for target in contents.targets}, note.get("base", {}))
    # fields of kinds that nobody writes
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise LoRAError(f"the settings in {folder / CONFIG} make no sense: {error}") from error
    check_values(model, contents)
    check_intact(folder / WEIGHTS, metadata, tensors)
    return contents


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
