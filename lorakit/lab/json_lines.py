"""A file of records, a line of JSON for each: appended to whole or not at all, by however many processes."""

import json
from pathlib import Path

from lorakit.core.errors import LoRAError
from lorakit.files.folder import locked, replace_files


def append(file: Path, *rows: dict) -> None:
    """Write records behind the others, whole or not at all.

    Without rows it only shows that the file can be written. Raises LoRAError, with the records before untouched, where
    it cannot.
    """
    text = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    try:
        with locked(file):
            before = file.read_bytes() if file.is_file() else b""
            replace_files(file.parent, {file.name: before[: before.rfind(b"\n") + 1] + text})
    except OSError as error:
        raise LoRAError(
            f"a record cannot be written to {file}: {error}. Records before it are kept: make room, or choose another "
            "file, and the same call goes on"
        ) from error


def read(file: str | Path) -> list[dict]:
    """The records in a file of JSON lines; none where there is no such file. Half a last line is left out.

    Raises LoRAError where any other line is not a record.
    """
    file = Path(file)
    *lines, _ = file.read_bytes().split(b"\n") if file.is_file() else [b""]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise LoRAError(f"{file}, line {number} is not JSON ({error}): mend or remove that line") from error
    return rows
