"""Which chapters there are: the folders here, each named as its notebook without the number."""

import importlib
import pkgutil
from types import ModuleType

import lorakit.chapters


def modules(name: str) -> dict[str, ModuleType]:
    """Every chapter's file of that name (`checks`, `experiments`), by chapter, where it has one."""
    rooms = [room.name for room in pkgutil.iter_modules(lorakit.chapters.__path__) if room.ispkg]
    places = {room: importlib.import_module(f"lorakit.chapters.{room}").__path__ for room in rooms}
    found = {room for room, place in places.items() if name in {m.name for m in pkgutil.iter_modules(place)}}
    return {room: importlib.import_module(f"lorakit.chapters.{room}.{name}") for room in rooms if room in found}
