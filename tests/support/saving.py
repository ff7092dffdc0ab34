"""Adapters to save, ways to edit their files, and what must hold whatever lies in a folder."""

import io
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import lorakit as lk
from tests.support.tiny_models import assert_same, build, fill, logits, same_bits, snapshot

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FIRST = "base_model.model.transformer.h.0.attn.c_attn.lora_{}.weight"  # a key of GPT-2's file


def adapted(kind: str = "gpt2", seed: int = 1, base_seed: int = 0, **fields) -> nn.Module:
    """A tiny model with the adapter "sql", its values random: as if trained."""
    model = lk.inject(build(kind, seed=base_seed), lk.LoRAConfig(**{"r": 2, "alpha": 7, **fields}), name="sql")
    fill(model, "sql", seed=seed)
    return model


def two_versions() -> dict[str, nn.Module]:
    """Two adapters of different rank, alpha and targets, so that halves of them never fit together."""
    return {"old": adapted(seed=1), "new": adapted(seed=2, r=3, alpha=5, targets=("c_attn", "mlp"))}


def version_in(folder: Path, outputs: dict[str, torch.Tensor], model: nn.Module | None = None) -> str:
    """Which version's outputs the adapter in a folder gives, in every bit; an AssertionError if it is none of them."""
    model = lk.load_adapter(model or build("gpt2"), folder)
    found = [name for name, expected in outputs.items() if same_bits(logits(model), expected)]
    lk.eject(model)
    assert len(found) == 1, "a mixture"
    return found[0]


def refused(model: nn.Module, folder: Path, says: str, **options) -> None:
    """Loading raises a LoRAError that says so, and changes nothing."""
    before = snapshot(model)
    with pytest.raises(lk.LoRAError, match=says) as error:
        lk.load_adapter(model, folder, "new", **options)
    assert len(str(error.value)) <= 2000 and str(error.value).replace("\n", "").isprintable()
    assert_same(before, snapshot(model))


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file in it and below, by its path in there."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same_files(one: Path, other: Path) -> None:
    """The same tensors, metadata and config; the bytes may differ, since safetensors orders metadata at random."""
    assert (one / CONFIG).read_text() == (other / CONFIG).read_text()
    with safe_open(one / WEIGHTS, "pt") as first, safe_open(other / WEIGHTS, "pt") as second:
        assert first.metadata() == second.metadata() and set(first.keys()) == set(second.keys())
        assert all(same_bits(first.get_tensor(key), second.get_tensor(key)) for key in first.keys())  # noqa: SIM118


def edit_config(folder: Path, **fields) -> None:
    path = Path(folder) / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def edit_weights(folder: Path, change=lambda tensors: None, note: bool = True) -> None:
    """`change(tensors)`, written again; without the note that lorakit leaves beside them, as PEFT writes it."""
    path = Path(folder) / WEIGHTS
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=metadata if note else {"format": "pt"})


def split(data: bytes) -> tuple[dict, bytes]:
    """The header of a safetensors file, and what follows it."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def join(header: dict | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def as_version_1(folder: Path) -> None:
    """The folder as lorakit wrote it before there was a checksum."""
    header, data = split((folder / WEIGHTS).read_bytes())
    note = json.loads(header["__metadata__"]["lorakit"])
    note = {"before": None, **{key: value for key, value in note.items() if key not in ("version", "replaces")}}
    header["__metadata__"] = {"format": "pt", "lorakit": json.dumps(note)}
    (folder / WEIGHTS).write_bytes(join(header, data))


def torch_bytes(what, **options) -> bytes:
    out = io.BytesIO()
    torch.save(what, out, **options)
    return out.getvalue()


def randomise(model: nn.Module, seed: int = 3) -> None:
    """Random A, B and saved heads in a model of PEFT's, as if trained."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(0.3 * noise / parameter.shape[-1] ** 0.5)
