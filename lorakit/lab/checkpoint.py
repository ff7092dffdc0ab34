"""A training run on disk: enough to go on as if it had never stopped.

    <folder>/step-000150/trainable.safetensors    the trained tensors (an adapter, or everything)
                         optimizer.safetensors    AdamW's moments, "<parameter>|<name>"
                         state.json               step, settings, recorded rows, loss scale

Random numbers, the place in the data and the learning rate are functions of the seed and the step, so no state of
theirs is stored. Only safetensors and JSON: nothing that runs code when it is read.

Killed at any instant, the folder holds the old state or the new one. A checkpoint is written out as `.making` and
gets its name in one rename; the one before is removed only then. Which is the newest is a number in its state.json,
not its step: a run that is started afresh writes lower steps than the one it replaces. What a killed process leaves
(one `.making`, the rest of one old checkpoint) the next save removes.
"""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.files.folder import locked
from lorakit.lab.checkpoint_parts import check_moments, check_state
from lorakit.lab.many.shard import is_sharded

FORMAT = 1


class CheckpointNotSaved(LoRAError):
    """A checkpoint could not be written. What lay in its folder before is untouched, and so is the model.

    `history` holds the run, where `fit` raised this at its end.
    """

    def __init__(self, message: str, history=None) -> None:
        super().__init__(message)
        self.history = history


@contextlib.contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Make a folder and keep other runs of this machine out of it meanwhile.

    Checkpoints can be written there: better found out now than after hours of training. Raises LoRAError where
    another run is in it, CheckpointNotSaved where nothing can be written.
    """
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(folder, seconds=0))
            _empty(folder).rmdir()
        except TimeoutError as error:
            raise LoRAError(
                f"another run is writing its checkpoints to {folder}: wait for it, stop it, or choose another folder"
            ) from error
        except OSError as error:
            raise CheckpointNotSaved(
                f"no checkpoint can be written to {folder}: {error}; choose another folder"
            ) from error
        yield


def is_finished(folder: Path, steps: int) -> bool:
    """Whether the checkpoint here is of a run of so many steps, or more: then nothing will be written."""
    found = _found(folder)
    return bool(found) and _whole_number(found[-1], "step") >= steps


def save_checkpoint(folder: Path, step: int, parameters: dict[str, nn.Parameter], optimizer, state: dict) -> None:
    """Write the run's state after `step` steps; killed at any instant, the folder holds the old state or the new.

    parameters  the trained ones by name. state: plain data (JSON). The previous checkpoint is removed afterwards.
    Raises CheckpointNotSaved, with the previous checkpoint untouched, where the disk is full or cannot be written.
    """
    from safetensors import SafetensorError

    try:
        making = _empty(folder)
        try:
            number = 1 + max((_whole_number(path, "saved") for path in _found(folder)), default=0)
            _write(making, parameters, optimizer, {"format": FORMAT, "saved": number, "step": step, **state})
            old = list(folder.glob("step-*"))
            os.rename(making, _free(folder / f"step-{step:06d}"))
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
    except (OSError, SafetensorError) as error:
        raise CheckpointNotSaved(
            f"the checkpoint of step {step} cannot be written to {folder}: {error}. What lay there before is untouched"
        ) from error
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

    found = _found(folder)
    if not found:
        return None
    place = found[-1].parent
    try:
        state = json.loads((place / "state.json").read_text(encoding="utf-8"))
        if isinstance(state, dict) and state.get("format") != FORMAT:
            raise LoRAError(f"the checkpoint {place} has format {state.get('format')!r}, this lorakit reads {FORMAT}")
        check_state(state)
        trained = load_file(place / "trainable.safetensors")
        moments = load_file(place / "optimizer.safetensors")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise LoRAError(f"the checkpoint {place} is damaged ({error}); delete it to start again") from error
    different = {
        key: (value, settings.get(key))
        for key, value in state["settings"].items()
        if key not in may_differ and settings.get(key) != value
    }
    if different:
        said = ", ".join(f"{key} was {old!r} and is now {new!r}" for key, (old, new) in different.items())
        raise LoRAError(f"cannot resume from {place}: {said}. Use the same settings, or resume=False to start again.")
    wrong = [name for name in parameters.keys() | trained.keys() if not _fits(parameters.get(name), trained.get(name))]
    if wrong:
        raise LoRAError(f"cannot resume from {place}: these trained tensors differ: {', '.join(sorted(wrong)[:5])}")
    by_parameter: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in moments.items():
        name, _, kind = key.rpartition("|")
        by_parameter.setdefault(name, {})[kind] = value
    try:
        check_moments(by_parameter, parameters, may_be_none=settings.get("precision") == "fp16")
    except ValueError as error:
        raise LoRAError(f"the checkpoint {place} is damaged ({error}); delete it to start again") from error
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(trained[name])
            # "step" stays on the CPU, where AdamW keeps it; the moments lie beside their parameter.
            optimizer.state[parameter] = {
                kind: value if kind == "step" else value.to(parameter.device)
                for kind, value in by_parameter.get(name, {}).items()
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


def _empty(folder: Path) -> Path:
    """The folder in which a checkpoint is made, new and empty."""
    folder.mkdir(parents=True, exist_ok=True)
    making = folder / ".making"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    return making


def _write(making: Path, parameters: dict[str, nn.Parameter], optimizer, state: dict) -> None:
    """The three files, on the disk itself before the rename that makes them count."""
    from safetensors.torch import save_file

    moments = {}
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            moments[f"{name}|{key}"] = torch.as_tensor(value).detach().cpu().contiguous()
    trained = {name: parameter.detach().cpu().contiguous() for name, parameter in parameters.items()}
    save_file(trained, making / "trainable.safetensors", metadata={"format": "pt"})
    save_file(moments, making / "optimizer.safetensors", metadata={"format": "pt"})
    (making / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    for file in (*making.iterdir(), making):
        _to_disk(file)


def _free(place: Path) -> Path:
    """`place`, or with a number behind it where a run that is being replaced has a checkpoint of the same step."""
    names = (place.with_name(f"{place.name}.{number}") for number in itertools.count(2))
    return place if not place.exists() else next(name for name in names if not name.exists())


def _found(folder: Path) -> list[Path]:
    """The state.json of every checkpoint here, the newest last."""
    return sorted(folder.glob("step-*/state.json"), key=lambda path: (_whole_number(path, "saved"), path.parent.name))


def _whole_number(state_file: Path, name: str) -> int:
    """`saved` (which checkpoint of its folder this is, from 1) or `step`; 0 where there is none that can be read."""
    try:
        number = json.loads(state_file.read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0
    return number if isinstance(number, int) else 0


def _fits(parameter, tensor) -> bool:
    return (
        parameter is not None
        and tensor is not None
        and parameter.shape == tensor.shape
        and parameter.dtype == tensor.dtype
        and bool(tensor.isfinite().all())
    )


def _to_disk(path: Path) -> None:
    if path.is_dir():  # Windows cannot open a folder, some file systems cannot sync one: the rename is still atomic
        with contextlib.suppress(OSError):
            _sync(path, os.O_RDONLY)
    else:
        _sync(path, os.O_RDWR)  # Windows syncs nothing that was opened to be read


def _sync(path: Path, how: int) -> None:
    descriptor = os.open(path, how)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
