"""Where tasks are read from: a bundled file, lines in a folder of the reader's, the Hugging Face Hub."""

import json
import os
from pathlib import Path

from lorakit.core.errors import LoRAError


def bundled(file: Path, module: str) -> list[dict]:
    """The objects of a file of JSON lines. Raises LoRAError that says how `module` makes the file again."""
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise LoRAError(f"{file} cannot be read ({error}): python -m {module} makes it") from error


def numbered_lines(file: Path, advice: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1. Raises LoRAError, with `advice`, where there is none."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not found:
        raise LoRAError(f"{file} is not there, or empty. {advice}")
    return found


def from_hub(title: str, dataset: str, advice: str, **how):
    """The splits of a data set, as the package `datasets` loads them. Raises LoRAError, with `advice`."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        place = os.environ.get("LORAKIT_DATA") or "not set"
        missing = f"LORAKIT_DATA is {place} and the package datasets is not installed"
        raise LoRAError(f"the {title} data is not here: {missing}. {advice}") from error
    try:
        return load_dataset(dataset, **how)
    except Exception as error:  # the Hub's client raises many kinds: a lost network, a moved data set, a full disk
        raise LoRAError(f"the {title} data could not be fetched from the Hub ({error}). {advice}") from error
