"""A JupyterLab of the tests' own: a copy of the notebooks, its own settings and workbook, on localhost with a token."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds for the server to come up on a slow machine
SETTINGS = {
    # Every cell in the page at once, or a widget far down would not be there to be found.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
# Run by every kernel when it starts: how long a chapter trains changes nothing in the browser. It waits until a cell
# has imported lorakit: a kernel that is long in starting is never seen to be idle.
FEW_STEPS = """
import sys

def few_steps(_):
    settings = sys.modules.get("lorakit.lab.settings")
    if settings is None or hasattr(settings, "checked"):
        return
    settings.checked = settings.Settings.__post_init__
    def shortened(self):
        settings.checked(self)
        object.__setattr__(self, "steps", min(self.steps, 3))
    settings.Settings.__post_init__ = shortened

get_ipython().events.register("pre_run_cell", few_steps)
"""


@dataclass(frozen=True)
class Server:
    """Where a running Lab is, and the folder it serves."""

    address: str
    token: str
    folder: Path

    @property
    def lab(self) -> str:
        return f"{self.address}/lab?token={self.token}&reset"


@contextlib.contextmanager
def lab_server(folder: Path) -> Iterator[Server]:
    """A Lab that serves copies of the notebooks from `folder`. RuntimeError with its log if it does not start."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
    for name in ("data", "docs"):  # what the chapters name by a relative path
        (folder / name).symlink_to(ROOT / name)
    settings = folder / ".settings"
    for name, value in SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    startup = folder / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "few_steps.py").write_text(FEW_STEPS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, log = secrets.token_hex(16), folder / "lab.log"
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {
        "PYTHONPATH": paths, "LORAKIT_WORKBOOK": str(folder / "workbook"), "LORAKIT_BUDGET": "fast",
        "HF_HUB_OFFLINE": "1", "JUPYTERLAB_SETTINGS_DIR": str(settings), "OMP_NUM_THREADS": "1",
        "IPYTHONDIR": str(folder / ".ipython"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / ".work"), "JUPYTER_RUNTIME_DIR": str(folder / ".runtime"),
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True",
        "--ServerApp.contents_manager_class=tools.saving.Contents",
    ]  # fmt: skip
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | own, stdout=out, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=5).close()
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}") from error
                time.sleep(0.2)
        yield Server(address, token, folder)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
