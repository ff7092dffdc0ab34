"""How much a reliability test does, and where its figures go.

`make test` runs each test at its bounded size and records nothing. `make soak` (LORAKIT_SOAK=1) runs the full size and
writes the figures to data/results/reliability_<name>.json, from which docs/reliability.md is generated.
"""

import json
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"
SOAK = os.environ.get("LORAKIT_SOAK", "") not in ("", "0")


def size(bounded: int, full: int) -> int:
    """How many cases, kills or cycles: `bounded` under `make test`, `full` under `make soak`."""
    return full if SOAK else bounded


def record(name: str, **figures) -> None:
    """Keep what a full run measured, with device, versions, command and date; a bounded run keeps nothing."""
    if not SOAK:
        return
    packages = ("torch", "transformers", "safetensors", "peft")
    found = {
        "command": "make soak",
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        "versions": {"python": platform.python_version()} | {package: version(package) for package in packages},
        **figures,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"reliability_{name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
