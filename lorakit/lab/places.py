"""Where things lie: what the project ships in data/, the reader's workbook/, the data sets it does not ship."""

import os
from pathlib import Path

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


def data_folder(name: str) -> Path | None:
    """LORAKIT_DATA/<name>: a data set that the project does not ship; None where it is not there."""
    data = os.environ.get("LORAKIT_DATA")
    place = Path(data).expanduser() / name if data else None
    return place if place is not None and place.is_dir() else None
