"""A training run on disk: enough to go on as if it had never stopped.

    <folder>/step-000150/trainable.safetensors    the trained tensors (an adapter, or everything)
                         optimizer.safetensors    AdamW's moments, "<parameter>|<name>"
                         state.json               step, settings, recorded rows, loss scale

Random numbers, the place in the data and the learning rate are functions of the seed and the step, so no state of
theirs is stored. Only safetensors and JSON: nothing that runs code when it is read.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.lab.shard import is_sharded

FORMAT = 1


def save_checkpoint(folder: Path, step: int, parameters: dict[str, nn.Parameter], optimizer, state: dict) -> None:
    """Write the run's state after `step` steps; killed at any instant, the folder holds the old state or the new.

    parameters  the trained ones by name. state: plain data (JSON). The previous checkpoint is removed afterwards.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    making = folder / ".making"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    moments = {}
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            moments[f"{name}|{key}"] = torch.as_tensor(value).detach().cpu().contiguous()
    trained = {name: parameter.detach().cpu().contiguous() for name, parameter in parameters.items()}
    save_file(trained, making / "trainable.safetensors", metadata={"format": "pt"})
    save_file(moments, making / "optimizer.safetensors", metadata={"format": "pt"})
    text = json.dumps({"format": FORMAT, "step": step, **state}, indent=1)
    (making / "state.json").write_text(text, encoding="utf-8")
    for file in making.iterdir():
        _to_disk(file)
    place = folder / f"step-{step:06d}"
    old = [path for path in folder.glob("step-*") if path != place]
    shutil.rmtree(place, ignore_errors=True)  # only there when a run is started afresh in the same folder
    os.rename(making, place)
    _to_disk(folder)
    for path in old:
        shutil.rmtree(path, ignore_errors=True)


def load_checkpoint(
    folder: Path, parameters: dict[str, nn.Parameter], optimizer, settings: dict, may_differ: tuple[str, ...] = ()
) -> dict | None:
    """Put the newest checkpoint's tensors into `parameters` and `optimizer`; returns its state, None if there is none.

    Everything is checked before anything is changed. Raises LoRAError where the file is damaged, or was made by a
    run with other settings, other trained tensors or another base model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = sorted(folder.glob("step-*/state.json"), key=lambda path: int(path.parent.name.removeprefix("step-")))
    if not found:
        return None
    place = found[-1].parent
    try:
        state = json.loads((place / "state.json").read_text(encoding="utf-8"))
        trained = load_file(place / "trainable.safetensors")
        moments = load_file(place / "optimizer.safetensors")
        different = {
            key: (value, settings.get(key))
            for key, value in state["settings"].items()
            if key not in may_differ and settings.get(key) != value
        }
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise LoRAError(f"the checkpoint {place} is damaged ({error}); delete it to start again") from error
    if state.get("format") != FORMAT:
        raise LoRAError(f"the checkpoint {place} has format {state.get('format')!r}, this lorakit reads {FORMAT}")
    if different:
        said = ", ".join(f"{key} was {old!r} and is now {new!r}" for key, (old, new) in different.items())
        raise LoRAError(f"cannot resume from {place}: {said}. Use the same settings, or resume=False to start again.")
    wrong = [name for name in parameters.keys() | trained.keys() if not _fits(parameters.get(name), trained.get(name))]
    if wrong:
        raise LoRAError(f"cannot resume from {place}: these trained tensors differ: {', '.join(sorted(wrong)[:5])}")
    by_parameter: dict[str, dict[str, torch.Tensor]] = {name: {} for name in parameters}
    for key, value in moments.items():
        name, _, kind = key.rpartition("|")
        by_parameter[name][kind] = value
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(trained[name])
            # "step" stays on the CPU, where AdamW keeps it; the moments lie beside their parameter.
            optimizer.state[parameter] = {
                kind: value if kind == "step" else value.to(parameter.device)
                for kind, value in by_parameter[name].items()
            }
    return state


def base_fingerprint(model: nn.Module) -> str:
    """A short hash of the frozen weights, to notice a resume on another base: names, shapes and 32 numbers of each.

    The same for a model cut up over processes (where every process has to call it) as for the whole one.
    """
    sharded = is_sharded(model)
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            whole = parameter.full_tensor() if sharded and hasattr(parameter, "full_tensor") else parameter
            flat = whole.detach().flatten()
            sample = flat[:: max(1, flat.numel() // 32)][:32].double().cpu()
            digest.update(f"{name} {tuple(parameter.shape)}".encode())
            digest.update(sample.numpy().tobytes())
    return digest.hexdigest()[:16]


def _fits(parameter, tensor) -> bool:
    return (
        parameter is not None
        and tensor is not None
        and parameter.shape == tensor.shape
        and parameter.dtype == tensor.dtype
        and bool(tensor.isfinite().all())
    )


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems cannot sync a folder; the rename is still atomic
    finally:
        os.close(descriptor)
