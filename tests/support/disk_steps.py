"""Stop, or fail, at the n-th thing that is done to a folder: no state of the disk between two of them is missed.

Python announces what it does to files to its audit hooks (a hook that raises makes the operation fail, as a full
disk would); fsync it does not announce, so that is wrapped.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_watch: Callable[[str], None] | None = None
_folder = ""
_fsync = os.fsync


def _hook(event: str, args: tuple) -> None:
    if _watch is None:
        return
    changes = event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & WRITES)
    if changes and isinstance(args[0], str | Path) and str(args[0]).startswith(_folder):
        _watch(event)


def _announced_fsync(descriptor: int) -> None:
    if _watch is not None:
        _watch("fsync")
    _fsync(descriptor)


@contextmanager
def watched(folder: Path, watch: Callable[[str], None]) -> Iterator[None]:
    """Call `watch(what)` before each change to a file in this folder, and before each fsync."""
    global _watch, _folder
    if not getattr(sys, "_lorakit_disk_steps", False):
        sys.addaudithook(_hook)  # for the rest of this process: hooks cannot be taken away, so this one sleeps
        sys._lorakit_disk_steps = True
    _watch, _folder, os.fsync = watch, str(folder), _announced_fsync
    try:
        yield
    finally:
        _watch, os.fsync = None, _fsync


def fail_with(code: int | None) -> Callable[[], None]:
    """What `watched` calls to make an operation fail as the system would, full or read-only; None: Ctrl-C."""

    def fail() -> None:
        raise KeyboardInterrupt if code is None else OSError(code, os.strerror(code))

    return fail


class At:
    """Counts the changes and calls `act` before the n-th (from 1; 0: never); `done` names all that were seen."""

    def __init__(self, n: int, act: Callable[[], None]) -> None:
        self.n, self.act, self.done = n, act, []

    def __call__(self, what: str) -> None:
        self.done.append(what)
        if len(self.done) == self.n:
            self.act()
