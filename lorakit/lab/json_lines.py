"""A file of records, a line of JSON for each: appended to whole or not at all, by however many processes."""

import json
import os
import tempfile
from pathlib import Path

from lorakit.core.errors import LoRAError
from lorakit.files.folder import locked


def append(file: Path, row: dict) -> None:
    """Write a record behind the others, whole or not at all; what a killed process left of one goes away first.

    Raises LoRAError, with the records before it untouched, where the file cannot be written.
    """
    line = json.dumps(row).encode() + b"\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(file), file.open("ab", buffering=0) as lines:  # unbuffered: nothing is written after what failed
            whole, torn = _ending(file)
            if torn and _is_json(torn):  # only the end of its line is missing
                whole, line = whole + len(torn), b"\n" + line
            elif torn:
                lines.truncate(whole)
            try:
                while line:
                    line = line[lines.write(line) :]
                os.fsync(lines.fileno())
            except BaseException:
                lines.truncate(whole)
                raise
    except OSError as error:
        raise LoRAError(
            f"a record cannot be written to {file}: {error}. The finished runs before it are kept: make room, and the "
            "same call goes on"
        ) from error


def read(file: str | Path) -> list[dict]:
    """The records in a file of JSON lines; none where there is no such file. Half a last line is left out.

    Raises LoRAError where any other line is not a record.
    """
    file = Path(file)
    if not file.is_file():
        return []
    rows = []
    lines = file.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number == len(lines) and not line.endswith(b"\n"):  # killed while it wrote: that run is done again
                break
            raise LoRAError(f"{file}, line {number} is not JSON ({error}): mend or remove that line") from error
    return rows


def check_writable(file: Path) -> None:
    """Better now than after the first run. Raises LoRAError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Not by making the file and removing it again: meanwhile another process may have begun to append to it.
        with file.open("ab") if file.exists() else tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise LoRAError(f"no records can be written to {file}: {error}; choose another file") from error


def _ending(file: Path) -> tuple[int, bytes]:
    """How many bytes the whole lines of a file take, and what stands behind the last of them."""
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    return whole, content[whole:]


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
