"""Ways to damage an adapter's files, by accident or on purpose. Each takes (rng, files, original) and changes files.

A file's content is bytes, or one of the strings "folder", "pipe", "link:TARGET" for what is no file at all.
"""

import json
import pickle
from pathlib import Path
from random import Random

import torch
from safetensors.torch import load, save

from tests.support.saving import CONFIG, WEIGHTS, split, torch_bytes

FREE = {"base_model_name_or_path": "another/name", "revision": "main", "inference_mode": False}
VALUES = [0, -1, 1, 2, 3, 7, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, 1e-320, 1e-40, 3.5e38, True, False, None, "", "2"]
VALUES += ["c_attn", "a" * 10_000, "../x", "\x1b[2J", [], [1], ["c_attn"], [None], [[]], [True], ["\0"]]
VALUES += [{}, {"a": 1}, {"c_attn": 3}, {"(": 3}, {"q_proj": -1}]
KEYS = [".", "..", "../../x", "/etc/passwd", "\0", "a" * 100_000, "a." * 50_000, "lora_A.weight", "\x1b[31m", "\u202e"]
KEYS += ["base_model.model.", "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"]
KEYS += ["base_model.model.encoder.layer.0.attention.self.query.lora_B.weight", "h.0.attn.c_attn.lora_A.weight"]


class Canary:
    """Unpickled, it would create a file."""

    path = ""

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def truncate(rng: Random, files: dict, original) -> None:
    name = _any(rng, files)
    files[name] = files[name][: rng.randrange(len(files[name]) or 1)]


def extend(rng: Random, files: dict, original) -> None:
    files[_any(rng, files)] += rng.choice([b"\0", b" ", b"\n", b"}", rng.randbytes(rng.randrange(1, 200))])


def flip_bits(rng: Random, files: dict, original) -> None:
    """Anywhere in any file."""
    name = _any(rng, files)
    changed = bytearray(files[name])
    for _ in range(rng.choice([1, 1, 1, 2, 8]) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    files[name] = bytes(changed)


def overwrite_a_range(rng: Random, files: dict, original) -> None:
    name = _any(rng, files)
    data = bytearray(files[name] or b" ")
    start, other, length = rng.randrange(len(data)), rng.randrange(len(data)), rng.choice([1, 2, 4, 8, 64, 512])
    copied = bytes(data[other : other + length])
    data[start : start + length] = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length), copied])
    files[name] = bytes(data)


def tensors(rng: Random, files: dict, original) -> None:
    """Whole tensors changed and written again, as a program would that went wrong."""
    header, held = split(files[WEIGHTS])[0], load(files[WEIGHTS])
    key, other = rng.choice(sorted(held)), rng.choice(sorted(held))
    value, poisoned = held[key], held[key].clone()
    poisoned.view(-1)[rng.randrange(value.numel())] = rng.choice([float("nan"), float("inf"), -float("inf")])
    kinds = [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2]
    shapes = [
        value[None],
        value[:1],
        value[:0],
        torch.cat([value, value]),
        value.t() if value.dim() == 2 else value[:-1],
    ]
    moved = rng.choice([("h.0", "h.5"), ("layers.0", "layers.9"), (".model.", ".")])
    held = rng.choice([
        held | {key: poisoned},
        held | {key: value.to(rng.choice(kinds))},
        held | {key: value.to(rng.choice([torch.bfloat16, torch.float16, torch.float64]))},
        held | {key: value.double() * 1e300},
        held | {key: rng.choice(shapes)},
        held | {key: held[other], other: value},
        held | {rng.choice(KEYS): torch.zeros(rng.choice([(1,), (2, 24), (0,)]))},
        held | {key.replace(".weight", rng.choice([".default.weight", ".other.weight"])): value + 1},
        {name: kept for name, kept in held.items() if name != key},
        {k.replace(".weight", ".default.weight") if ".lora_" in k else k: v for k, v in held.items()},
        {k.replace(*moved): v for k, v in held.items()},
    ])  # fmt: skip
    metadata = header.get("__metadata__") if rng.random() < 0.8 else {"format": "pt"}
    files[WEIGHTS] = save({k: v.clone().contiguous() for k, v in held.items()}, metadata)


def config_field(rng: Random, files: dict, original) -> None:
    fields = json.loads(files[CONFIG])
    name = rng.choice([*fields, "use_dora", "lora_bias", "layers_to_transform", "exclude_modules", "surprise"])
    gone = rng.random() < 0.15
    fields = {key: value for key, value in fields.items() if key != name} | ({} if gone else {name: rng.choice(VALUES)})
    files[CONFIG] = json.dumps(fields).encode()


def no_file(rng: Random, files: dict, original) -> None:
    """A folder, a pipe, a device, a link to nowhere, a link to itself, or nothing, in the place of a file."""
    name = _any(rng, files)
    choice = rng.choice(["folder", "pipe", "link:/dev/zero", "link:/dev/null", "link:nowhere", f"link:{name}", None])
    files.pop(name) if choice is None else files.update({name: choice})


def linked(rng: Random, files: dict, original) -> None:
    """Harmless: the Hub's cache keeps its files behind links."""
    name = _any(rng, files)
    files["blob"], files[name] = files[name], "link:blob"


def harmless(rng: Random, files: dict, original) -> None:
    """The same, said in another order or with other spaces, and fields that change nothing."""
    if CONFIG in files:
        fields = json.loads(files[CONFIG])
        fields |= {name: FREE[name] for name in rng.sample(sorted(FREE), rng.randrange(4)) if name in fields}
        shuffled = {name: fields[name] for name in rng.sample(sorted(fields), len(fields))}
        files[CONFIG] = json.dumps(shuffled, indent=rng.choice([None, 1, 4])).encode() + rng.choice([b"", b"\n\n"])
    if WEIGHTS in files and rng.random() < 0.5:
        metadata, held = split(files[WEIGHTS])[0]["__metadata__"], load(files[WEIGHTS])
        files[WEIGHTS] = save({key: held[key] for key in rng.sample(sorted(held), len(held))}, metadata)


def anothers_file(rng: Random, files: dict, original) -> None:
    """One file of this adapter with the other of another."""
    other, name = rng.choice(original.others), rng.choice(sorted(files))
    files[name] = other.files.get(name, other.files.get(WEIGHTS, b""))


def pickled(rng: Random, files: dict, original) -> None:
    """A pickle that would run code, under every name a reader might open."""
    bomb = Canary()
    bomb.path = original.canary
    old = torch_bytes({"x": bomb}, _use_new_zipfile_serialization=False)
    files[original.weights] = rng.choice([pickle.dumps(bomb), torch_bytes({"x": bomb}), old])
    files["adapter_model.bin"] = files[original.weights]


ANY = [truncate, extend, *2 * [flip_bits], overwrite_a_range]
ANY += [no_file, linked, pickled, harmless, anothers_file]
FOLDERS = 3 * [tensors, config_field]


def _any(rng: Random, files: dict) -> str:
    return rng.choice(sorted(name for name, data in files.items() if isinstance(data, bytes)))
