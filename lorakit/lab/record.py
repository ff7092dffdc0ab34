"""What every recorded number says of itself: the command that makes it again, the device, the versions, the date."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from lorakit.files.folder import replace_files


def about(device=None, command: str | None = None) -> dict:
    """The head of a record; `device` as torch takes it (None: the CPU)."""
    head = {"command": command} if command else {}
    return head | {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def write(file: Path, found: dict, command: str, device=None) -> None:
    """Write `found` under its head as JSON, whole or not at all. Raises OSError."""
    content = _lines(about(device, command) | found) + "\n"
    replace_files(file.parent, {file.name: content.encode()})


def read(file: Path) -> dict:
    """What `write` wrote, its head included. Raises OSError."""
    return json.loads(file.read_text(encoding="utf-8"))


def _lines(value) -> str:
    """JSON with a line for each field, and for each row of a list of rows."""
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(key)}: {_lines(part)}" for key, part in value.items()) + "\n}"
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return "[\n" + ",\n".join(f" {json.dumps(row, ensure_ascii=False)}" for row in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)


def device_name(device=None) -> str:
    """The GPU's name, or what the CPU is: "x86_64 CPU, 2 cores"."""
    device = torch.device(device or "cpu")
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def versions(*more: str) -> dict[str, str]:
    """The versions that a number depends on: Python, torch, transformers, and the packages named."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    return found | {package: version(package) for package in ("transformers", *more)}
