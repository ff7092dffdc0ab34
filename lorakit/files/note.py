"""The note that lorakit leaves beside the tensors of its own files: their config, the base, and whether all is intact.

It is metadata of the safetensors file, which other programs pass over. With it that file alone is the whole adapter, so
one rename replaces it. Its checksum tells damage and careless edits, whatever bit they hit. It is no signature: who
edits a file on purpose can compute it again.
"""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from lorakit.core.errors import LoRAError

# Fields that a person may change after saving without changing what the adapter computes.
FREE = {"base_model_name_or_path", "revision", "inference_mode", "lora_dropout", "task_type", "auto_mapping"}


def write_note(fields: dict, slices: dict, base: dict, tensors: dict[str, Tensor], replaces: bytes | None) -> dict:
    """The metadata: the config's fields, the slices, samples of the base, and a checksum over these and the tensors.

    replaces: the config file that is about to be replaced, by which a save that was cut short is known.
    """
    known = replaces and hashlib.sha256(replaces).hexdigest()
    text = json.dumps({"version": 2, "config": fields, "slices": slices, "base": base, "replaces": known})
    return {"format": "pt", "lorakit": text, "lorakit_sha256": checksum_of(tensors, text)}


def read_note(path: Path, metadata: dict[str, str]) -> dict:
    """What lorakit wrote beside the tensors, or {} where another program wrote the file."""
    return read_object(path, metadata.get("lorakit", "")) if metadata.keys() & {"lorakit", "lorakit_sha256"} else {}


def check_intact(path: Path, metadata: dict[str, str], note: dict, tensors: dict[str, Tensor]) -> None:
    """Raise LoRAError if the tensors or the note are not as they were saved; files without a checksum pass.

    (So do lorakit's own without a version, from before there was one.)
    """
    checksum = metadata.get("lorakit_sha256")
    if ("version" in note or checksum) and checksum != checksum_of(tensors, metadata["lorakit"]):
        raise LoRAError(f"{path} is damaged, or was edited after lorakit saved it: its checksum does not fit")


def agreed_fields(path: Path, settings: bytes | None, note: dict) -> dict:
    """The config's fields by the file and by the note, which must agree; the note's, where a save was cut short."""
    saved = note.get("config", {})
    if saved and (settings is None or hashlib.sha256(settings).hexdigest() == note.get("replaces")):
        return saved  # the weights are new, and the config is the old one or not there yet
    fields = read_object(path, settings or b"")
    # Fields that other tools add are theirs; from_fields refuses those that would matter.
    changed = sorted(key for key in saved if key not in FREE and fields.get(key) != saved[key])
    if changed:
        says = "; ".join(f"{k}: saved {saved[k]!r}, now {fields.get(k)!r}" for k in changed[:4])
        raise LoRAError(f"{path} was changed after the adapter was saved ({says}): restore it or save again")
    return fields


def read_object(path: Path, text: bytes | str) -> dict:
    """A JSON object out of this file."""
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError("it is not a JSON object")
    except (ValueError, RecursionError) as error:
        raise LoRAError(f"{path} cannot be read: {error}") from error
    return fields


def sample_of(module: nn.Module) -> list[float]:
    """Eight entries of a projection's W0, evenly spread, to know a base again by in whatever precision it is loaded.

    Empty where there are none to read (meta, quantized).
    """
    if (known := vars(module).get("base_sample")) is not None:  # taken before the weight was cut up over processes
        return known
    weight = getattr(module, "base_weight", module.weight).detach()  # merged: W0 is set aside
    if weight.is_meta or not weight.is_floating_point() or type(weight) is not Tensor:
        return []
    weight = weight.reshape(-1)
    picks = torch.linspace(0, weight.numel() - 1, 8, dtype=torch.float64).long().to(weight.device)
    return [float(f"{value:.6g}") for value in weight[picks].float().tolist()]


def check_base(modules: dict[str, nn.Module], samples: dict[str, list[float]]) -> None:
    """Raise LoRAError if a module's weights are not the ones that were sampled when the adapter was saved."""
    for path in modules.keys() & samples.keys():
        now, then = (torch.tensor(v, dtype=torch.float64) for v in (sample_of(modules[path]), samples[path]))
        # bfloat16 keeps 8 bits: rounding may move a weight by 2^-8 of itself, another training run moves it more
        if len(now) == len(then) and not torch.allclose(now, then, rtol=2**-7, atol=1e-6):
            raise LoRAError(
                f"this adapter was trained on another base: at {path} the weights differ "
                f"({now[0]:.4g} here, {then[0]:.4g} there). Load the base it was trained on"
            )


def checksum_of(tensors: dict[str, Tensor], note: str) -> str:
    """Over the note, then each tensor's name, dtype, shape and bytes, in the order of the names."""
    total = hashlib.sha256(note.encode("utf-8", "surrogatepass"))
    for key in sorted(tensors):
        value = tensors[key]
        total.update(f"\0{key}\0{value.dtype}\0{tuple(value.shape)}\0".encode("utf-8", "surrogatepass"))
        total.update(memoryview(value.contiguous().reshape(-1).view(torch.uint8).numpy()))
    return total.hexdigest()
