"""Where a data set that the course does not ship lies on this machine."""

import os
from pathlib import Path

from lorakit.core.errors import LoRAError


def data_folder(name: str, folder: str | Path | None, advice: str) -> Path | None:
    """`folder` if one is given, else LORAKIT_DATA/<name>; None where that is not there.

    Raises LoRAError, with `advice` on where the data comes from, for a given folder that does not exist.
    """
    if folder is not None:
        place = Path(folder).expanduser()
        if not place.is_dir():
            raise LoRAError(f"there is no folder {place}. {advice}")
        return place
    data = os.environ.get("LORAKIT_DATA")
    place = Path(data).expanduser() / name if data else None
    return place if place is not None and place.is_dir() else None
