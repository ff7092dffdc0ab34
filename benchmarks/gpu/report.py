"""A part's result as a file, and as a table to read."""

import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from lorakit.lab import record


def write(file: Path, part: str, what: str, device: str, tiny: bool, rows: Sequence[dict], **seconds: float) -> None:
    """Write it, whole or not at all: one line for each row, numbers with five digits."""
    command = ["python3 -m benchmarks.gpu", part, *["--tiny"] * tiny]
    command += [f"--device {device}"] if device != "cuda" else []
    found = {
        "what": what,
        "cuda": torch.version.cuda if torch.device(device).type == "cuda" else None,
        "versions": record.versions(*filter(find_spec, ("peft", "accelerate"))),
        **seconds,
        "rows": list(rows),
    }
    short = json.loads(json.dumps(found), parse_float=lambda number: float(f"{float(number):.5g}"))
    record.write(file, short, " ".join(command), device)


def add(file: Path, row: dict) -> None:
    """One row more in a part's result, where there is one; what is said of the device stays."""
    if not file.is_file():
        return
    found = record.read(file)
    record.write(file, found | {"rows": [*found["rows"], row]}, found["command"])


def line(values: Iterable) -> str:
    """A table's line, printed before the next ones are known: every column as wide as most values. Without pandas."""
    return "  ".join(f"{cell(value):>14}" for value in values)


def cell(value) -> str:
    """A value in a few characters."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {cell(found)}" for name, found in value.items())
    if isinstance(value, (list, tuple)):
        return " to ".join(map(cell, value))
    return str(value)
