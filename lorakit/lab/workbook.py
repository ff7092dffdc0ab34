"""The student's workbook: what the chapters measured here and how the exercises went, in small JSON files.

A folder `workbook` beside `notebooks`, kept out of git; `LORAKIT_WORKBOOK` names another one. Kernels of several
notebooks may write at once: every change is made under a lock, and the file is replaced as a whole.
"""

import json
import os
import time
import warnings
from collections.abc import Callable

import torch

from lorakit.files.folder import locked, replace_files
from lorakit.lab.budget import budget
from lorakit.lab.places import workbook
from lorakit.lab.record import device_name

MEASURED = "measured.json"
PATIENCE = 5  # seconds to wait for another notebook that is writing


def read(name: str) -> dict:
    """The content of a file of the workbook, {} where it is absent or is not JSON."""
    try:
        return json.loads((workbook() / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def update(name: str, change: Callable[[dict], None]) -> dict:
    """Let `change` edit the content of a file of the workbook, and write it; the new content.

    A folder that cannot be written is said in a warning, and the content is still returned: a chapter goes on without
    its workbook. A file that is not JSON is begun anew.
    """
    home = workbook()
    content: dict = {}
    try:
        home.mkdir(parents=True, exist_ok=True)
        with locked(home / name, PATIENCE):
            content = read(name)
            change(content)
            replace_files(home, {name: (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()})
    except OSError as error:  # TimeoutError is one
        warnings.warn(f"the workbook in {home} cannot be written, nothing is kept: {error}", stacklevel=2)
        change(content)
    return content


def keep(**values) -> None:
    """Keep measured values for the review: `keep(memory_share=0.27)`. Numbers, true or false, or short words.

    Each stands with the day, the device, the base model and the budget it was measured with. A later value of the same
    name replaces it. Raises an error for what JSON cannot hold.
    """
    where = {
        "date": time.strftime("%Y-%m-%d"),
        "device": device_name("cuda" if torch.cuda.is_available() else "cpu"),
        "model": os.environ.get("LORAKIT_MODEL") or "nano",
        "budget": budget(),
    }
    plain = json.loads(json.dumps(values, default=lambda value: value.item()))  # a number inside a tensor or an array
    update(MEASURED, lambda content: content.update({name: {"value": v} | where for name, v in plain.items()}))
