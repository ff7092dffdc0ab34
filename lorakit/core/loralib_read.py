"""Read what loralib saves: lora_state_dict's keys, without alpha or targets."""

import io
import pickletools
import re
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from lorakit.core.config import LoRAConfig
from lorakit.core.contents import Contents, check_matrix, check_values, few
from lorakit.core.errors import LoRAError, shown
from lorakit.core.targets import base_modules, find_targets, matches_name, projection_shape
from lorakit.core.untrusted import read_tensors, room_for, size_of

# What torch.save names in the pickle of a dict of tensors.
PLAIN = re.compile(r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch \w+Storage|torch Size")


def read_loralib(model: nn.Module, path: Path, config: LoRAConfig | None) -> Contents:
    """loralib's keys: X.lora_A (n*r, in) and X.lora_B (sum of widths, r), the same shapes as Adapter's."""
    if config is None:
        raise LoRAError(f"{path} is a loralib file, which says neither alpha nor targets: pass config=LoRAConfig(...)")
    tensors = read_tensors(path, model)[0] if path.suffix == ".safetensors" else _read_torch(path, model)
    targets = find_targets(model, config.targets, exclude=config.modules_to_save)
    wanted = {f"{target.path}.lora_{ab}" for target in targets for ab in "AB"}
    owners = {path for path, _ in base_modules(model) for w in config.modules_to_save if matches_name(path, w)}
    saved = {o: {k[len(o) + 1 :]: v for k, v in tensors.items() if k.startswith(o + ".")} for o in owners}
    missing = sorted(wanted - tensors.keys())
    unexpected = [k for k in tensors if k not in wanted and not any(k.startswith(o + ".") for o in owners)]
    if missing or unexpected:
        raise LoRAError(
            f"{path} does not fit this model and config; missing: {few(missing)}; unexpected: {few(unexpected)}"
        )
    for target in targets:
        n, R = max(len(target.slices), 1), config.rank_of(target.path)
        widths = sum(stop - start for start, stop in target.bounds)
        for ab, shape in (("A", (n * R, projection_shape(target.module)[0])), ("B", (widths, R))):
            check_matrix(f"{target.path}.lora_{ab}", tensors[f"{target.path}.lora_{ab}"], shape, R)
    weights = {t.path: (tensors[f"{t.path}.lora_A"], tensors[f"{t.path}.lora_B"]) for t in targets}
    contents = Contents(config, targets, weights, saved)
    check_values(model, contents)
    return contents


def _read_torch(path: Path, model: nn.Module) -> dict[str, Tensor]:
    """A dict of tensors that torch.save wrote, each no larger than what the file holds for it."""
    room = room_for(model)
    size = size_of(path, room.file)
    try:
        archive = _copy_archive(path, size, room.header)
        tensors = torch.load(archive, map_location="cpu", weights_only=True)
        if not isinstance(tensors, dict) or len(tensors) > room.tensors:
            raise ValueError("it is not a dict of as many tensors as this model can use")
        for key, value in tensors.items():
            if not isinstance(key, str) or type(value) not in (Tensor, nn.Parameter):
                raise ValueError("it is not a dict of names and tensors")
            # An expanded tensor says that it has more numbers than its storage holds.
            if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_nested:
                raise ValueError(f"{few([key])} is not a plain tensor")
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise ValueError(f"{few([key])} has more numbers than the file holds for it")
        return {key: value.detach() for key, value in tensors.items()}
    except Exception as error:  # torch.load raises many kinds for files that are not what they say
        raise LoRAError(f"{path} cannot be read as a loralib checkpoint: {error}") from error


def _copy_archive(path: Path, size: int, longest: int) -> io.BytesIO:
    """The zip that torch.save wrote, entry by entry; raises ValueError where it is damaged or asks for more.

    A copy, because torch's own reader checks no CRC and, where the directory is damaged, hands out memory that it
    never wrote to. And weights_only runs no foreign code, but it unpacks what is compressed, and calls
    bytearray(10**11) when told to.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no file of torch 1.6 or later; an older one can be loaded and saved again with torch")
    copied = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copied, "w") as copy:
        entries = archive.infolist()
        names = [entry.filename.lower() for entry in entries]  # torch finds them in either case
        # A bomb is small until it is unpacked; torch stores and never compresses.
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > size or len(set(names)) < len(names):
            raise ValueError("it unpacks to more than it holds")
        for entry, name in zip(entries, names, strict=True):
            if name.endswith("data.pkl"):
                if entry.file_size > longest:
                    raise ValueError(f"its pickle has {entry.file_size:,} bytes, more than any adapter of this model")
                _check_pickle(archive.read(entry))
            copy.writestr(entry.filename, archive.read(entry))
    copied.seek(0)
    return copied


def _check_pickle(data: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(data):
        known = opcode.name == "GLOBAL" and PLAIN.fullmatch(argument)
        if opcode.name in ("GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4") and not known:
            raise ValueError(f"it is not made of plain tensors: its pickle asks for {shown(argument)}")
