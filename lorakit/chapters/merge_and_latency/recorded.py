"""Recorded latencies, read from data/results/latency_<device>.json."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from lorakit.core.errors import LoRAError
from lorakit.lab.places import RESULTS
from lorakit.study.latency import Comparison


@dataclass(frozen=True)
class Times:
    """One method in one cell: milliseconds (per token in decoding), and the ratio to the base in the same rounds."""

    ms: float
    quartiles: tuple[float, float]
    ratio: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Cell:
    """One model size, phase ("prefill" or "decode"), batch and length: every method's times, and the noise floor."""

    size: str
    phase: str
    batch: int
    length: int
    rounds: int
    noise: float
    jobs: dict[str, Times]
    verdicts: dict[str, str]

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.size, self.phase, self.batch, self.length

    @property
    def tokens(self) -> int:
        """Tokens that go through the model at once."""
        return self.batch * (self.length if self.phase == "prefill" else 1)

    def added(self, method: str) -> float:
        """The share of the base's time that a method adds: 0.2 is 20 %."""
        return self.jobs[method].ratio - 1

    @classmethod
    def of(cls, size: str, phase: str, batch: int, length: int, found: Comparison) -> "Cell":
        jobs = {
            name: Times(
                round(1e3 * job.median, 4),
                tuple(round(1e3 * q, 4) for q in job.quartiles),
                round(job.ratio, 5),
                tuple(round(x, 5) for x in job.interval),
            )
            for name, job in found.jobs.items()
        }
        verdicts = {name: found.verdict(name) for name, job in found.jobs.items() if job is not found.again}
        del verdicts[found.base]
        return cls(size, phase, batch, length, len(found.again.times), round(found.noise, 5), jobs, verdicts)


@dataclass(frozen=True)
class Recording:
    """A grid of cells from one device. `note` says what it was made with."""

    note: dict
    cells: tuple[Cell, ...]

    def cell(self, size: str, phase: str, batch: int, length: int) -> Cell | None:
        return next((cell for cell in self.cells if cell.key == (size, phase, batch, length)), None)

    def of(self, size: str | None = None, phase: str | None = None) -> list[Cell]:
        """The cells of a size and phase, by their number of tokens."""
        found = [c for c in self.cells if size in (None, c.size) and phase in (None, c.phase)]
        return sorted(found, key=lambda cell: (cell.size, cell.phase, cell.tokens, cell.batch))

    def write(self, path: Path) -> None:
        """Write it, whole or not at all: one line for each cell."""
        head = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in self.note.items())
        body = ",\n".join(f"  {json.dumps(asdict(cell))}" for cell in self.cells)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".tmp")
        unfinished.write_text(f'{{\n{head},\n"cells": [\n{body}\n]\n}}\n', encoding="utf-8")
        os.replace(unfinished, path)

    @classmethod
    def read(cls, path: Path) -> "Recording":
        found = json.loads(Path(path).read_text("utf-8"))
        return cls({key: value for key, value in found.items() if key != "cells"}, tuple(map(_cell, found["cells"])))


def _cell(row: dict) -> Cell:
    jobs = {
        name: Times(job["ms"], tuple(job["quartiles"]), job["ratio"], tuple(job["interval"]))
        for name, job in row["jobs"].items()
    }
    return Cell(**{**row, "jobs": jobs})


def recorded(device: str = "cpu", folder: Path = RESULTS) -> Recording:
    """The recorded grid of a device, by the end of its file's name. Raises LoRAError where there is none."""
    path = folder / f"latency_{device}.json"
    if not path.is_file():
        raise LoRAError(f"{path} is missing: run OMP_NUM_THREADS=2 python -m lorakit.chapters.merge_and_latency.grid")
    return Recording.read(path)


def recorded_devices(folder: Path = RESULTS) -> list[str]:
    """The devices with a recorded grid, the CPU first."""
    found = [path.stem.removeprefix("latency_") for path in folder.glob("latency_*.json")]
    return sorted(found, key=lambda name: (name != "cpu", name))
