"""A part's result as a file, and as a table to read."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from lorakit.lab.record import versions


def note(part: str, what: str, device: str, seconds: float, tiny: bool) -> dict:
    """What a result depends on: device, versions, command, date, the part's seconds."""
    options = ["--tiny"] if tiny else []
    options += [f"--device {device}"] if device != "cuda" else []
    cuda = torch.device(device).type == "cuda"
    return {
        "what": what,
        "command": " ".join(["python3 -m benchmarks.gpu", part, *options]),
        "device": torch.cuda.get_device_name(device) if cuda else f"{platform.machine()} CPU",
        "cuda": torch.version.cuda if cuda else None,
        "threads": torch.get_num_threads(),
        "versions": versions() | {name: found for name in ("peft", "accelerate") if (found := _version(name))},
        "date": datetime.now(UTC).date().isoformat(),
        "budget_s": seconds,
    }


def write(file: Path, said: dict, rows: Sequence[dict]) -> None:
    """Write it, whole or not at all: one line for each row, numbers with five digits."""
    unfinished = file.with_name(file.name + ".tmp")
    file.parent.mkdir(parents=True, exist_ok=True)
    head = ",\n".join(f"{json.dumps(key)}: {_short(value)}" for key, value in said.items())
    body = ",\n".join(f"  {_short(row)}" for row in rows)
    unfinished.write_text(f'{{\n{head},\n"rows": [\n{body}\n]\n}}\n', encoding="utf-8")
    os.replace(unfinished, file)


def table(rows: Iterable[dict], columns: Sequence[str]) -> str:
    """The rows below one another; a row that was not measured has its reason at the end."""
    lines = [[*columns, ""]]
    lines += [[_cell(row.get(name)) for name in columns] + [row.get("not_done", "")] for row in rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    return "\n".join(
        "  ".join(
            [text.ljust(width) for text, width in zip(line, widths, strict=False)] + line[len(columns) :]
        ).rstrip()
        for line in lines
    )


def _cell(value) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(found)}" for name, found in value.items())
    if isinstance(value, (list, tuple)):
        return " to ".join(_cell(one) for one in value)
    return str(value)


def _short(value) -> str:
    digits = json.loads(json.dumps(value), parse_float=lambda number: float(f"{float(number):.5g}"))
    return json.dumps(digits)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
