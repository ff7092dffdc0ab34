"""Save and load adapters: PEFT's files, written atomically, read with every key accounted for."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError
from lorakit.core.inject import attach, build
from lorakit.core.peft_format import Contents, check_finite, from_peft, to_peft
from lorakit.core.state import known, refuse_if_busy, state_of, unwrap
from lorakit.core.targets import find_targets

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Fields that a person may change after saving without changing what the adapter computes.
FREE = {"base_model_name_or_path", "revision", "inference_mode", "lora_dropout", "task_type", "auto_mapping"}


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
    fields, tensors = to_peft(model, state, name)
    check_finite(tensors)
    folder = Path(folder)
    layers = {path: layer for path, layer in state.layers.items() if name in layer.adapters}
    note = {
        "config": fields,
        "before": _digest(_read_config(folder / CONFIG, strict=False)),
        "slices": {path: pieces for path, layer in layers.items() if (pieces := _slice_names(layer, name))},
        "base": {path: _sample(layer) for path, layer in layers.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / WEIGHTS, to_bytes(tensors, metadata={"format": "pt", "lorakit": json.dumps(note)}))
        _replace(folder / CONFIG, json.dumps(fields, indent=2, sort_keys=True).encode())
    except OSError as error:
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

    folder: a folder with PEFT's two files (or with a subfolder `name` that has them), or a loralib checkpoint file;
    loralib does not save alpha or the targets, so such a file needs `config`.
    Returns the model. Raises LoRAError, with the model unchanged, for missing, unexpected, misshapen or non-finite
    tensors, a config edited after saving, an adapter trained on another base, or one lorakit cannot represent.
    Nothing is ever unpickled: safetensors, or torch.load(weights_only=True) for loralib's files.
    """
    model, path = unwrap(model), Path(folder)
    if path.is_file():
        contents = _read_loralib(model, path, config)
    elif config is not None:
        raise LoRAError("config is for loralib's files only: PEFT's folders bring their own")
    else:
        contents = _read_folder(model, path if (path / WEIGHTS).exists() else path / name)
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
        pickled = " (adapter_model.bin is a pickle: convert it with PEFT first)" * (folder / "adapter_model.bin").exists()
        raise LoRAError(f"no adapter in {folder}: there is no {WEIGHTS}{pickled}")
    try:
        with safe_open(folder / WEIGHTS, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        note = json.loads(metadata.get("lorakit", "{}"))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise LoRAError(f"{folder / WEIGHTS} cannot be read as safetensors: {error}") from error
    check_finite(tensors)
    fields = _read_config(folder / CONFIG, strict="config" not in note)
    if "config" in note:
        fields = _agreed_config(fields, note, folder)
    contents = from_peft(model, fields, tensors, note.get("slices", {}))
    _check_base({target.path: target.module for target in contents.targets}, note.get("base", {}))
    return contents


def _agreed_config(fields: dict | None, note: dict, folder: Path) -> dict:
    written = note["config"]
    if fields is None or _digest(fields) == note["before"]:
        return written  # the save was cut short between the two files: the weights' own copy is the new one
    changed = [key for key in {**written, **fields} if key not in FREE and fields.get(key) != written.get(key)]
    if changed:
        says = "; ".join(f"{key}: saved {written.get(key)!r}, now {fields.get(key)!r}" for key in sorted(changed))
        raise LoRAError(f"{folder / CONFIG} was changed after the adapter was saved ({says}): restore it or save again")
    return fields


def _read_loralib(model: nn.Module, path: Path, config: LoRAConfig | None) -> Contents:
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
    owners = {path for path, _ in model.named_modules() for w in config.modules_to_save if path.endswith(w)}
    saved = {o: {k[len(o) + 1 :]: v for k, v in tensors.items() if k.startswith(o + ".")} for o in owners}
    missing = sorted(wanted - tensors.keys())
    unexpected = [k for k in tensors if k not in wanted and not any(k.startswith(o + ".") for o in owners)]
    if missing or unexpected:
        raise LoRAError(f"{path} does not fit this model and config; missing: {missing}; unexpected: {unexpected}")
    weights = {t.path: (tensors[f"{t.path}.lora_A"], tensors[f"{t.path}.lora_B"]) for t in targets}
    return Contents(config, targets, weights, saved)


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
    width = layer.shape[0]
    bounds = layer.adapters[name].bounds
    return [] if bounds == ((0, layer.shape[1]),) else ["qkv"[start // width] for start, _ in bounds]


def _sample(layer) -> list[float]:
    """Eight entries of W0, evenly spread: enough to know the base again, in whatever precision it is loaded."""
    weight = (layer.base_weight if layer.merged else layer.weight).detach().reshape(-1)
    if weight.is_meta or not weight.is_floating_point():
        return []
    picks = torch.linspace(0, weight.numel() - 1, 8, dtype=torch.float64).long().to(weight.device)
    return [float(f"{value:.6g}") for value in weight[picks].float().tolist()]


def _check_base(modules: dict[str, nn.Module], samples: dict[str, list[float]]) -> None:
    for path, sample in samples.items():
        module = modules.get(path)
        if module is None or not sample:
            continue
        weight = getattr(module, "base_weight", module.weight).detach().reshape(-1)
        if weight.is_meta or not weight.is_floating_point():
            continue
        picks = torch.linspace(0, weight.numel() - 1, 8, dtype=torch.float64).long().to(weight.device)
        here, there = weight[picks].double().cpu(), torch.tensor(sample, dtype=torch.float64)
        if not torch.allclose(here, there, rtol=2**-7, atol=1e-6):  # bfloat16 keeps 8 bits
            raise LoRAError(
                f"this adapter was trained on another base: at {path} the weights differ "
                f"({here[0]:.4g} here, {there[0]:.4g} there). Load the base it was trained on"
            )


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


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it is, at every instant, the old one or the new one."""
    for stale in path.parent.glob(f".{path.name}.*.tmp"):  # left by a process that was killed
        with contextlib.suppress(OSError):
            if time.time() - stale.stat().st_mtime > 3600:
                stale.unlink()
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # make the rename itself durable
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
