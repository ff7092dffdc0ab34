"""A model with an adapter to save, and what lies in a folder."""

from pathlib import Path

from torch import nn

import lorakit as lk
from tests.support.tiny_models import build, fill


def adapted() -> nn.Module:
    """GPT-2 with the adapter "a", its values random."""
    model = lk.inject(build("gpt2"), lk.LoRAConfig(r=2, alpha=4, targets=("q", "v")), name="a")
    fill(model, "a")
    return model


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file in it and below, by its path in there."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
