"""Which chapters there are: the folders here, each named as its notebook without the number."""

import pkgutil
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import lorakit.chapters


def modules(name: str) -> dict[str, ModuleType]:
    """Every chapter's file of that name (`checks`, `experiments`), by chapter, where it has one."""
    rooms = [room.name for room in pkgutil.iter_modules(lorakit.chapters.__path__) if room.ispkg]
    files = {room: f"lorakit.chapters.{room}.{name}" for room in rooms}
    return {room: import_module(file) for room, file in files.items() if find_spec(file)}
