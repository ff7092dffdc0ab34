"""lorakit: Low-Rank Adaptation, measured. The public verbs; the course in notebooks/ is built on them."""

from importlib import import_module

from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError
from lorakit.core.merge import is_merged, merge, unmerge
from lorakit.core.model import (
    active_adapter,
    adapter_names,
    combine,
    delete_adapter,
    eject,
    inject,
    set_adapter,
    set_scale,
)
from lorakit.core.using import using
from lorakit.files.save_load import load_adapter, save_adapter

__version__ = "0.1.0"

__all__ = [
    "LoRAConfig",
    "LoRAError",
    "active_adapter",
    "adapter_names",
    "combine",
    "delete_adapter",
    "eject",
    "inject",
    "is_merged",
    "load_adapter",
    "load_base",
    "merge",
    "parameter_table",
    "save_adapter",
    "set_adapter",
    "set_scale",
    "unmerge",
    "using",
]

# What core and files do without: loaded when it is asked for.
_LATER = {"load_base": "lorakit.lab.bases.load", "parameter_table": "lorakit.study.parameter_table"}


def __getattr__(name: str):
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
