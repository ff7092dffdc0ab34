"""The note that lorakit leaves beside the tensors of its own files: what they mean, and whether they are intact.

It is metadata of the safetensors file, which other programs pass over. Its checksum tells damage and careless edits,
whatever bit they hit. It is no signature: who edits a file on purpose can compute it again.
"""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from lorakit.core.errors import LoRAError, shown
from lorakit.core.untrusted import read_object

# Fields that a person may change after saving without changing what the adapter computes.
FREE = {"base_model_name_or_path", "revision", "inference_mode", "lora_dropout", "task_type", "auto_mapping"}


def write_note(note: dict, tensors: dict[str, Tensor], replaces: bytes | None) -> dict[str, str]:
    """The note and its checksum as metadata; replaces: the config file that the one in the note is about to replace."""
    text = json.dumps({"version": 2, **note, "replaces": _sha256(replaces)})  # version 1 had no checksum
    return {"lorakit": text, "lorakit_sha256": _checksum(tensors, text)}


def read_note(path: Path, metadata: dict[str, str]) -> dict:
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


def agreed_config(path: Path, settings: bytes | None, note: dict) -> dict:
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


def check_intact(path: Path, metadata: dict[str, str], tensors: dict[str, Tensor]) -> None:
    """Raise LoRAError if the tensors or the note are not as they were saved; files without a checksum pass."""
    if "lorakit_sha256" in metadata and metadata["lorakit_sha256"] != _checksum(tensors, metadata["lorakit"]):
        raise LoRAError(
            f"{path} is damaged, or was edited after lorakit saved it: its checksum does not fit. Restore it, or save "
            "again"
        )


def _checksum(tensors: dict[str, Tensor], note: str) -> str:
    """Over the note, then each tensor's name, dtype, shape and bytes, in the order of the names."""
    total = hashlib.sha256(note.encode("utf-8", "surrogatepass"))
    for key in sorted(tensors):
        value = tensors[key]
        total.update(f"\0{key}\0{value.dtype}\0{tuple(value.shape)}\0".encode("utf-8", "surrogatepass"))
        total.update(memoryview(value.contiguous().reshape(-1).view(torch.uint8).numpy()))
    return total.hexdigest()


def _sha256(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
