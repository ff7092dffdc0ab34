"""How much a reliability test does, and where its figures go.

`make test` runs each test at its bounded size and records nothing. `make soak` (LORAKIT_SOAK=1) runs the full size and
writes the figures to data/results/reliability_<name>.json, from which docs/reliability.md is generated.
"""

import os

import torch

from lorakit.lab.places import RESULTS
from lorakit.lab.record import versions, write

SOAK = os.environ.get("LORAKIT_SOAK", "") not in ("", "0")
WORST: dict[str, float] = {}  # the worst errors seen by the tests that allow one


def size(bounded: int, full: int) -> int:
    """How many cases, kills or cycles: `bounded` under `make test`, `full` under `make soak`."""
    return full if SOAK else bounded


def record(name: str, **figures) -> None:
    """Keep what a full run measured, with device, versions, command and date; a bounded run keeps nothing."""
    if SOAK:
        found = {"versions": versions("safetensors", "peft"), **figures}
        write(RESULTS / f"reliability_{name}.json", found, command="make soak")


def note(name: str, value: float) -> None:
    """Keep the largest value seen under this name."""
    WORST[name] = max(WORST.get(name, 0.0), float(value))


def assert_close(name: str, got: torch.Tensor, expected: torch.Tensor, bound: float) -> None:
    """The largest difference, as a share of the largest value expected, is noted and no larger than the bound."""
    error = float((got - expected).abs().max() / expected.abs().max())
    note(f"{name}, relative", error)
    assert error <= bound, f"{name}: {error:.2g}"
