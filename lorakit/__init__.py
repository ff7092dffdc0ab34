"""lorakit: Low-Rank Adaptation, measured. The public verbs; the course in notebooks/ is built on them."""

from lorakit.core.checkpoint import load_adapter, save_adapter
from lorakit.core.config import LoRAConfig
from lorakit.core.errors import LoRAError
from lorakit.core.inject import delete_adapter, eject, inject
from lorakit.core.merge import is_merged, merge, unmerge
from lorakit.core.mixed import mixed_batch
from lorakit.core.switch import active_adapter, adapter_names, set_adapter, set_scale
from lorakit.lab.base import load_base
from lorakit.study.parameter_table import parameter_table

__version__ = "0.1.0"

__all__ = [
    "LoRAConfig",
    "LoRAError",
    "active_adapter",
    "adapter_names",
    "delete_adapter",
    "eject",
    "inject",
    "is_merged",
    "load_adapter",
    "load_base",
    "merge",
    "mixed_batch",
    "parameter_table",
    "save_adapter",
    "set_adapter",
    "set_scale",
    "unmerge",
]
