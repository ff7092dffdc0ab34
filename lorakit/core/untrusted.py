"""Read files that nobody vouches for: regular files of bounded size, no key said twice, no pickle, no surprise."""

import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open
from torch import Tensor, nn

from lorakit.core.errors import LoRAError, shown
from lorakit.core.targets import SLICES, base_modules, is_projection, projection_shape

LARGEST_CONFIG = 4 * 2**20  # bytes; the lists of a model with 20,000 projections take less


def size_of(path: Path, limit: int | None = None) -> int | None:
    """The size of a regular file (or of the one a link leads to) in bytes, or None where there is nothing."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # a loop of links, a name too long, no permission
        raise LoRAError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from error
    if not stat.S_ISREG(found.st_mode):  # reading a pipe waits for ever, and /dev/zero never ends
        raise LoRAError(f"{path} cannot be read: it is not a regular file")
    if limit is not None and found.st_size > limit:
        raise LoRAError(
            f"{path} cannot be read: it has {found.st_size:,} bytes, and {limit:,} is the most that fits here"
        )
    return found.st_size


def read_bytes(path: Path, limit: int = LARGEST_CONFIG) -> bytes | None:
    """All of a small file, or None where there is nothing."""
    if size_of(path, limit) is None:
        return None
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise LoRAError(f"{path} cannot be read: {error}") from error
    if len(data) > limit:  # as the files of /proc, whose size is said to be 0
        raise LoRAError(f"{path} cannot be read: it has more than {limit:,} bytes")
    return data


def read_object(text: bytes | str) -> dict:
    """A JSON object in which every key stands once and every number is one; raises ValueError."""
    try:
        fields = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    return fields


def read_tensors(path: Path, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file; their values stay on the disk until they are looked at."""
    room = room_for(model)
    try:
        if size_of(path, room.file) is None:
            raise ValueError("there is no such file")
        with open(path, "rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > room.header:
            raise ValueError(f"its header claims {header:,} bytes, and {room.header:,} is the most that fits here")
        with safe_open(path, framework="pt", device="cpu") as file:
            keys = list(file.keys())
            if len(keys) > room.tensors:
                raise ValueError(f"it holds {len(keys):,} tensors, and this model has room for {room.tensors:,}")
            return {key: file.get_tensor(key) for key in keys}, file.metadata() or {}
    except LoRAError:
        raise
    except Exception as error:  # a parser of a foreign file: whatever it says, the file is at fault
        raise LoRAError(f"{path} cannot be read as safetensors: {error}") from error


class Room(NamedTuple):
    """More than any adapter of a model takes: bytes of the file, bytes of what describes its tensors, tensors."""

    file: int
    header: int
    tensors: int


def room_for(model: nn.Module) -> Room:
    """Room for every projection at full rank and every module saved whole, in float64, with long names and notes."""
    modules = dict(base_modules(model))
    shapes = [projection_shape(module) for module in modules.values() if is_projection(module)]
    rank = len(SLICES) * max((min(shape) for shape in shapes), default=0)  # slices of a fused one each have their own
    lora = sum(rank * (in_features + out_features) for in_features, out_features in shapes)
    whole = [tensor for m in modules.values() for kind in (m._parameters, m._buffers) for tensor in kind.values()]
    saved = sum(tensor.numel() for tensor in whole if tensor is not None)
    header = 2**20 + sum(2000 + 20 * len(path) for path in modules)
    return Room(file=header + 8 * (lora + saved), header=header, tensors=2 * len(modules) + len(whole))


def _once(pairs: list[tuple[str, object]]) -> dict:
    fields = {}
    for key, value in pairs:
        if key in fields:
            raise ValueError(f"it says {shown(key)} twice")
        fields[key] = value
    return fields


def _no_number(text: str):
    raise ValueError(f"{text} is not a number that JSON has")
