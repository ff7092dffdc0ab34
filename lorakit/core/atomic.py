"""Write files so that no reader, and no crash, ever sees half of one."""

import contextlib
import math
import os
import tempfile
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def alone_in(folder: Path, seconds: float = 30.0):
    """Make the folder, and keep other savers out of it meanwhile: two at once would mix their files.

    A folder that was made for nothing is removed again. Windows, and disks without locks, go without: gives whether
    others are really kept out.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    handle, alone = None, False
    try:
        if fcntl is not None:  # and a folder can be opened
            handle = os.open(folder, os.O_RDONLY)
            alone = lock(handle, folder, seconds)
        yield alone
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise
    finally:
        if handle is not None:
            os.close(handle)  # and the lock with it, as when the process dies


def lock(handle: int, place: Path, seconds: float = math.inf) -> bool:
    """Wait for an open file or folder to be this process's alone, until it is closed. False: there are no locks here.

    Raises TimeoutError, which names the place, after so many seconds.
    """
    if fcntl is None:
        return False
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError(f"another process is still saving to {place}") from None
            time.sleep(0.01)
        except OSError:  # no locks on this disk
            return False


def replace_files(folder: Path, files: dict[str, bytes], alone: bool = False) -> None:
    """Write files of a folder; each one is, at every instant, the old one or the new one.

    All are first written out beside the old ones, so a full disk changes nothing; then they take their places,
    in the order given, one immediately after the other. What a killed process left of them is removed: at once where
    nobody else can be writing (`alone`), else when it is an hour old.
    """
    for stale in folder.glob(".*.tmp"):  # left by a process that was killed
        with contextlib.suppress(OSError):
            if stale.name.startswith(tuple(f".{name}." for name in files)) and (alone or _age(stale) > 3600):
                stale.unlink()
    written: dict[str, str] = {}
    for name in files:
        if (folder / name).is_dir():  # found out now, not when the first file has been replaced already
            raise IsADirectoryError(f"{folder / name} is a folder")
    try:
        for name, data in files.items():
            handle, written[name] = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(written[name], 0o644)  # mkstemp makes files that only their owner can read
        for name in files:
            os.replace(written[name], folder / name)
            del written[name]
    except BaseException:
        for temporary in written.values():
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise
    if os.name == "posix":  # make the renames themselves durable
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _age(path: Path) -> float:
    """Seconds since the file was last written."""
    return time.time() - path.stat().st_mtime
