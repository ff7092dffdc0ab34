"""Write files so that no reader, and no crash, ever sees half of one."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path


def locked(place: Path, seconds: float = 30.0) -> contextlib.AbstractContextManager:
    """A context that only one of this user's processes on this machine is in at a time, for the same file or folder.

    The lock lies in the temporary folder, so that nothing lies beside what is locked; a process that dies lets go.
    Raises TimeoutError after so many seconds.
    """
    from filelock import FileLock  # here: it takes longer to import than all of lorakit

    digest = hashlib.sha256(os.fsencode(os.path.realpath(place))).hexdigest()[:32]
    user = os.getuid() if hasattr(os, "getuid") else 0
    return FileLock(Path(tempfile.gettempdir()) / f"lorakit-{user}-{digest}.lock", timeout=seconds)


def replace_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files of a folder, which is made; each one is, at every instant, the old one or the new one.

    All are first written out beside the old ones, so a full disk changes nothing; then they take their places, in the
    order given, one immediately after the other. One process at a time: `locked` keeps others out.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    fresh = {name: folder / f".{name}.tmp" for name in files}  # what a killed process left of it is written over
    try:
        for name, data in files.items():
            if (folder / name).is_dir():  # found out now, not when the first file has been replaced already
                raise IsADirectoryError(f"{folder / name} is a folder")
            with open(fresh[name], "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for name in files:
            os.replace(fresh[name], folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            for path in fresh.values():
                path.unlink(missing_ok=True)
            for path in made:  # for nothing
                path.rmdir()
        raise
