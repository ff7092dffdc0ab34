"""One archive for machines without a network: checkout, wheels of everything, reading copy, install scripts.

    python tools/offline_bundle.py [FOLDER]        # dist/lorakit-offline.zip

The wheels are those that pip finds for this platform and this Python version: make the bundle on a machine like those
of the class. There, `sh install.sh` (on Windows `install.bat`) makes `.venv` from the wheels alone.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "lorakit-offline"
EXTRAS = "lab,test"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
LAB = "jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"
SH = f"""#!/bin/sh
# Makes .venv from the wheels beside this script; nothing is fetched
set -e
cd "$(dirname "$0")"
for python in "$PYTHON" python{VERSION} python3 python; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})' 2>/dev/null; then
    "$python" -m venv .venv
    install=".venv/bin/python -m pip install --no-index --find-links wheels --quiet -c constraints.txt"
    $install hatchling editables
    $install --no-build-isolation -e '.[{EXTRAS}]'
    touch .venv/.done
    echo 'done: open the course with  make lab  or  .venv/bin/{LAB}'
    exit 0
  fi
done
echo 'these wheels need Python {VERSION}: install it, or name it with PYTHON=/path/to/python{VERSION} sh install.sh' >&2
exit 1
"""
BAT = f"""@echo off
rem Makes .venv from the wheels beside this script; nothing is fetched
cd /d "%~dp0"
py -{VERSION} -m venv .venv || (echo these wheels need Python {VERSION} & exit /b 1)
set INSTALL=.venv\\Scripts\\python -m pip install --no-index --find-links wheels --quiet -c constraints.txt
%INSTALL% hatchling editables
%INSTALL% --no-build-isolation -e .[{EXTRAS}]
echo done: open the course with  .venv\\Scripts\\{LAB}
"""


def scripts(folder: Path) -> None:
    """Write the install scripts for a shell and for Windows."""
    for name, text in (("install.sh", SH), ("install.bat", BAT)):
        (folder / name).write_text(text, encoding="utf-8", newline="\r\n" if name.endswith(".bat") else "\n")
        (folder / name).chmod(0o755)


def wheels(folder: Path) -> int:
    """Every package of the two commands as a wheel; how many."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "-w", str(folder)]
    subprocess.run([*pip, "-c", "constraints.txt", f".[{EXTRAS}]", "hatchling", "editables"], cwd=ROOT, check=True)
    for own in folder.glob("lorakit-*.whl"):
        own.unlink()  # installed from the checkout, where its data lies
    return len(list(folder.glob("*.whl")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        inside = Path(place) / NAME
        inside.mkdir()
        # The committed files; then what git does not have.
        committed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", inside], input=committed, check=True)
        count = wheels(inside / "wheels")
        if (ROOT / "build" / "site").is_dir():
            shutil.copytree(ROOT / "build" / "site", inside / "site")
        scripts(inside)
        archive = Path(shutil.make_archive(str(folder / NAME), "zip", place, NAME))
    print(f"{archive}: {archive.stat().st_size / 1e6:,.0f} MB, {count} wheels for Python {VERSION} on {sys.platform}")


if __name__ == "__main__":
    main()
