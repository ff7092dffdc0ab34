"""Where things lie: what the project ships in data/, the reader's workbook/, the data sets it does not ship."""

import os
from pathlib import Path

from lorakit.core.errors import LoRAError

_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parent if (_PACKAGE.parent / "notebooks").is_dir() else None

# Beside the package in a checkout, inside it where a wheel was installed.
DATA = (_CHECKOUT or _PACKAGE) / "data"
RESULTS = DATA / "results"
ADAPTERS = DATA / "adapters"


def workbook() -> Path:
    """LORAKIT_WORKBOOK, else `workbook` in the checkout, or in the current folder; it need not exist yet."""
    named = os.environ.get("LORAKIT_WORKBOOK")
    return Path(named).expanduser() if named else (_CHECKOUT or Path.cwd()) / "workbook"


def data_folder(name: str, folder: str | Path | None, advice: str) -> Path | None:
    """A data set that the project does not ship: `folder` if given, else LORAKIT_DATA/<name>; None if not there.

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
