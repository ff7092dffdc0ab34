"""Which chapters there are: the folders here, each named as its notebook without the number."""

from importlib import import_module
from pathlib import Path
from types import ModuleType


def modules(name: str) -> dict[str, ModuleType]:
    """Every chapter's file of that name (`checks`, `experiments`), by chapter, where it has one."""
    rooms = [file.parent.name for file in sorted(Path(__file__).parent.glob(f"*/{name}.py"))]
    return {room: import_module(f"lorakit.chapters.{room}.{name}") for room in rooms}
