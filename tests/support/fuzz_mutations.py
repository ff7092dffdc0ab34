"""Ways to damage an adapter's files, by accident or on purpose. Each takes (rng, files, original) and changes files.

A file's content is bytes, or one of the strings "folder", "pipe", "link:TARGET" for what is no file at all.
"""

import io
import json
import pickle
from pathlib import Path
from random import Random

import torch
from safetensors.torch import load, save

from tests.support.fuzz_originals import TORCH
from tests.support.saving import CONFIG, WEIGHTS, join, split, torch_bytes

FREE = {"base_model_name_or_path": "another/name", "revision": "main", "inference_mode": False}
VALUES = [0, -1, 1, 2, 3, 7, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, 1e-320, 1e-40, 3.5e38, True, False, None, "", "2"]
VALUES += ["c_attn", "a" * 10_000, "../x", "\x1b[2J", [], [1], ["c_attn"], [None], [[]], [True], ["\0"]]
VALUES += [{}, {"a": 1}, {"c_attn": 3}, {"(": 3}, {"q_proj": -1}]
DTYPES = ["BOOL", "F4", "F6_E2M3", "F8_E4M3", "F8_E5M2", "F8_E8M0", "U8", "I8", "I16", "U16", "F16", "BF16", "I32"]
DTYPES += ["U32", "F32", "C64", "F64", "I64", "U64", "F128", "f32"]
KEYS = [".", "..", "../../x", "/etc/passwd", "\0", "a" * 100_000, "a." * 50_000, "lora_A.weight", "\x1b[31m", "\u202e"]
KEYS += ["base_model.model.", "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"]
KEYS += ["base_model.model.encoder.layer.0.attention.self.query.lora_B.weight", "h.0.attn.c_attn.lora_A.weight"]
NOTES = ["", "{}", "[]", "null", "1", "[" * 5000, '{"config": 1}', '{"slices": {"x": ["q"]}}', "a" * 5000, "0" * 64]
PIECES = [["q"], ["v", "q"], ["q", "q"], ["x"], [], "qv", ["q", "k", "v"], 3, [None]]


class Canary:
    """Unpickled, it would create a file."""

    path = ""

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def truncate(rng: Random, files: dict, original) -> None:
    name = _any(rng, files)
    files[name] = files[name][: rng.randrange(len(files[name]) or 1)]


def flip_bits(rng: Random, files: dict, original) -> None:
    """Anywhere in any file, or among the tensors, whose file is mostly header."""
    name = rng.choice([_any(rng, files), original.weights])
    changed = bytearray(files[name] or b" ")
    start = rng.choice([0, 0, len(changed) // 2])
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        changed[rng.randrange(start, len(changed))] ^= 1 << rng.randrange(8)
    files[name] = bytes(changed)


def overwrite_a_range(rng: Random, files: dict, original) -> None:
    """Also beyond the end."""
    name = _any(rng, files)
    data = bytearray(files[name] or b" ")
    start, other, length = rng.randrange(len(data)), rng.randrange(len(data)), rng.choice([1, 2, 4, 8, 64, 512])
    copied = bytes(data[other : other + length])
    data[start : start + length] = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length), copied])
    files[name] = bytes(data)


def header_entry(rng: Random, files: dict, original) -> None:
    header, data = split(files[WEIGHTS])
    keys = [key for key in header if key != "__metadata__"]
    key, other, size = rng.choice(keys), rng.choice(keys), len(data)
    entry, there = header[key], header[other]
    shapes = [[2**63, 2], [2**40], [], [0], [-1], entry["shape"][::-1], [*entry["shape"], 1], ["2"], None, "x"]
    places = [[0, 2**40], [2**40, 2**41], [0, 0], [size, 0], [0, size], [-1, 3], [0], "x", [0, 2**64], [0.5, 1]]
    nothing = {"dtype": "F32", "shape": [0], "data_offsets": [size, size]}
    changes = [
        {key: entry | {"dtype": rng.choice(DTYPES)}},
        {key: entry | {"shape": rng.choice(shapes)}},
        {key: entry | {"data_offsets": rng.choice(places)}},
        {key: entry | {"data_offsets": there["data_offsets"]}, other: there | {"data_offsets": entry["data_offsets"]}},
        {key: rng.choice(VALUES)},
        {key: None, rng.choice([*KEYS, "", *keys]): entry},  # renamed
        {rng.choice([*KEYS, "", "__metadata__"]): nothing},
        {key: None},  # gone
    ]
    changed = header | rng.choice(changes)
    files[WEIGHTS] = join({name: value for name, value in changed.items() if value is not None}, data)


def header_text(rng: Random, files: dict, original) -> None:
    """Another length before it; the same entries, said twice, or nested without end, or not quite JSON."""
    header, data = split(files[WEIGHTS])
    text = json.dumps(header)
    twice = f"{text[:-1]}, {json.dumps(rng.choice(list(header)))}: {json.dumps(header[rng.choice(list(header))])}}}"
    texts = [twice, "[" * 5000, '{"a":' * 5000, text.replace("0", "NaN", 1), text[:-1], text + "x", "{}", "[]", "null"]
    length = rng.choice([0, 1, 7, 2**20, 10**8, 10**8 + 1, 2**31, 2**40, 2**63, 2**64 - 1, rng.randrange(2**16)])
    longer = length.to_bytes(8, "little") + files[WEIGHTS][8:]
    files[WEIGHTS] = rng.choice([longer, join(rng.choice(texts).encode(), data)])


def note(rng: Random, files: dict, original) -> None:
    """What stands beside the tensors: edited, cut, said twice, removed."""
    header, data = split(files[WEIGHTS])
    metadata = header.setdefault("__metadata__", {"format": "pt"})
    said = json.loads(metadata.get("lorakit", "{}"))
    slices, config = (dict(value) if isinstance(value := said.get(name), dict) else {} for name in ("slices", "config"))
    slices[rng.choice(["transformer.h.0.attn.c_attn", "nowhere", ""])] = rng.choice(PIECES)
    config[rng.choice(sorted(config) or ["r"])] = rng.choice(VALUES)
    field = rng.choice(["version", "config", "slices", "base", "replaces", "before"])
    changes = [
        {rng.choice(list(metadata)): None},
        {rng.choice(["lorakit", "lorakit_sha256", "format"]): rng.choice(NOTES)},
        {"lorakit": json.dumps(said | {field: rng.choice(VALUES)})},
        {"lorakit": json.dumps(said | {"slices": slices})},
        {"lorakit": json.dumps(said | {"config": config})},
        {rng.choice(["x", "Lorakit", "peft", "lora_adapter_metadata"]): "{}"},
    ]
    changed = metadata | rng.choice(changes)
    header["__metadata__"] = {name: value for name, value in changed.items() if value is not None}
    files[WEIGHTS] = join(header, data)


def tensors(rng: Random, files: dict, original) -> None:
    """Whole tensors changed and written again, as a program would that went wrong."""
    header, held = split(files[WEIGHTS])[0], load(files[WEIGHTS])
    key, other = rng.choice(sorted(held)), rng.choice(sorted(held))
    value, poisoned = held[key], held[key].clone()
    poisoned.view(-1)[rng.randrange(value.numel())] = rng.choice([float("nan"), float("inf"), -float("inf")])
    kinds = [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2]
    shapes = [value[None], value[:1], value[:0], torch.cat([value, value]), value.mT if value.dim() > 1 else value[:-1]]
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


def config_text(rng: Random, files: dict, original) -> None:
    text = files[CONFIG].decode()
    more = text.rstrip()[:-1]
    texts = [more + ', "r": 2}', "[" * 100_000 + "]" * 100_000, more + ', "x": ' + "[" * 900 + "]" * 900 + "}"]
    texts += ["{" * 5000, "", "null", "3", "[]", "{}", text + "}", " " * 5_000_000, "\ufeff" + text, "\ud800"]
    swaps = [("2", "NaN"), ("6", "Infinity"), ('"r": 2', '"r": 1' + "0" * 5000)]
    texts += [text.replace(old, new, 1) for old, new in swaps]
    files[CONFIG] = rng.choice(texts).encode("utf-8", "surrogatepass")


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


def torch_tensors(rng: Random, files: dict, original) -> None:
    """What torch.save can hold and loralib never writes."""
    held = torch.load(io.BytesIO(files[TORCH]), weights_only=True)
    key = rng.choice(sorted(held))
    value = held[key]
    choices = [
        value.to(torch.complex64), value.long(), value.to(torch.float8_e4m3fn), value.to_sparse(), value.to("meta"),
        value[:1].expand(value.shape), torch.zeros(1).expand(10**9, 10**3), value.t(), value[None], value * torch.nan,
        torch.nn.Parameter(value), value.double(), value.bfloat16(), [value], {"x": value}, None, 3, "x", value.bool(),
        torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), torch.nested.nested_tensor([value, value[:1]]),
    ]  # fmt: skip
    held[key] = rng.choice(choices)
    if rng.random() < 0.2:
        held = rng.choice([list(held), {1: value}, value, None, {"state": held}, {**held, "x" * 10**5: value}])
    files[TORCH] = torch_bytes(held, _use_new_zipfile_serialization=rng.random() < 0.8)


ANY = [truncate, *3 * [flip_bits], overwrite_a_range, no_file, linked, pickled, harmless, anothers_file]
FOLDERS = [header_text, config_text, *2 * [header_entry, note, tensors, config_field]]
FILES = [torch_tensors]


def _any(rng: Random, files: dict) -> str:
    return rng.choice(sorted(name for name, data in files.items() if isinstance(data, bytes)))
