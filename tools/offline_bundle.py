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
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "lab,test"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
SH = f"""#!/bin/sh
# Makes .venv from the wheels beside this script; nothing is fetched. Then: sh lab.sh
set -e
cd "$(dirname "$0")"
for python in "$PYTHON" python{VERSION} python3 python; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})' 2>/dev/null; then
    "$python" -m venv .venv
    install=".venv/bin/python -m pip install --no-index --find-links wheels --quiet -c constraints.txt"
    $install hatchling editables
    $install --no-build-isolation -e '.[{EXTRAS}]'
    touch .venv/.done
    echo 'done: open the course with  sh lab.sh'
    exit 0
  fi
done
echo 'these wheels need Python {VERSION}: install it, or name it with PYTHON=/path/to/python{VERSION} sh install.sh' >&2
exit 1
"""
LAB = """#!/bin/sh
cd "$(dirname "$0")"
exec .venv/bin/jupyter lab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. \\
  --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb "$@"
"""
BAT = f"""@echo off
rem Makes .venv from the wheels beside this script; nothing is fetched. Then: lab.bat
cd /d "%~dp0"
py -{VERSION} -m venv .venv || (echo these wheels need Python {VERSION} & exit /b 1)
set INSTALL=.venv\\Scripts\\python -m pip install --no-index --find-links wheels --quiet -c constraints.txt
%INSTALL% hatchling editables
%INSTALL% --no-build-isolation -e .[{EXTRAS}]
echo done: open the course with lab.bat
"""
LAB_BAT = """@echo off
cd /d "%~dp0"
.venv\\Scripts\\jupyter lab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. ^
  --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb %*
"""


def scripts(folder: Path) -> None:
    """Write install and lab scripts for a shell and for Windows."""
    for name, text in (("install.sh", SH), ("lab.sh", LAB), ("install.bat", BAT), ("lab.bat", LAB_BAT)):
        (folder / name).write_text(text, encoding="utf-8", newline="\r\n" if name.endswith(".bat") else "\n")
        (folder / name).chmod(0o755)


def wheels(folder: Path) -> int:
    """Every package of the two commands as a wheel; how many."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "-w", str(folder)]
    subprocess.run([*pip, "-c", "constraints.txt", f".[{EXTRAS}]", "hatchling", "editables"], cwd=ROOT, check=True)
    for own in folder.glob("lorakit-*.whl"):
        own.unlink()  # installed from the checkout, where its data lies
    return len(list(folder.glob("*.whl")))


def pack(source: Path, archive: Path) -> None:
    """Zip a folder; wheels are stored as they are, since they are compressed already."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                how = zipfile.ZIP_STORED if path.suffix == ".whl" else zipfile.ZIP_DEFLATED
                out.write(path, Path("lorakit-offline") / path.relative_to(source), how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "lorakit-offline.zip"
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        # The committed files; then what git does not have.
        committed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", inside], input=committed, check=True)
        count = wheels(Path(inside) / "wheels")
        if (ROOT / "build" / "site").is_dir():
            shutil.copytree(ROOT / "build" / "site", Path(inside) / "site")
        scripts(Path(inside))
        pack(Path(inside), archive)
    print(f"{archive}: {archive.stat().st_size / 1e6:,.0f} MB, {count} wheels for Python {VERSION} on {sys.platform}")


if __name__ == "__main__":
    main()
